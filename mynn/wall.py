"""The class wall: results that pupils choose to show on the projector.

    from mynn import wall

    wall.show(name="Ada", score=0.953, of=testing)      # and backquery=network, and digits=read_csv("my_digits.csv")
    wall.take_down()

Only what you choose is shown. It is stored in `on_the_wall.json` beside the notebook, from where the teacher's computer
reads it (`make desk`).
"""

from __future__ import annotations

import base64
import json
import os
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mynn.arrays import Bytes
from mynn.errors import DataError, os_errors_as
from mynn.files import write_text
from mynn.mnist import LABELS, PIXELS, Examples, require_digits, targets_for
from mynn.network import NeuralNetwork
from mynn.translation import N_, _, in_figures

FILE = "on_the_wall.json"  # in the notebook's folder
LARGEST = 32 * 1024  # most bytes of that file; the fullest takes 22,000
MOST = 10  # most digits that a pupil shows
MOST_TESTED = 10**6  # most digits that a network was tested on
LONGEST = 20  # most characters of a name
VERSION = 1
_KEYS = {"version", "name", "score", "backquery", "digits", "tested"}
# Pattern of a name by character class: L letter, M combining mark (as in Hindi), S space or hyphen. Three marks a
# letter suffice for any script, and are too few to paint over the line above.
_NAME = re.compile(r"LM{0,3}(S?LM{0,3})*")


@dataclass(frozen=True)
class Shown:
    """A pupil's entry on the wall; None for a part that is not shown.

    `name`       a first name or nickname
    `score`      the fraction of digits that the network recognises, 0..1
    `backquery`  the network's picture of each digit, 0 to 9, shape (10, 784), one byte each
    `digits`     up to ten of the pupil's own digits
    `tested`     the number of digits that it was tested on for this score
    """

    name: str
    score: float | None = None
    backquery: Bytes | None = None
    digits: Examples | None = None
    tested: int | None = None


def show(
    name: str,
    *,
    score: float | None = None,
    of: Examples | None = None,
    backquery: NeuralNetwork | None = None,
    digits: Examples | None = None,
) -> None:
    """Show the class what you choose, and nothing else. It replaces what you showed before.

    name       a first name or nickname; only letters, spaces and hyphens are shown, 20 characters at most.
               With "" nothing changes, so that a lesson can be run to its end without showing anything
    score      the fraction of digits that your network recognises, between 0 and 1
    of         the digits that your network was tested on: the wall says how many there are
    backquery  your network, to show its picture of each digit
    digits     digits of yours, such as `read_csv("my_digits.csv")`; the first ten are shown

    Raise DataError, which says why, if something cannot be shown.
    """
    fitting = _fitting(name) if isinstance(name, str) else ""
    if not fitting:
        print(_('Nothing new is shown. To show this to your class, write a name between the quotes of name="".'))
        return
    tested = None if of is None or score is None else len(of)
    shown = Shown(fitting, _score(score), _pictures(backquery), _first(digits), tested)
    if shown.score is None and shown.backquery is None and shown.digits is None:
        raise DataError(_("the wall: choose what to show besides your name, such as score=0.95 or backquery=network"))
    _write(Path(FILE), _text(shown))
    all_of_it = _in_words(shown, len(digits or ()))
    print(_("On the wall: {all}. Nothing else of yours is shown.").format(all=all_of_it))
    print(_("Your class sees it within seconds, if the wall is on. To take it off: wall.take_down()"))


def take_down() -> None:
    """Remove your entry from the wall. The class no longer sees it after some seconds."""
    path = Path(FILE)
    if not _is_there(path):
        print(_("Nothing of yours is on the wall."))
        return
    with os_errors_as(N_("{reason}; delete the file in the list of your files"), path=path):
        path.unlink()
    print(_("It is off the wall; within seconds, the class no longer sees it."))


def read(text: str | bytes) -> Shown:
    """Parse what `show` wrote. Raise DataError for anything else: pupils can write anything into the file."""
    if len(text) > LARGEST:
        raise DataError(f"{FILE}: " + _("it is larger than {size} bytes").format(size=LARGEST))
    try:
        fields = json.loads(text)
        if not isinstance(fields, dict) or fields.get("version") != VERSION or not fields.keys() <= _KEYS:
            raise ValueError("its form")
        backquery, digits = fields.get("backquery"), fields.get("digits")
        return Shown(
            _name(fields["name"]),
            _score(fields.get("score")),
            None if backquery is None else _unpacked(backquery, LABELS),
            None if digits is None else _examples(digits),
            _count(fields.get("tested")),
        )
    except DataError:
        raise
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        raise DataError(f"{FILE}: " + _("this was not written by wall.show()")) from None


def _text(shown: Shown) -> str:
    """Return the file's contents, in the format of `read`."""
    fields: dict[str, Any] = {"version": VERSION, "name": shown.name}
    if shown.score is not None:
        fields |= {"score": shown.score} | ({"tested": shown.tested} if shown.tested else {})
    if shown.backquery is not None:
        fields["backquery"] = _packed(shown.backquery)
    if shown.digits is not None:
        fields["digits"] = {"labels": shown.digits.labels.tolist(), "pixels": _packed(shown.digits.pixels)}
    return json.dumps(fields)


def _packed(rows: Bytes) -> list[str]:
    return [base64.b64encode(row.tobytes()).decode() for row in rows]


def _unpacked(rows: list[str], count: int) -> Bytes:
    """Decode pictures, shape (count, 784)."""
    pixels = [base64.b64decode(row, validate=True) for row in rows]
    if len(pixels) != count or any(len(row) != PIXELS for row in pixels):
        raise ValueError("a picture has 784 pixels")
    return np.frombuffer(b"".join(pixels), np.uint8).reshape(count, PIXELS)


def _examples(digits: dict[str, Any]) -> Examples:
    labels = digits["labels"]
    whole = all(type(label) is int and 0 <= label < LABELS for label in labels)
    if digits.keys() != {"labels", "pixels"} or not whole or not 1 <= len(labels) <= MOST:
        raise ValueError("digits have labels from 0 to 9")
    return Examples(np.array(labels, np.uint8), _unpacked(digits["pixels"], len(labels)))


def _fitting(name: str) -> str:
    """Reduce a name to letters, marks, and single spaces or hyphens between them: at most LONGEST characters."""
    name = unicodedata.normalize("NFC", name[: 10 * LONGEST])
    shown, end = "", 0
    for found in re.finditer("LM{0,3}", _kinds(name)):
        gap = next((letter for letter in name[end : found.start()] if letter in " -"), "") if shown else ""
        if len(shown + gap + name[slice(*found.span())]) > LONGEST:
            break
        shown, end = shown + gap + name[slice(*found.span())], found.end()
    return shown


def _kinds(name: str) -> str:
    """Return the class of each character: see `_NAME`."""
    kinds = {" ": "S", "-": "S"} | dict.fromkeys("\u115f\u1160\u3164\uffa0", "?")  # Hangul fillers are invisible
    return "".join(kinds.get(letter) or unicodedata.category(letter)[0].replace("S", "?") for letter in name)


def _name(name: str) -> str:
    """Return the name, if `show` can have written it; else raise ValueError."""
    if len(name) > LONGEST or not _NAME.fullmatch(_kinds(name)) or unicodedata.normalize("NFC", name) != name:
        raise ValueError("letters, with single spaces or hyphens between them")
    return name


def _count(tested: object) -> int | None:
    if tested is not None and not (type(tested) is int and 0 < tested <= MOST_TESTED):
        raise ValueError("a number of digits")
    return tested


def _score(score: Any) -> float | None:
    if score is None:
        return None
    if isinstance(score, bool) or not isinstance(score, int | float | np.integer | np.floating):
        raise DataError(_("the wall: a score is a number between 0 and 1, such as 0.953"))
    if not 0 <= score <= 1:  # also true of NaN
        if 1 < score <= 100:
            sentence = _("the wall: a score is a number between 0 and 1; {percent} % is {part}")
            raise DataError(sentence.format(percent=f"{score:g}", part=f"{float(score) / 100:g}"))
        raise DataError(_("the wall: a score is a number between 0 and 1"))
    return float(score)


def _pictures(network: Any) -> Bytes | None:
    """Return a network's picture of each digit, shape (10, 784), as bytes."""
    if network is None:
        return None
    if not isinstance(network, NeuralNetwork):
        raise DataError(_("the wall: backquery is your network"))
    require_digits(network.wih, network.who)
    rows = np.array([network.backquery(targets_for(label)) for label in range(LABELS)])
    return np.rint(rows * 255).astype(np.uint8)


def _first(digits: Any) -> Examples | None:
    if digits is None:
        return None
    if not isinstance(digits, Examples):
        raise DataError(_('the wall: digits are Examples, such as digits=read_csv("my_digits.csv")'))
    if not len(digits):
        raise DataError(_("the wall: there are no digits in these; draw some first"))
    return digits[:MOST]


def _in_words(shown: Shown, drawn: int) -> str:
    """Return the entry in words: the name, and a phrase for each part."""
    parts = [shown.name]
    if shown.score is not None:
        # Translators: these four are parts of a list, after "On the wall: Ada, ...".
        of = _("the score {score} of {count} digits") if shown.tested else _("the score {score}")
        score = in_figures(f"{100 * shown.score:.1f} %")
        parts.append(of.format(score=score, count=in_figures(f"{shown.tested or 0:,}")))
    if shown.backquery is not None:
        parts.append(_("what your network takes for each digit"))
    if shown.digits is not None:
        some = _("the first {most} of your {count} digits") if drawn > MOST else _("{count} of your digits")
        parts.append(some.format(most=MOST, count=drawn))
    return ", ".join(parts)


def _is_there(path: Path) -> bool:
    """Return whether there is an entry. Raise DataError if the path holds anything else, which would be lost."""
    if not os.path.lexists(path):
        return False
    try:
        if path.is_symlink() or not path.is_file():
            raise DataError(f"{path}: " + _("this is not a file"))
        with path.open("rb") as file:
            read(file.read(LARGEST + 1))
    except (DataError, OSError) as error:
        sentence = _("the wall needs this name, and it is taken; rename that file or delete it")
        raise DataError(f"{path}: {sentence}") from error
    return True


def _write(path: Path, text: str) -> None:
    """Write the file, whole or not at all. Raise DataError if the path holds anything but an entry."""
    _is_there(path)
    with os_errors_as(N_("{reason}; make room, and run this again"), path=path):
        write_text(path, text)


__all__ = ["show", "take_down"]
