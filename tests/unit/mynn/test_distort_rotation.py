"""Rotating digits: one, and many at once."""

import numpy as np
import pytest
from scipy import ndimage

from mynn.distort import rotate, rotated
from mynn.mnist import Examples, scale


def digits(count: int) -> Examples:
    """Return pictures of noise with an empty margin, as MNIST's digits have."""
    random = np.random.default_rng(count)
    pixels = np.pad(random.integers(0, 256, (count, 20, 20), np.uint8), ((0, 0), (4, 4), (4, 4)))
    return Examples(random.integers(0, 10, count, np.uint8), pixels.reshape(count, 784))


@pytest.mark.parametrize("degrees", [0, 10, -10, 25, 137.5])
def test_digits_are_rotated_anticlockwise_as_scipy_does_it(degrees: float, implementation: str) -> None:
    examples = digits(123)
    before = examples.pixels.copy()
    turned = rotated(examples, degrees)
    assert turned.pixels.dtype == np.uint8 and (turned.labels == examples.labels).all()
    assert (examples.pixels == before).all() and (degrees != 0 or (turned.pixels == before).all())
    assert (rotate(examples[7][0], degrees) == scale(turned.pixels[7])).all()
    pictures = before.reshape(-1, 28, 28).astype(float)
    scipys = ndimage.rotate(pictures, degrees, axes=(2, 1), reshape=False, order=1)
    off = np.abs(turned.pixels.reshape(-1, 28, 28) - scipys)
    assert off[:, 1:-1, 1:-1].max() < 1.6  # at the edge, scipy leaves out what is partly outside
