"""Digits distorted at random, as if the same person had written them once more, in a hurry, on a moving bus.

As a whole a digit is turned, stretched, slanted and shifted a little; and besides, each part of it is pulled somewhere
else, parts that are near each other nearly the same way. (Elastic distortions: Simard, Steinkraus and Platt, "Best
practices for convolutional neural networks applied to visual document analysis", 2003.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage  # slow to load on a Pi Zero: so whoever distorts digits imports this file by name

from mynn.data import SIDE

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]

_BLOCK = 500  # digits at once, to stay small


@dataclass(frozen=True)
class Distortion:
    """How much, at most: each digit draws its own part of it.

    `turn`     degrees, either way
    `stretch`  share by which it is larger or smaller, in each direction on its own
    `slant`    pixels to the side for each pixel up
    `shift`    pixels, in each direction
    `wobble`   how strongly its parts are pulled: with 20, the usual pull is of about a pixel
    `reach`    how near each other parts are that are pulled alike, in pixels
    """

    turn: float = 10.0
    stretch: float = 0.1
    slant: float = 0.15
    shift: float = 0.5
    wobble: float = 20.0
    reach: float = 4.0

    def __call__(self, pixels: Bytes, random: np.random.Generator) -> Bytes:
        """Return other pixels for these, shape (n, 784), one byte each; the same generator gives the same."""
        distorted = np.empty_like(pixels)
        for first in range(0, len(pixels), _BLOCK):
            block = pixels[first : first + _BLOCK].reshape(-1, SIDE, SIDE)
            distorted[first : first + _BLOCK] = self._block(block, random).reshape(len(block), -1)
        return distorted

    def _block(self, pictures: Bytes, random: np.random.Generator) -> Bytes:
        count = len(pictures)
        where = np.empty((3, count, SIDE, SIDE), np.float32)  # of which picture, down, right
        where[0] = np.arange(count)[:, None, None]
        where[1:] = self._places(count, random).swapaxes(0, 1)
        found = ndimage.map_coordinates(pictures.astype(np.float32), where, np.float32, order=1)
        rounded: Bytes = np.rint(found).astype(np.uint8)
        return rounded

    def _places(self, count: int, random: np.random.Generator) -> Floats:
        """Return where in the old picture each pixel of the new one comes from: (count, 2, 28, 28)."""
        angle = np.deg2rad(random.uniform(-self.turn, self.turn, count))
        slant = random.uniform(-self.slant, self.slant, count)
        larger = random.uniform(1 - self.stretch, 1 + self.stretch, (count, 2, 1))
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]).transpose(2, 0, 1)
        turn[:, 1] += slant[:, None] * turn[:, 0]  # what is higher comes from farther to the side
        middle = (SIDE - 1) / 2
        grid = (np.indices((SIDE, SIDE)).reshape(2, -1) - middle).astype(np.float32)  # (2, 784)
        whole = ((larger * turn).astype(np.float32) @ grid).reshape(count, 2, SIDE, SIDE)
        shift = random.uniform(-self.shift, self.shift, (count, 2, 1, 1)) + middle

        pulls = 2 * random.random((count, 2, SIDE, SIDE), np.float32) - 1
        smooth = _smoothing(self.reach)
        places: Floats = whole + shift.astype(np.float32) + np.float32(self.wobble) * (smooth @ pulls @ smooth.T)
        return places


def _smoothing(reach: float) -> Floats:
    """Return the matrix, (28, 28), that puts in each place the mean of those around it: a bell of that width."""
    apart = np.subtract.outer(np.arange(SIDE), np.arange(SIDE))
    bell = np.exp(-0.5 * (apart / reach) ** 2) / (reach * np.sqrt(2 * np.pi))
    smooth: Floats = bell.astype(np.float32)
    return smooth
