"""Digits turned: people do not all write upright, and a turned digit is one more example for free."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage  # slow to load on a Pi Zero: so whoever turns digits imports this file by name

from mynn.data import SIDE

PAPER = 0.01  # the input of a pixel without ink, for the corners that the turn brings into the picture


def rotate(inputs: ArrayLike, degrees: float) -> NDArray[np.float64]:
    """Turn a digit about its middle, anticlockwise by so many degrees (clockwise where they are negative).

    Takes inputs of shape (784,), 0.01 to 1.0, and gives the same. A pixel of the turned digit lies
    between four of the old one's and takes its share of each, which blurs a little (`order=1`).
    """
    picture = np.asarray(inputs, np.float64).reshape(SIDE, SIDE)  # (28, 28)
    turned = ndimage.rotate(picture, degrees, reshape=False, order=1, cval=PAPER)  # (28, 28)
    return np.asarray(turned, np.float64).reshape(SIDE * SIDE)  # (784,)
