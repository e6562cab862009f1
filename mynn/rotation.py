"""Digits turned: people do not all write upright, and a turned digit is one more example for free.

A pixel of the turned digit comes from a place that lies between four pixels of the old one. It takes its
share of each, the more the nearer, which blurs a little. Whatever lies outside of the picture is paper.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mynn.data import PIXELS, SIDE, Examples

PAPER = 0.01  # the input of a pixel without ink

_WHOLE = 1 << 16  # shares as whole numbers: 65,536 of these parts are all
_BLOCK = 500  # digits turned at once: little memory beside the results


def rotate(inputs: ArrayLike, degrees: float) -> NDArray[np.float64]:
    """Turn a digit about its middle, anticlockwise by so many degrees (clockwise where they are negative).

    Takes inputs of shape (784,), 0.01 to 1.0, and gives the same.
    """
    places, shares = _neighbours(degrees)  # (4, 784) each
    ink = np.asarray(inputs, np.float64) - PAPER  # (784,)
    turned: NDArray[np.float64] = PAPER + (ink[places] * shares).sum(axis=0)  # (784,)
    return turned


def rotated(examples: Examples, degrees: float) -> Examples:
    """Return all the examples turned as `rotate` does it, with the labels that they have.

    They are pixels, as the examples are: one byte each, so that 60,000 digits take 47 MB. Turn part after
    part, `examples[:10_000]` and so on, where that is too much.
    """
    places, shares = _neighbours(degrees)
    # Whole numbers, since they are all that a Pi Zero under Debian has quick arithmetic for.
    parts = np.rint(shares * _WHOLE).astype(np.int32)  # (4, 784)
    turned = np.empty_like(examples.pixels)  # (n, 784)
    for first in range(0, len(examples), _BLOCK):
        rows = examples.pixels[first : first + _BLOCK]  # (block, 784)
        total = sum(rows[:, place] * part for place, part in zip(places, parts, strict=True))
        turned[first : first + _BLOCK] = (total + _WHOLE // 2) // _WHOLE
    return Examples(examples.labels, turned)


@lru_cache(maxsize=32)
def _neighbours(degrees: float) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return, for each pixel of a turned digit, which four of the old one it lies between, and its share of each.

    Both have shape (4, 784). Shares lie between 0 and 1 and are 0 for a neighbour outside of the picture.
    """
    down, right = np.divmod(np.arange(PIXELS), SIDE)  # (784,) each
    middle = (SIDE - 1) / 2
    angle = np.deg2rad(degrees)
    old_down = middle + (down - middle) * np.cos(angle) + (right - middle) * np.sin(angle)
    old_right = middle + (right - middle) * np.cos(angle) - (down - middle) * np.sin(angle)
    places, shares = np.zeros((4, PIXELS), np.intp), np.zeros((4, PIXELS))
    for corner, (below, beside) in enumerate(np.ndindex(2, 2)):
        row, column = np.floor(old_down) + below, np.floor(old_right) + beside
        share = (1 - abs(old_down - row)) * (1 - abs(old_right - column))
        inside = (row >= 0) & (row < SIDE) & (column >= 0) & (column < SIDE)
        places[corner, inside] = (row * SIDE + column)[inside]
        shares[corner, inside] = share[inside]
    return places, shares
