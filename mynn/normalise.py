"""Moment normalization: digits deskewed and scaled to one size, since writers differ in slant and size.

Slant and size come from the moments of the ink: its mean, its variances down and across, and its covariance.
(R. G. Casey, "Moment normalization of handprinted characters", 1970.)
"""

from __future__ import annotations

import platform
from dataclasses import dataclass

import numpy as np

from mynn.arrays import Bytes, Floats
from mynn.distort import in_frames
from mynn.mnist import SIDE

MOST_SHEAR = 1.2  # pixels to the side for each pixel up
MOST_STRETCH = 2.0  # times as large, or as small
_LEAST = 0.25  # least variance, in pixels squared, as of a dot
_BLOCK = 1000  # digits at a time, to save memory
# Row numbers, and column numbers, to the powers 0 to 2. A Pi Zero's numpy multiplies integers much faster.
_POWERS = np.arange(SIDE, dtype=np.int32)[:, None] ** np.arange(3)
_POWERS = _POWERS.astype(np.int32 if platform.machine() == "armv6l" else np.float64)


@dataclass(frozen=True)
class Normalisation:
    """Target slant and size of digits.

    `upright`  fraction of its slant to remove from each digit, 0 to 1: with 1, its ink leans neither way
    `width`    width of the ink in pixels, as four standard deviations, since ends count little; None: unchanged
    `height`   height of the ink in pixels, likewise
    """

    upright: float = 0.0
    width: float | None = None
    height: float | None = None

    def __call__(self, pixels: Bytes) -> Bytes:
        """Return the normalised digits, shape (n, 784), one byte each."""
        return in_frames(pixels, self.frames(pixels))

    def frames(self, pixels: Bytes) -> Floats:
        """Return the frames that normalise these digits, shape (n, 2, 3): see `distort.in_frames`."""
        parts = [self._frames(pixels[first : first + _BLOCK]) for first in range(0, len(pixels), _BLOCK)]
        return np.concatenate([np.empty((0, 2, 3)), *parts])

    def _frames(self, pixels: Bytes) -> Floats:
        middle, spread = _moments(pixels)  # (n, 2), (n, 2, 2)
        shear = np.clip(self.upright * spread[:, 0, 1] / spread[:, 0, 0], -MOST_SHEAR, MOST_SHEAR)  # (n,)
        across = spread[:, 1, 1] - 2 * shear * spread[:, 0, 1] + shear**2 * spread[:, 0, 0]  # without the shear
        frames = np.zeros((len(pixels), 2, 3))
        frames[:, 0, 0] = 1 / _stretch(self.height, spread[:, 0, 0])
        frames[:, 1, 0] = shear * frames[:, 0, 0]
        frames[:, 1, 1] = 1 / _stretch(self.width, across)
        frames[:, :, 2] = middle
        return frames


def _stretch(wanted: float | None, variance: Floats) -> Floats:
    """Return each digit's stretch factor along one axis, shape (n,), from the variance of its ink along it."""
    if wanted is None:
        return np.ones_like(variance)
    return np.clip(wanted / np.sqrt(16 * variance), 1 / MOST_STRETCH, MOST_STRETCH)


def _moments(pixels: Bytes) -> tuple[Floats, Floats]:
    """Return the mean of each digit's ink, (n, 2), and its covariance matrix, (n, 2, 2), both as down, right.

    Sums are of integers, so they are the same on every computer.
    """
    sums = _POWERS.T @ (pixels.reshape(-1, SIDE, SIDE) @ _POWERS)  # (3, 28) @ (n, 28, 28) @ (28, 3) -> (n, 3, 3)
    means = sums / np.maximum(sums[:, :1, :1], 1)  # 1: no division by 0 for an empty picture
    middle = np.stack([means[:, 1, 0], means[:, 0, 1]], axis=1)
    products = np.moveaxis(np.array([[means[:, 2, 0], means[:, 1, 1]], [means[:, 1, 1], means[:, 0, 2]]]), 2, 0)
    spread = products - middle[:, :, None] * middle[:, None, :]
    spread[:, [0, 1], [0, 1]] = np.maximum(spread[:, [0, 1], [0, 1]], _LEAST)
    return middle, spread
