"""Digits turned: people do not all write upright, and a turned digit is one more example for free.

A pixel of the turned digit comes from a place that lies between four pixels of the old one. It takes its
share of each, the more the nearer, which blurs a little. Whatever lies outside of the picture is paper.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mynn.data import PIXELS, SIDE, Examples
from mynn.resample import neighbours, resample

PAPER = 0.01  # the input of a pixel without ink


def rotate(inputs: ArrayLike, degrees: float) -> NDArray[np.float64]:
    """Turn a digit about its middle, anticlockwise by so many degrees (clockwise where they are negative).

    Takes inputs of shape (784,), 0.01 to 1.0, and gives the same.
    """
    places, shares = neighbours(_where(degrees))  # (4, 784) each
    ink = np.asarray(inputs, np.float64) - PAPER  # (784,)
    turned: NDArray[np.float64] = PAPER + (ink[places] * shares).sum(axis=0)  # (784,)
    return turned


def rotated(examples: Examples, degrees: float) -> Examples:
    """Return all the examples turned as `rotate` does it, with the labels that they have.

    They are pixels, as the examples are: one byte each, so that 60,000 digits take 47 MB. Turn part after
    part, `examples[:10_000]` and so on, where that is too much.
    """
    if degrees == 0:
        return examples
    return Examples(examples.labels, resample(examples.pixels, _where(degrees)))


def _where(degrees: float) -> NDArray[np.float64]:
    """Return where in the old picture each pixel of the turned one comes from, shape (2, 784): down and right."""
    middle = (SIDE - 1) / 2
    down, right = np.indices((SIDE, SIDE)).reshape(2, PIXELS) - middle
    angle = np.deg2rad(degrees)
    turned = [down * np.cos(angle) + right * np.sin(angle), right * np.cos(angle) - down * np.sin(angle)]
    return np.array(turned) + middle
