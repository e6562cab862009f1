"""Store of drawings for classes that a student made up, in `my_signs.csv`: lines `name,784 pixels`.

The page /try/own.html sends only changes, in the same form. A drawing with a name is added or renamed, one without a
name is removed. So two tablets that save in turn lose nothing. A file with anything else in it is not changed.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from mynn import rows
from mynn.errors import DataError
from mynn.translation import _

NAME = "my_signs.csv"
MOST = 500  # drawings in the file, and changes at once
LONGEST_NAME = 20  # characters
LONGEST = 4 * LONGEST_NAME + rows.LONGEST  # bytes of a line
JOINER = "\u200d"  # between the parts of an emoji
UNSHOWN = {"Cc", "Cf", "Co", "Cs", "Zl", "Zp", "Zs"}  # Unicode categories; own.js has the same rule
# A spreadsheet would compute a name that begins like this when it opens the file. A class may be called + or =.
FORMULA = re.compile("[=+@\uff1d\uff0b\uff0d\uff20-].")  # also as Japanese keyboards write these signs; own.js, too


def is_name(name: bytes) -> bool:
    """Return whether a class can have this name: 1 to 20 visible characters, no comma or quotation mark."""
    try:
        text = name.decode()
    except UnicodeDecodeError:
        return False
    unshown = any(unicodedata.category(one) in UNSHOWN for one in text if one not in (" ", JOINER))
    return text == text.strip() and 0 < len(text) <= LONGEST_NAME and not unshown and not set(',"') & set(text)


def names(lines: Iterable[bytes], sentence: str, *, new: bool = False) -> dict[bytes, bytes]:
    """Return each drawing's name by its pixels. DataError with that sentence: a line is not a drawing.

    new: from a page. A name may be empty then, and must not be a formula, which older files may have.
    """
    found = {}
    for line in lines:
        name, _comma, pixels = line.partition(b",")
        is_good = not name or (is_name(name) and not FORMULA.match(name.decode())) if new else is_name(name)
        if not rows.is_whole(b"0," + pixels) or not is_good:
            raise DataError(sentence)
        found[pixels] = name
    return found


def read(path: Path) -> dict[bytes, bytes]:
    """Return each stored drawing's name by its pixels. DataError: the file has something else."""
    return kept(rows.read(path), path)


def kept(lines: list[bytes], path: Path) -> dict[bytes, bytes]:
    """Return each drawing's name by its pixels, from the file's lines. DataError: a line is not a drawing."""
    sentence = _("this file contains something other than drawings; rename it to start a new one")
    return names(lines, f"{path}: {sentence}")


def text(drawings: dict[bytes, bytes]) -> list[bytes]:
    """Return drawings as lines."""
    return [name + b"," + pixels for pixels, name in drawings.items()]


def change(lines: list[bytes], path: Path) -> int:
    """Add, rename or remove drawings in the file; return how many it has then. DataError: the reason why not."""
    sentence = _("These are not 1 to {most} drawings with their names, so they are not kept.").format(most=MOST)
    if not 0 < len(lines) <= MOST:
        raise DataError(sentence)
    new = names(lines, sentence, new=True)

    def changed(old: list[bytes]) -> list[bytes]:
        left = {pixels: name for pixels, name in (kept(old, path) | new).items() if name}
        if len(left) > MOST:
            full = _("this file has room for {count} drawings; take some away, or rename it").format(count=MOST)
            raise DataError(f"{path}: {full}")
        return text(left)

    return rows.change(path, changed)
