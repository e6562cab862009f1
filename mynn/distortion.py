"""Digits distorted at random, as if the same person had written them once more, in a hurry, on a moving bus.

As a whole a digit is turned, stretched, slanted and shifted a little; and besides, each part of it is pulled somewhere
else, parts that are near each other nearly the same way. (Elastic distortions: Simard, Steinkraus and Platt, "Best
practices for convolutional neural networks applied to visual document analysis", 2003.)
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mynn.data import SIDE, Bytes
from mynn.resample import resample

Floats = NDArray[np.float32]

TOGETHER = 20


@dataclass(frozen=True)
class Distortion:
    """How much, at most: how much it is each time is drawn at random.

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
        """Return other pixels for these, shape (n, 784), one byte each; the same generator gives the same.

        Twenty digits that follow each other are distorted alike: it is twenty times as much work otherwise.
        """
        distorted = np.empty_like(pixels)
        for first in range(0, len(pixels), TOGETHER):
            some = slice(first, first + TOGETHER)
            distorted[some] = resample(pixels[some], self.where(random))
        return distorted

    def where(self, random: np.random.Generator) -> Floats:
        """Draw a distortion: return where in the old picture each pixel of the new one comes from, shape (2, 784)."""
        angle = np.deg2rad(random.uniform(-self.turn, self.turn))
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        turn[1] += random.uniform(-self.slant, self.slant) * turn[0]  # what is higher comes from farther aside
        turn *= random.uniform(1 - self.stretch, 1 + self.stretch, (2, 1))
        middle = (SIDE - 1) / 2
        grid = np.indices((SIDE, SIDE)).reshape(2, -1) - middle  # (2, 784)
        whole = turn @ grid + middle + random.uniform(-self.shift, self.shift, (2, 1))

        smooth = _smoothing(self.reach)  # (28, 28)
        pulls = smooth @ random.uniform(-1, 1, (2, SIDE, SIDE)).astype(np.float32) @ smooth.T
        return np.asarray(whole + self.wobble * pulls.reshape(2, -1), np.float32)


@lru_cache
def _smoothing(reach: float) -> Floats:
    """Return the matrix, (28, 28), that puts in each place the mean of those around it: a bell of that width."""
    apart = np.subtract.outer(np.arange(SIDE), np.arange(SIDE))
    bell = np.exp(-0.5 * (apart / reach) ** 2) / (reach * np.sqrt(2 * np.pi))
    smooth: Floats = bell.astype(np.float32)
    return smooth
