"""Pictures drawn anew: each pixel of the new one lies between four of the old one, and takes a share of each."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mynn.data import PIXELS, SIDE, Bytes

_WHOLE = 1 << 16  # shares as whole numbers: a Pi Zero under Debian has quick arithmetic for nothing else
_BLOCK = 500  # pictures at once, to stay small


def neighbours(where: NDArray[np.floating[Any]]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return, for each pixel of the new picture, which four of the old one it lies between, and its share of each.

    Both have shape (4, 784). Shares lie between 0 and 1 and are 0 for a neighbour outside of the picture.

    where  the place in the old picture that each pixel of the new one shows, shape (2, 784): how many pixels down
           from the top one, and right from the left one
    """
    first = np.floor(where).astype(np.intp)  # (2, 784)
    part = where - first
    places, shares = np.zeros((4, PIXELS), np.intp), np.zeros((4, PIXELS))
    for corner, (below, beside) in enumerate(np.ndindex(2, 2)):
        row, column = first[0] + below, first[1] + beside
        share = (part[0] if below else 1 - part[0]) * (part[1] if beside else 1 - part[1])
        inside = (row >= 0) & (row < SIDE) & (column >= 0) & (column < SIDE)
        places[corner, inside] = (row * SIDE + column)[inside]
        shares[corner, inside] = share[inside]
    return places, shares


def resample(pixels: Bytes, where: NDArray[np.floating[Any]]) -> Bytes:
    """Return new pictures for these, shape (n, 784), one byte each; there is paper around them.

    where  as for `neighbours`
    """
    places, shares = neighbours(where)
    parts = np.rint(shares * _WHOLE).astype(np.int32)  # (4, 784)
    new = np.empty((len(pixels), PIXELS), np.uint8)
    for first in range(0, len(pixels), _BLOCK):
        rows = pixels[first : first + _BLOCK]  # (block, 784)
        total = sum(rows[:, place] * part for place, part in zip(places, parts, strict=True))
        new[first : first + _BLOCK] = (total + _WHOLE // 2) // _WHOLE
    return new
