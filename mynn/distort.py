"""Digits rotated, or distorted at random: more examples for free, since no two people write alike.

A pixel of the new picture comes from a place that lies between four pixels of the old one. It takes its share of
each, the more the nearer, which blurs a little. Whatever lies outside of the picture is background.
"""

from __future__ import annotations

import platform
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mynn import kernel
from mynn.arrays import Bytes, Floats, Integers
from mynn.mnist import PIXELS, SIDE, Examples, scale

BACKGROUND = 0.01  # the input of a pixel without ink
SHARED = 10  # digits for each field of pulls

_PLACE = 1 << 16  # what a pixel is divided into, for places
_MIDDLE = (SIDE - 1) / 2
# What numpy multiplies quickest: under Debian, a Pi Zero has quick arithmetic for whole numbers only.
_QUICK = np.int32 if platform.machine() == "armv6l" else np.float32


def rotate(inputs: ArrayLike, degrees: float) -> Floats:
    """Rotate a digit about its middle, anticlockwise by so many degrees (clockwise where they are negative).

    Takes inputs of shape (784,), 0.01 to 1.0, and gives the same, each rounded to one of a pixel's 256 values.
    """
    foreground = (np.asarray(inputs, np.float64) - BACKGROUND) / (1 - BACKGROUND)
    pixels = np.rint(255 * foreground).astype(np.uint8)[None]  # (1, 784)
    return scale(in_frames(pixels, _rotation(degrees, 1))[0])


def rotated(examples: Examples, degrees: float) -> Examples:
    """Return all the examples rotated as `rotate` does it, with the labels that they have.

    They are pixels, as the examples are: one byte each, so that 60,000 digits take 47 MB. Rotate part after
    part, `examples[:10_000]` and so on, where that is too much.
    """
    if degrees == 0:
        return examples
    return Examples(examples.labels, in_frames(examples.pixels, _rotation(degrees, len(examples))))


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

    rotation: float = 6.0
    scaling: float = 0.07
    shear: float = 0.08
    shift: float = 0.5
    alpha: float = 14.0
    sigma: float = 4.0

    def __call__(self, pixels: Bytes, random: np.random.Generator, frames: Floats | None = None) -> Bytes:
        """Return other pixels for these, shape (n, 784), one byte each; the same generator gives the same.

        Each digit is distorted in its own way. Only the pulls, which are much work, are drawn for every tenth digit,
        and each takes two of them: one for down, one for the right.

        frames  which part of its picture each digit is: distort what `in_frames` would make of them
        """
        matrices = self._matrices(len(pixels), random, frames)  # (n, 2, 3)
        fields = self._fields(max(2, len(pixels) // SHARED), random)  # (m, 784)
        which = random.integers(0, len(fields), (len(pixels), 2), np.int32)  # (n, 2)
        return (kernel.resample if kernel.READY else _resample)(pixels, matrices, fields, which)

    def weaker(self, part: float) -> Distortion:
        """Return this distortion with a part (0..1) of its strength; what is pulled alike stays as it is."""
        return replace(self, **{name: part * most for name, most in asdict(self).items() if name != "sigma"})

    def _matrices(self, count: int, random: np.random.Generator, frames: Floats | None = None) -> Integers:
        """Draw where digits come from as a whole: shape (count, 2, 3), as `_resample` takes it."""
        places = np.empty((count, 2, 3))
        matrix, shift = places[:, :, :2], places[:, :, 2]  # (count, 2, 2), (count, 2)
        matrix[:] = np.moveaxis(_rotation_matrix(random.uniform(-self.rotation, self.rotation, count)), 2, 0)
        matrix[:, 1] += random.uniform(-self.shear, self.shear, (count, 1)) * matrix[:, 0]  # the higher, the farther
        matrix *= random.uniform(1 - self.scaling, 1 + self.scaling, (count, 2, 1))
        shift[:] = random.uniform(-self.shift, self.shift, (count, 2))
        if frames is None:
            shift += _MIDDLE
        else:
            places = frames[:, :, :2] @ places
            places[:, :, 2] += frames[:, :, 2]
        return _whole(places)

    def _fields(self, count: int, random: np.random.Generator) -> Integers:
        """Draw by how much each pixel is pulled, in one direction: shape (count, 784), as `_resample` takes it."""
        noise = random.integers(-127, 128, (count, SIDE, SIDE), np.int8).astype(_QUICK)
        smoothing, strength = _smoothing(self.sigma), round(self.alpha * 4096 * 128 / 127)  # 1 at 127
        # Whole numbers below 2 to 24, which a float32 holds exactly: the same on every computer.
        half = (smoothing @ noise).astype(np.int32) + 64 >> 7
        fields = (half.astype(_QUICK) @ smoothing).astype(np.int64) * strength >> 20
        whole: Integers = fields.astype(np.int32).reshape(-1, PIXELS)
        return whole


def in_frames(pixels: Bytes, frames: Floats) -> Bytes:
    """Return new pixels for these, shape (n, 784), one byte each: each digit as it looks in its frame.

    frames  where the new picture comes from in the old one, shape (n, 2, 3): down and right of its top left pixel. The
            first column is multiplied by how many pixels a new pixel is below the middle, the second by how many it is
            to the right of it, and the third is added
    """
    fields, which = np.zeros((1, PIXELS), np.int32), np.zeros((len(pixels), 2), np.int32)
    return (kernel.resample if kernel.READY else _resample)(pixels, _whole(frames), fields, which)


def _whole(frames: Floats) -> Integers:
    """Return frames as `_resample` takes them."""
    halves = frames * (0.5, 0.5, 1.0)
    whole: Integers = np.rint(halves * _PLACE).astype(np.int32)
    return whole


def _rotation(degrees: float, count: int) -> Floats:
    """Return the frames, (count, 2, 3), in which so many digits are rotated about the middle of their pictures."""
    frame = np.column_stack([_rotation_matrix(degrees), [_MIDDLE, _MIDDLE]])
    return np.broadcast_to(frame, (count, 2, 3))


def _rotation_matrix(degrees: float | Floats) -> Floats:
    """Return what turns a pixel's place (down, right of the middle) back to where it comes from: (2, 2).

    Of degrees of shape (n,), it is (2, 2, n).
    """
    angle = np.deg2rad(degrees)
    return np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])


@lru_cache
def _smoothing(sigma: float) -> NDArray[Any]:
    """Return the matrix, (28, 28), that puts in each place the mean of those around it: a bell of that width.

    In 4096ths, so that sums of 28 stay below 2 to 24.
    """
    apart = np.subtract.outer(np.arange(SIDE), np.arange(SIDE))
    bell = np.exp(-0.5 * (apart / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi))
    smooth: NDArray[Any] = np.rint(4096 * bell).astype(_QUICK)
    return smooth


def _resample(pixels: Bytes, matrices: Integers, fields: Integers, which: Integers) -> Bytes:
    """Return new pictures for these, shape (n, 784), one byte each.

    This is for where there is no compiled kernel. kernel/distort.c does the same with whole numbers only, so the same
    bytes come of it on every computer; this is slower, and a pixel may differ by 1.

    matrices  where a digit's new pixels come from as a whole, down and right: shape (n, 2, 3), in 65,536ths of a pixel;
              the first column is multiplied by how many halves of a pixel a new pixel is below the middle, the second
              by how many it is to the right of it, and the third is added
    fields    what may be added to that, shape (m, 784), in the same unit
    which     the fields that are, down and right, shape (n, 2)
    """
    from scipy import ndimage  # only now: it takes a Pi Zero seconds

    grid = 2 * np.indices((SIDE, SIDE)).reshape(2, PIXELS) - (SIDE - 1)  # (2, 784)
    new = np.empty((len(pixels), PIXELS), np.uint8)
    for old, matrix, pulls, to in zip(pixels, matrices, which, new, strict=True):
        where = (matrix[:, :2] @ grid + matrix[:, 2:] + fields[pulls]) / _PLACE  # (2, 784)
        picture = old.reshape(SIDE, SIDE).astype(np.float64)
        to[:] = np.rint(ndimage.map_coordinates(picture, where, order=1, mode="grid-constant"))
    return new
