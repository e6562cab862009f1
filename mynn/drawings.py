"""A student's own test set: what was drawn on the pad and kept, with its label, in `my_digits.csv`.

The file is in MNIST's format, one drawing a line, `label,784 pixels`: `read_csv` reads it too. It is written whole,
under another name first, so that a power cut leaves the old one or the new one. A line that is damaged all the same
stays as it is, and the others are read and kept without it.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from mynn import rows
from mynn.arrays import Bytes
from mynn.mnist import LABELS, PIXELS, Examples
from mynn.rows import NAME as NAME
from mynn.words import _


def my_digits(path: str | os.PathLike[str] = NAME) -> Examples:
    """Return the drawings that are kept, in the order of keeping; none, where there is no file.

    Damaged lines are left out, and a sentence says how many. A file that cannot be read, or is far too large, is a
    DataError.
    """
    lines = rows.read(Path(path))
    whole = [line for line in lines if rows.is_whole(line)]
    if len(whole) < len(lines):
        # Translators: {count} may be 1.
        sentence = _("{count} of its {all} lines cannot be read; the others can.")
        print(f"{path}: " + sentence.format(count=len(lines) - len(whole), all=len(lines)))
    numbers = b"".join(bytes(map(int, line.split(b","))) for line in whole)
    table = np.frombuffer(numbers, np.uint8).reshape(-1, 1 + PIXELS)
    return Examples(table[:, 0], table[:, 1:])


def count(path: str | os.PathLike[str] = NAME) -> list[int]:
    """Return how many drawings of each digit are kept: ten numbers.

    Commas are counted, and the pixels not looked at: for a Pi Zero that makes a difference at each touch.
    """
    lines = rows.read(Path(path))
    labels = [int(line[:1]) for line in lines if line[:1].isdigit() and line.count(b",") == PIXELS]
    return [labels.count(digit) for digit in range(LABELS)]


def keep(label: int, pixels: Bytes, path: str | os.PathLike[str] = NAME) -> None:
    """Keep a drawing: its label, 0..9, and its pixels, 0..255, shape (784,).

    One that is there already gets this label, and stays a single one. Where 2,000 are kept, or the file cannot be
    written, it is a DataError.
    """
    rows.add([_line(label, pixels)], Path(path))


def take_back(label: int, pixels: Bytes, path: str | os.PathLike[str] = NAME) -> None:
    """Remove a drawing that was kept, if it is there; all else stays."""
    line = _line(label, pixels)
    rows.change(Path(path), lambda lines: [other for other in lines if other != line])


def _line(label: int, pixels: Bytes) -> bytes:
    return b",".join(b"%d" % number for number in (label, *pixels.tolist()))
