"""A student's own test set: drawings from the pad, each with its label, in `my_digits.csv`.

The file is in MNIST's CSV format, `label,784 pixels` on each line, so `read_csv` reads it too. It is replaced
atomically: a power cut leaves the old file or the new one. A damaged line stays in the file and is skipped on reading.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from mynn import rows
from mynn.arrays import Bytes
from mynn.mnist import LABELS, PIXELS, Examples
from mynn.rows import NAME as NAME
from mynn.translation import _


def my_digits(path: str | os.PathLike[str] = NAME) -> Examples:
    """Return the stored drawings, in the order of storing; without a file, empty Examples.

    Skip damaged lines, and print how many there are. Raise DataError if the file cannot be read, or is far too large.
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
    """Return the number of stored drawings of each digit: ten numbers.

    Commas are counted, but pixels not validated, to keep the pad responsive on a Pi Zero.
    """
    lines = rows.read(Path(path))
    labels = [int(line[:1]) for line in lines if line[:1].isdigit() and line.count(b",") == PIXELS]
    return [labels.count(digit) for digit in range(LABELS)]


def keep(label: int, pixels: Bytes, path: str | os.PathLike[str] = NAME) -> None:
    """Store a drawing: its label, 0..9, and its pixels, 0..255, shape (784,).

    A drawing that is stored already gets the new label, and is not duplicated. Raise DataError if the file is full
    (2,000 drawings) or cannot be written.
    """
    rows.add([_line(label, pixels)], Path(path))


def take_back(label: int, pixels: Bytes, path: str | os.PathLike[str] = NAME) -> None:
    """Remove a stored drawing, if it is there."""
    line = _line(label, pixels)
    rows.change(Path(path), lambda lines: [other for other in lines if other != line])


def _line(label: int, pixels: Bytes) -> bytes:
    return b",".join(b"%d" % number for number in (label, *pixels.tolist()))
