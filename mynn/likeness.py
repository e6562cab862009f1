"""How much a picture looks like a digit, by its overlap with the digits that a network has learnt from.

A network with ten outputs always has a strongest one, and often a strong one, even for a letter or a table's edge: it
was never shown anything else. So a picture is compared with the digits themselves. Both are made coarse, so that
a hair's breadth does not count. The overlap is the ink that both have on the same squares, as a fraction of the ink
that at least one of them has there: 1 for the same picture, 0 for one without anything in common.
"""

from __future__ import annotations

import numpy as np

from mynn.arrays import Bytes
from mynn.mnist import Examples

MOST = 20_000  # digits that are compared with; LEAST was measured with as many, and a Pi Zero is slow
LEAST = 0.55  # overlap with the most similar digit; of digits that are new to a network, 97 in 100 have more


class Likeness:
    """Digits to compare pictures with."""

    def __init__(self, digits: Examples) -> None:
        """Keep the first of them, made coarse."""
        self._digits = _coarse(digits.pixels[:MOST])
        self._ink = self._digits.sum(axis=1, dtype=np.int64)

    def nearest(self, pixels: Bytes) -> tuple[int, float]:
        """Return which digit is most similar to a picture, (784,), and their overlap, 0 to 1."""
        one = _coarse(pixels.reshape(1, -1))
        both = np.minimum(self._digits, one).sum(axis=1, dtype=np.int64)
        overlap = both / np.maximum(self._ink + int(one.sum()) - both, 1)
        number = int(overlap.argmax())
        return number, float(overlap[number])


def _coarse(pixels: Bytes) -> Bytes:
    """Return pictures, (n, 784), as 14 x 14 squares, each the mean of four pixels: (n, 196)."""
    squares = pixels.reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4), dtype=np.float32)
    return squares.astype(np.uint8).reshape(len(pixels), -1)
