"""Distorted digits are other digits of the same kind."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mynn import NeuralNetwork, read_csv
from mynn.arrays import Bytes
from mynn.distort import TOGETHER, Distortion
from mynn.mnist import Examples

NONE = Distortion(rotation=0, scaling=0, shear=0, shift=0, alpha=0)


@pytest.fixture(scope="module")
def digits(mnist: Path) -> Examples:
    return read_csv(mnist / "mnist_train.csv", limit=1200)


def random() -> np.random.Generator:
    return np.random.default_rng(1)


def middles(pixels: Bytes) -> np.ndarray:
    """Where the ink of each digit lies in the mean: (n, 2), down and right."""
    ink = pixels.reshape(-1, 28, 28).astype(float)
    down, right = np.indices((28, 28))
    total = ink.sum(axis=(1, 2))
    return np.stack([(ink * down).sum(axis=(1, 2)) / total, (ink * right).sum(axis=(1, 2)) / total], axis=1)


def slants(pixels: Bytes) -> np.ndarray:
    """By how many pixels each digit leans to the right for each pixel up, from the moments of its ink."""
    ink = pixels.reshape(-1, 28, 28).astype(float)
    down, right = np.indices((28, 28))
    middle = middles(pixels)
    up, aside = middle[:, 0, None, None] - down, right - middle[:, 1, None, None]
    lean: np.ndarray = (ink * up * aside).sum(axis=(1, 2)) / (ink * up**2).sum(axis=(1, 2))
    return lean


def test_no_distortion_changes_nothing(digits: Examples) -> None:
    assert (NONE(digits.pixels, random()) == digits.pixels).all()


def test_the_same_seed_gives_the_same_and_each_few_digits_their_own(digits: Examples) -> None:
    distortion, pixels = Distortion(), digits.pixels
    first, again, other = (distortion(pixels, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first.dtype == np.uint8 and first.shape == pixels.shape
    assert (first == again).all()
    assert (first != other).any(axis=1).all()
    same = distortion(np.repeat(pixels[:1], 10 * TOGETHER, axis=0), random())
    assert len(np.unique(same, axis=0)) == 10  # as many as were drawn


def test_a_shift_moves_the_whole_digit_no_farther_than_asked(digits: Examples) -> None:
    moved = middles(replace(NONE, shift=2)(digits.pixels, random())) - middles(digits.pixels)
    assert 1.8 < np.abs(moved).max() < 2.3  # a digit near the edge loses ink there, and so moves farther
    assert np.abs(moved.mean(axis=0)).max() < 0.3  # 60 were drawn
    assert moved.std() == pytest.approx(2 / 3**0.5, rel=0.15)


def test_a_stretch_changes_the_ink_by_its_area(digits: Examples) -> None:
    change = replace(NONE, scaling=0.1)(digits.pixels, random()).sum(axis=1) / digits.pixels.sum(axis=1)
    assert 0.8 < change.min() < 0.9 and 1.1 < change.max() < 1.25
    assert change.mean() == pytest.approx(1, abs=0.02)


def test_a_slant_leans_the_digit(digits: Examples) -> None:
    lean = slants(replace(NONE, shear=0.3)(digits.pixels, random())) - slants(digits.pixels)
    assert lean.std() == pytest.approx(0.3 / 3**0.5, rel=0.1)
    assert np.abs(lean).max() < 0.35


def test_a_turn_turns_no_farther_than_asked(digits: Examples) -> None:
    ones = digits.pixels[digits.labels == 1]  # long and thin: their slant is their direction
    turned = np.degrees(np.arctan(slants(replace(NONE, rotation=10)(ones, random()))) - np.arctan(slants(ones)))
    assert 8 < np.abs(turned).max() < 12
    assert abs(turned.mean()) < 2


def test_the_usual_pull_is_of_about_a_pixel() -> None:
    """As the docstring says: measured away from the edge, where there is less to pull."""
    distortion, same = replace(NONE, alpha=20), random()
    places = np.array([distortion.where(same) for _ in range(300)]).reshape(-1, 2, 28, 28)
    pulls = (places - np.indices((28, 28)))[:, :, 10:18, 10:18]
    assert np.sqrt((pulls**2).sum(axis=1)).mean() == pytest.approx(1.0, abs=0.1)
    neighbours = np.corrcoef(pulls[:, 0, 3, 3], pulls[:, 0, 3, 4])[0, 1]
    assert neighbours > 0.9  # what is near is pulled alike


def test_distorted_digits_are_still_read(digits: Examples, mnist: Path) -> None:
    """Networks that never met one read .728 to .743 of them over seeds 0 to 9; .862 to .873 as they were written."""
    network = NeuralNetwork(784, 50, 10, 0.1, seed=0)
    network.fit(read_csv(mnist / "mnist_train.csv", limit=5000))
    testing = read_csv(mnist / "mnist_test.csv", limit=2000)
    distorted = network.score(Examples(testing.labels, Distortion()(testing.pixels, random())))
    assert distorted == pytest.approx(0.733, abs=0.03)
    assert network.score(testing) == pytest.approx(0.868, abs=0.02)
