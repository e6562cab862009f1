"""A student's own test set: what was drawn on the pad and kept, with its label, in `my_digits.csv`.

The file is in MNIST's format, one drawing a line, `label,784 pixels`: `read_csv` reads it too. It is written whole,
under another name first, so that a power cut leaves the old one or the new one. A line that is damaged all the same
stays as it is, and the others are read and kept without it.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np

from mynn.arrays import Bytes
from mynn.errors import DataError, os_errors_as
from mynn.files import replacing
from mynn.mnist import LABELS, PIXELS, Examples

NAME = "my_digits.csv"
MOST = 2000  # drawings in a file: some 4 MB, which a Pi Zero still writes while a child waits

_LARGEST = 4 * (1 + PIXELS) * MOST  # bytes: three figures and a comma for each number
_PIXEL = rb"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_LINE = re.compile(rb"[0-9](?:,%b){%d}" % (_PIXEL, PIXELS))


def my_digits(path: str | os.PathLike[str] = NAME) -> Examples:
    """Return the drawings that are kept, in the order of keeping; none, where there is no file.

    Damaged lines are left out, and a sentence says how many. A file that cannot be read, or is far too large, is a
    DataError.
    """
    lines = _lines(Path(path))
    whole = [line for line in lines if _LINE.fullmatch(line)]
    if len(whole) < len(lines):
        print(f"{path}: {len(lines) - len(whole)} of its {len(lines)} lines cannot be read; the others can.")
    numbers = b"".join(bytes(map(int, line.split(b","))) for line in whole)
    rows = np.frombuffer(numbers, np.uint8).reshape(-1, 1 + PIXELS)
    return Examples(rows[:, 0], rows[:, 1:])


def count(path: str | os.PathLike[str] = NAME) -> list[int]:
    """Return how many drawings of each digit are kept: ten numbers.

    Commas are counted, and the pixels not looked at: for a Pi Zero that makes a difference at each touch.
    """
    labels = [int(line[:1]) for line in _lines(Path(path)) if line[:1].isdigit() and line.count(b",") == PIXELS]
    return [labels.count(digit) for digit in range(LABELS)]


def keep(label: int, pixels: Bytes, path: str | os.PathLike[str] = NAME) -> None:
    """Keep a drawing: its label, 0..9, and its pixels, 0..255, shape (784,).

    One that is there already gets this label, and stays a single one. Where `MOST` are kept, or the file cannot be
    written, it is a DataError.
    """
    line = _line(label, pixels)
    others = [other for other in _lines(Path(path)) if other[1:] != line[1:]]
    if len(others) >= MOST:
        raise DataError(f"{path}: this file is full, with {MOST:,} drawings; rename it to start a new one")
    _write(Path(path), [*others, line])


def take_back(label: int, pixels: Bytes, path: str | os.PathLike[str] = NAME) -> None:
    """Remove a drawing that was kept, if it is there; all else stays."""
    line = _line(label, pixels)
    lines = _lines(Path(path))
    if line in lines:
        _write(Path(path), [other for other in lines if other != line])


def _line(label: int, pixels: Bytes) -> bytes:
    return b",".join(b"%d" % number for number in (label, *pixels.tolist()))


def _lines(path: Path) -> list[bytes]:
    """Return the lines of the file, without their ends, damaged ones too; none where there is no file."""
    with os_errors_as("{reason}; rename it to start a new one", path=path):
        try:
            with path.open("rb") as file:
                content = file.read(_LARGEST + 1)
        except FileNotFoundError:
            return []
    if len(content) > _LARGEST:
        raise DataError(f"{path}: this file is too large to be drawings from the pad; rename it to start a new one")
    return [line for line in content.splitlines() if line]


def _write(path: Path, lines: list[bytes]) -> None:
    sentence = "{reason}, so the drawing is not kept; free some space, or ask your teacher"
    with os_errors_as(sentence, path=path), replacing(path) as file:
        file.writelines(line + b"\n" for line in lines)
