"""Rotating digits: one, and many at once."""

import numpy as np
import pytest
from scipy import ndimage

from mynn.distort import BACKGROUND, rotate, rotated
from mynn.mnist import Examples, scale


def bar(degrees: float) -> np.ndarray:
    """Return a picture of a bar through the centre, rotated anticlockwise from horizontal."""
    rows, columns = np.mgrid[13.5:-14.5:-1, -13.5:14.5]  # up and right are positive
    slope = np.deg2rad(degrees)
    along = columns * np.cos(slope) + rows * np.sin(slope)
    across = rows * np.cos(slope) - columns * np.sin(slope)
    ink = np.clip(9.5 - abs(along), 0, 1) * np.clip(3 - abs(across), 0, 1)
    picture: np.ndarray = BACKGROUND + ink.reshape(784) * (1 - BACKGROUND)
    return picture


@pytest.mark.parametrize("degrees", [10, -10, 25, 70])
def test_a_positive_angle_rotates_anticlockwise(degrees: float) -> None:
    turned = rotate(bar(30), degrees)
    assert turned.shape == (784,) and turned.dtype == np.float64
    assert np.abs(turned - bar(30 + degrees)).mean() < 0.02
    assert np.abs(turned - bar(30 - degrees)).mean() > 0.05


def digits(count: int) -> Examples:
    """Return pictures of noise with an empty margin, as MNIST's digits have."""
    random = np.random.default_rng(count)
    pixels = np.pad(random.integers(0, 256, (count, 20, 20), np.uint8), ((0, 0), (4, 4), (4, 4)))
    return Examples(random.integers(0, 10, count, np.uint8), pixels.reshape(count, 784))


@pytest.mark.parametrize("degrees", [10, -25, 90, 137.5])
def test_the_result_equals_scipys(degrees: float) -> None:
    (inputs, _) = digits(1)[0]
    scipys = ndimage.rotate(inputs.reshape(28, 28), degrees, reshape=False, order=1, cval=BACKGROUND)
    # scipy ignores what is less than a pixel outside the picture, so the edges are left out.
    assert np.abs(rotate(inputs, degrees).reshape(28, 28) - scipys)[1:-1, 1:-1].max() < 1e-12


@pytest.mark.parametrize("degrees", [0, 10, -10, 25, 137.5])
def test_many_digits_are_rotated_like_single_ones(degrees: float) -> None:
    examples = digits(1234)
    before = examples.pixels.copy()
    turned = rotated(examples, degrees)
    assert turned.pixels.dtype == np.uint8 and (turned.labels == examples.labels).all()
    one_by_one = np.array([rotate(inputs, degrees) for inputs, _ in examples])
    assert np.abs(scale(turned.pixels) - one_by_one).max() < 0.501 / 255  # rounded to whole pixel values
    assert (examples.pixels == before).all()
    if degrees == 0:
        assert (turned.pixels == before).all()
