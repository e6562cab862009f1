"""Data augmentation: digits rotated, or distorted at random, since no two people write alike.

Each new pixel is interpolated bilinearly from the four old pixels around its source, which blurs a little.
Outside the picture is background.
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
SHARED = 10  # digits per displacement field

_PLACE = 1 << 16  # units of a coordinate per pixel
_MIDDLE = (SIDE - 1) / 2
# The type that numpy multiplies fastest: Debian's build for a Pi Zero has no hardware floating point.
_QUICK = np.int32 if platform.machine() == "armv6l" else np.float32


def rotate(inputs: ArrayLike, degrees: float) -> Floats:
    """Rotate a digit about the picture's middle, anticlockwise by so many degrees (clockwise if negative).

    inputs: shape (784,), 0.01 to 1.0. The result has the same shape and range, rounded to a pixel's 256 values.
    """
    foreground = (np.asarray(inputs, np.float64) - BACKGROUND) / (1 - BACKGROUND)
    pixels = np.rint(255 * foreground).astype(np.uint8)[None]  # (1, 784)
    return scale(in_frames(pixels, _rotation(degrees, 1))[0])


def rotated(examples: Examples, degrees: float) -> Examples:
    """Return all examples rotated as by `rotate`, with their labels.

    Pixels are one byte each, so 60,000 digits take 47 MB. To save memory, rotate them in parts:
    `examples[:10_000]` and so on.
    """
    if degrees == 0:
        return examples
    return Examples(examples.labels, in_frames(examples.pixels, _rotation(degrees, len(examples))))


@dataclass(frozen=True)
class Distortion:
    """Random distortion of a digit, as if its writer had written it again, in a hurry, on a moving bus.

    It rotates, rescales, shears and shifts the whole digit a little. A smooth displacement field then pulls
    neighbouring parts nearly alike. (Elastic distortions: Simard, Steinkraus and Platt, "Best practices for
    convolutional neural networks applied to visual document analysis", 2003.) The first four fields are limits;
    each digit gets random values within them:

    `rotation`  degrees, either way
    `scaling`   fraction larger or smaller, down and across independently
    `shear`     pixels to the side for each pixel up
    `shift`     pixels, in each direction
    `alpha`     strength of the displacements: with 20, a typical one is about a pixel
    `sigma`     width of the smoothing, in pixels: parts nearer than this are pulled alike
    """

    rotation: float = 6.0
    scaling: float = 0.07
    shear: float = 0.08
    shift: float = 0.5
    alpha: float = 14.0
    sigma: float = 4.0

    def __call__(self, pixels: Bytes, random: np.random.Generator, frames: Floats | None = None) -> Bytes:
        """Return distorted pixels, shape (n, 784), one byte each; the same generator state gives the same result.

        Each digit is distorted in its own way. Displacement fields are slow to compute, so there is one for every ten
        digits, and at least two. Each digit takes two of them at random: one for down, one for right.

        frames  the part of its picture that each digit fills: distorts the result of `in_frames`, in one step
        """
        matrices = self._matrices(len(pixels), random, frames)  # (n, 2, 3)
        fields = self._fields(max(2, len(pixels) // SHARED), random)  # (m, 784)
        which = random.integers(0, len(fields), (len(pixels), 2), np.int32)  # (n, 2)
        return (kernel.resample if kernel.READY else _resample)(pixels, matrices, fields, which)

    def weaker(self, part: float) -> Distortion:
        """Return this distortion with a part (0..1) of its strength; `sigma` stays."""
        return replace(self, **{name: part * most for name, most in asdict(self).items() if name != "sigma"})

    def _matrices(self, count: int, random: np.random.Generator, frames: Floats | None = None) -> Integers:
        """Draw random affine transformations, shape (count, 2, 3), in the format of `_resample`."""
        places = np.empty((count, 2, 3))
        matrix, shift = places[:, :, :2], places[:, :, 2]  # (count, 2, 2), (count, 2)
        matrix[:] = np.moveaxis(_rotation_matrix(random.uniform(-self.rotation, self.rotation, count)), 2, 0)
        matrix[:, 1] += random.uniform(-self.shear, self.shear, (count, 1)) * matrix[:, 0]  # grows with height
        matrix *= random.uniform(1 - self.scaling, 1 + self.scaling, (count, 2, 1))
        shift[:] = random.uniform(-self.shift, self.shift, (count, 2))
        if frames is None:
            shift += _MIDDLE
        else:
            places = frames[:, :, :2] @ places
            places[:, :, 2] += frames[:, :, 2]
        return _whole(places)

    def _fields(self, count: int, random: np.random.Generator) -> Integers:
        """Draw displacement fields, along one axis: shape (count, 784), in the format of `_resample`."""
        noise = random.integers(-127, 128, (count, SIDE, SIDE), np.int8).astype(_QUICK)
        smoothing, strength = _smoothing(self.sigma), round(self.alpha * 4096 * 128 / 127)  # noise of 127 counts as 1
        # Integers below 2 to the power of 24, exact in a float32: the same on every computer.
        half = (smoothing @ noise).astype(np.int32) + 64 >> 7
        fields = (half.astype(_QUICK) @ smoothing).astype(np.int64) * strength >> 20
        whole: Integers = fields.astype(np.int32).reshape(-1, PIXELS)
        return whole


def in_frames(pixels: Bytes, frames: Floats) -> Bytes:
    """Return new pixels, shape (n, 784), one byte each: each digit transformed by its frame.

    frames  affine maps from a new pixel to its source, shape (n, 2, 3). The source (down, right) counts from the old
            picture's top left pixel: the first column times the new pixel's distance below the middle, plus the second
            times its distance right of the middle, plus the third; in pixels
    """
    fields, which = np.zeros((1, PIXELS), np.int32), np.zeros((len(pixels), 2), np.int32)
    return (kernel.resample if kernel.READY else _resample)(pixels, _whole(frames), fields, which)


def _whole(frames: Floats) -> Integers:
    """Convert frames to the integers that `_resample` takes."""
    halves = frames * (0.5, 0.5, 1.0)
    whole: Integers = np.rint(halves * _PLACE).astype(np.int32)
    return whole


def _rotation(degrees: float, count: int) -> Floats:
    """Return `count` equal frames, (count, 2, 3), that rotate a digit about the middle of its picture."""
    frame = np.column_stack([_rotation_matrix(degrees), [_MIDDLE, _MIDDLE]])
    return np.broadcast_to(frame, (count, 2, 3))


def _rotation_matrix(degrees: float | Floats) -> Floats:
    """Return the matrix, (2, 2), from a new pixel to its source, both as (down, right) of the middle.

    For degrees of shape (n,), its shape is (2, 2, n).
    """
    angle = np.deg2rad(degrees)
    return np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])


@lru_cache
def _smoothing(sigma: float) -> NDArray[Any]:
    """Return the matrix, (28, 28), of a Gaussian blur along one axis, with standard deviation `sigma` in pixels.

    In 4096ths, so that sums of 28 stay below 2 to the power of 24.
    """
    apart = np.subtract.outer(np.arange(SIDE), np.arange(SIDE))
    bell = np.exp(-0.5 * (apart / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi))
    smooth: NDArray[Any] = np.rint(4096 * bell).astype(_QUICK)
    return smooth


def _resample(pixels: Bytes, matrices: Integers, fields: Integers, which: Integers) -> Bytes:
    """Return resampled pictures, shape (n, 784), one byte each: the fallback without the compiled kernel.

    kernel/distort.c does the same in integer arithmetic, with the same bytes on every computer. This is slower, and a
    pixel may differ by 1.

    matrices  affine maps from a new pixel to its source, shape (n, 2, 3), as frames in `in_frames`, but in 65,536ths
              of a pixel, and the new pixel's distances from the middle count in half pixels
    fields    displacements that may be added to the source, shape (m, 784), in the same unit
    which     indices of the two fields that each digit adds, down and right, shape (n, 2)
    """
    from scipy import ndimage  # imported late: it takes a Pi Zero seconds

    grid = 2 * np.indices((SIDE, SIDE)).reshape(2, PIXELS) - (SIDE - 1)  # (2, 784)
    new = np.empty((len(pixels), PIXELS), np.uint8)
    for old, matrix, pulls, to in zip(pixels, matrices, which, new, strict=True):
        where = (matrix[:, :2] @ grid + matrix[:, 2:] + fields[pulls]) / _PLACE  # (2, 784)
        picture = old.reshape(SIDE, SIDE).astype(np.float64)
        to[:] = np.rint(ndimage.map_coordinates(picture, where, order=1, mode="grid-constant"))
    return new
