"""Digits rotated, or distorted at random: more examples for free, since no two people write alike.

A pixel of the new picture comes from a place that lies between four pixels of the old one. It takes its share of
each, the more the nearer, which blurs a little. Whatever lies outside of the picture is background.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mynn.arrays import Bytes, Floats
from mynn.mnist import PIXELS, SIDE, Examples

BACKGROUND = 0.01  # the input of a pixel without ink
TOGETHER = 20  # digits that are distorted alike

_WHOLE = 1 << 16  # shares as whole numbers: a Pi Zero under Debian has quick arithmetic for nothing else
_BLOCK = 500  # pictures at a time, to save memory
_MIDDLE = (SIDE - 1) / 2


def rotate(inputs: ArrayLike, degrees: float) -> NDArray[np.float64]:
    """Rotate a digit about its middle, anticlockwise by so many degrees (clockwise where they are negative).

    Takes inputs of shape (784,), 0.01 to 1.0, and gives the same.
    """
    places, shares = _neighbours(_rotation(degrees))  # (4, 784) each
    foreground = np.asarray(inputs, np.float64) - BACKGROUND  # (784,)
    rotated: NDArray[np.float64] = BACKGROUND + (foreground[places] * shares).sum(axis=0)  # (784,)
    return rotated


def rotated(examples: Examples, degrees: float) -> Examples:
    """Return all the examples rotated as `rotate` does it, with the labels that they have.

    They are pixels, as the examples are: one byte each, so that 60,000 digits take 47 MB. Rotate part after
    part, `examples[:10_000]` and so on, where that is too much.
    """
    if degrees == 0:
        return examples
    return Examples(examples.labels, _resampled(examples.pixels, _rotation(degrees)))


@dataclass(frozen=True)
class Distortion:
    """A digit as if the same person had written it once more, in a hurry, on a moving bus.

    As a whole it is rotated, rescaled, sheared and shifted a little; and besides, each part of it is pulled
    somewhere else, parts that are near each other nearly the same way. (Elastic distortions: Simard, Steinkraus
    and Platt, "Best practices for convolutional neural networks applied to visual document analysis", 2003.)
    How much, at most (how much it is each time is drawn at random):

    `rotation`  degrees, either way
    `scaling`   share by which it is larger or smaller, in each direction on its own
    `shear`     pixels to the side for each pixel up
    `shift`     pixels, in each direction
    `alpha`     how strongly its parts are pulled: with 20, the usual pull is of about a pixel
    `sigma`     how near each other parts are that are pulled alike, in pixels
    """

    rotation: float = 10.0
    scaling: float = 0.1
    shear: float = 0.15
    shift: float = 0.5
    alpha: float = 20.0
    sigma: float = 4.0

    def __call__(self, pixels: Bytes, random: np.random.Generator) -> Bytes:
        """Return other pixels for these, shape (n, 784), one byte each; the same generator gives the same.

        Twenty digits that follow each other are distorted alike: it is twenty times as much work otherwise.
        """
        distorted = np.empty_like(pixels)
        for first in range(0, len(pixels), TOGETHER):
            some = slice(first, first + TOGETHER)
            distorted[some] = _resampled(pixels[some], self.where(random))
        return distorted

    def where(self, random: np.random.Generator) -> Floats:
        """Draw a distortion: return where in the old picture each pixel of the new one comes from, shape (2, 784)."""
        matrix = _rotation_matrix(random.uniform(-self.rotation, self.rotation))
        matrix[1] += random.uniform(-self.shear, self.shear) * matrix[0]  # the higher, the farther to the side
        matrix *= random.uniform(1 - self.scaling, 1 + self.scaling, (2, 1))
        whole = _places(matrix) + random.uniform(-self.shift, self.shift, (2, 1))

        smooth = _smoothing(self.sigma)  # (28, 28)
        pulls = smooth @ random.uniform(-1, 1, (2, SIDE, SIDE)).astype(np.float32) @ smooth.T
        return np.asarray(whole + self.alpha * pulls.reshape(2, -1), np.float32)


def _rotation(degrees: float) -> Floats:
    return _places(_rotation_matrix(degrees))


def _rotation_matrix(degrees: float) -> Floats:
    """Return what turns a pixel's place (down, right of the middle) back to where it comes from: (2, 2)."""
    angle = np.deg2rad(degrees)
    return np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])


def _places(matrix: Floats) -> Floats:
    """Return where in the old picture each pixel of the new one comes from, shape (2, 784): down and right."""
    grid = np.indices((SIDE, SIDE)).reshape(2, PIXELS) - _MIDDLE  # (2, 784)
    places: Floats = matrix @ grid + _MIDDLE
    return places


@lru_cache
def _smoothing(sigma: float) -> Floats:
    """Return the matrix, (28, 28), that puts in each place the mean of those around it: a bell of that width."""
    apart = np.subtract.outer(np.arange(SIDE), np.arange(SIDE))
    bell = np.exp(-0.5 * (apart / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi))
    smooth: Floats = bell.astype(np.float32)
    return smooth


def _neighbours(where: Floats) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
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


def _resampled(pixels: Bytes, where: Floats) -> Bytes:
    """Return new pictures for these, shape (n, 784), one byte each; `where` is as in `_neighbours`."""
    places, shares = _neighbours(where)
    parts = np.rint(shares * _WHOLE).astype(np.int32)  # (4, 784)
    new = np.empty((len(pixels), PIXELS), np.uint8)
    for first in range(0, len(pixels), _BLOCK):
        rows = pixels[first : first + _BLOCK]  # (block, 784)
        total = sum(rows[:, place] * part for place, part in zip(places, parts, strict=True))
        new[first : first + _BLOCK] = (total + _WHOLE // 2) // _WHOLE
    return new
