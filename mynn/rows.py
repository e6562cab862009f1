"""Line format of MNIST's CSVs and a student's `my_digits.csv`: `label,784 pixels`.

Nothing here loads numpy: the notebook server uses it, too, to store drawings.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from mynn.errors import DataError, os_errors_as
from mynn.files import PATIENCE, locked, replacing
from mynn.translation import N_, _, in_figures

SIDE = 28  # a digit is 28 x 28 pixels
PIXELS = SIDE * SIDE
LABELS = 10

NAME = "my_digits.csv"
MOST = 2000  # most drawings in a file: some 4 MB, which a Pi Zero writes while a child waits
LONGEST = 4 * (1 + PIXELS)  # most bytes of a line: three digits and a comma for each number

_PIXEL = rb"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_LINE = re.compile(rb"[0-9](?:,%b){%d}" % (_PIXEL, PIXELS))


def is_whole(line: bytes) -> bool:
    """Return whether a line, without its newline, is a label 0..9 and 784 pixels 0..255."""
    return _LINE.fullmatch(line) is not None


def read(path: Path) -> list[bytes]:
    """Return the file's lines without newlines, damaged ones too, but not blank ones; [] if there is no file.

    Raise DataError if it cannot be read, or is far too large.
    """
    with os_errors_as(N_("{reason}; rename it to start a new one"), path=path):
        try:
            with path.open("rb") as file:
                content = file.read(LONGEST * MOST + 1)
        except FileNotFoundError:
            return []
    if len(content) > LONGEST * MOST:
        sentence = _("this file is too large for drawings from the pad; rename it to start a new one")
        raise DataError(f"{path}: {sentence}")
    return [line for line in content.splitlines() if line]


def add(lines: Sequence[bytes], path: Path) -> int:
    """Store drawings in the file, and return the number of lines in it.

    A drawing that is stored already gets the new label, and is not duplicated. Raise DataError if the file would have
    more than `MOST` lines, or cannot be written.
    """
    new = {line[1:]: line for line in lines}  # pixels → line

    def added(old: list[bytes]) -> list[bytes]:
        others = [line for line in old if line[1:] not in new]
        if len(others) + len(new) > MOST:
            sentence = _("this file is full: it has room for {count} drawings; rename it to start a new one")
            raise DataError(f"{path}: " + sentence.format(count=in_figures(f"{MOST:,}")))
        return [*others, *new.values()]

    return change(path, added)


def change(path: Path, changed: Callable[[list[bytes]], list[bytes]]) -> int:
    """Replace the file's lines by `changed(lines)`, under a lock, and return their number.

    The file is written whole or not at all. Raise DataError if it cannot be.
    """
    sentence = N_("{reason}, so the drawing is not kept; free some space, or ask your teacher")
    with os_errors_as(sentence, path=path), locked(path.parent, PATIENCE):
        old = read(path)
        new = changed(old)
        if new != old:
            with replacing(path) as file:
                file.writelines(line + b"\n" for line in new)
    return len(new)
