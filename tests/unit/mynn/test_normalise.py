"""Digits brought to one slant and one size."""

from pathlib import Path

import numpy as np
import pytest

from mynn import Examples, read_csv
from mynn.arrays import Bytes, Floats
from mynn.distort import Distortion
from mynn.normalise import MOST_SHEAR, MOST_STRETCH, Normalisation

NO_DISTORTION = Distortion(rotation=0, scaling=0, shear=0, shift=0, alpha=0)
FULL = Normalisation(upright=1.0, width=18.0, height=22.0)


@pytest.fixture(scope="module")
def digits(mnist: Path) -> Examples:
    return read_csv(mnist / "mnist_train.csv", 500)


def moments(pixels: Bytes) -> tuple[Floats, Floats]:
    """Return, pixel by pixel, the middle of the ink, (2,), and its covariance, (2, 2), down and right."""
    places = np.indices((28, 28)).reshape(2, 784)
    ink = pixels.astype(np.float64)
    return np.average(places, axis=1, weights=ink), np.cov(places, aweights=ink, bias=True)


def test_digits_are_brought_upright_to_one_size_and_into_the_middle(digits: Examples) -> None:
    ones = digits.labels == 1  # too narrow to become as wide as that
    middles, spreads = zip(*map(moments, FULL(digits.pixels[~ones])), strict=True)
    assert np.abs(np.array(middles) - 13.5).max() < 0.6  # a little ink may be outside of the picture now
    slants = [spread[0, 1] / spread[0, 0] for spread in spreads]
    assert np.abs(slants).mean() < 0.01
    height, width = np.mean([4 * np.sqrt(np.diag(spread)) for spread in spreads], axis=0)
    assert (height, width) == (pytest.approx(22, abs=0.5), pytest.approx(18, abs=0.5))


def test_shear_and_stretch_have_bounds() -> None:
    line = np.zeros((3, 28, 28), np.uint8)
    line[0, 14, 2:26] = 255  # lies
    line[1, range(2, 26), range(2, 26)] = 255
    line[1, 13:15] = 255
    frames = Normalisation(1.0, 300.0, 300.0).frames(line.reshape(3, 784))  # the last is empty
    assert np.isfinite(frames).all()
    assert (frames[:, 0, 0] == 1 / MOST_STRETCH).all()
    assert (np.abs(frames[:, 1, 0]) <= MOST_SHEAR / MOST_STRETCH).all()
    assert FULL(line[:0].reshape(0, 784)).shape == (0, 784)


def test_a_distortion_works_on_normalised_digits(digits: Examples) -> None:
    frames = FULL.frames(digits.pixels)
    assert (NO_DISTORTION(digits.pixels, np.random.default_rng(0), frames) == FULL(digits.pixels)).all()
