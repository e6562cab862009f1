"""Elastic distortion of digits."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from mynn import NeuralNetwork, distort, kernel, read_csv
from mynn.arrays import Integers
from mynn.distort import SHARED, Distortion
from mynn.mnist import Examples

NO_DISTORTION = Distortion(rotation=0, scaling=0, shear=0, shift=0, alpha=0)


@pytest.fixture(scope="module")
def digits(mnist: Path) -> Examples:
    return read_csv(mnist / "mnist_train.csv", limit=1200)


def random() -> np.random.Generator:
    return np.random.default_rng(1)


def random_arguments(distortion: Distortion, count: int) -> tuple[Integers, Integers, Integers]:
    """Return the arguments of `distort._resample` for a number of digits, without their pixels."""
    generator = random()
    fields = distortion._fields(max(2, count // SHARED), generator)
    return distortion._matrices(count, generator), fields, generator.integers(0, len(fields), (count, 2), np.int32)


def test_distortion_is_reproducible_and_differs_from_digit_to_digit(digits: Examples) -> None:
    distortion, pixels = Distortion(), digits.pixels
    assert (NO_DISTORTION(pixels, random()) == pixels).all()
    first, again = distortion(pixels, random()), distortion(pixels, random())
    assert first.dtype == np.uint8 and (first == again).all()
    same = distortion(np.repeat(pixels[:1], 200, axis=0), random())
    assert len(np.unique(same, axis=0)) == 200


DISTORTIONS = (Distortion(), Distortion(90, 0.5, 1.0, 40.0), replace(NO_DISTORTION, alpha=900))


@pytest.mark.skipif(not kernel.READY, reason=f"no compiled kernel: {kernel.STATE}")
@pytest.mark.parametrize("distortion", DISTORTIONS, ids=str)
def test_scipy_and_the_kernel_agree_but_for_rounding(digits: Examples, distortion: Distortion) -> None:
    """Even for strong distortions, pixels that are not contiguous, and no digits at all."""
    for pixels in (digits.pixels, digits.pixels[::-3], np.full((7, 784), 255, np.uint8), digits.pixels[:0]):
        arguments = random_arguments(distortion, len(pixels))
        new, other = kernel.resample(pixels, *arguments), distort._resample(pixels, *arguments)
        assert new.dtype == other.dtype == np.uint8 and np.abs(new.astype(int) - other).max(initial=0) <= 1


@pytest.mark.skipif(not kernel.READY, reason=f"no compiled kernel: {kernel.STATE}")
def test_the_kernel_refuses_arrays_that_do_not_fit(digits: Examples) -> None:
    matrices, fields, which = random_arguments(Distortion(), 40)
    good: list[Any] = [digits.pixels[:40], matrices, fields, which]
    kernel.resample(*good)
    for place, bad in [
        (0, digits.pixels[:41]),
        (0, digits.pixels[:40].astype(int)),
        (1, matrices[:39]),
        (2, fields[:1]),
        (3, which - 1),
    ]:
        with pytest.raises(ValueError, match="there "):
            kernel.resample(*(bad if number == place else array for number, array in enumerate(good)))


def test_pulls_are_smooth_noise_of_about_a_pixel() -> None:
    """As its docstring says. Measured away from the edge, where displacements are smaller."""
    fields = replace(NO_DISTORTION, alpha=20)._fields(600, random())
    noise = random().integers(-127, 128, (600, 28, 28), np.int8) / 127
    smooth = ndimage.gaussian_filter(noise, 4.0, axes=(1, 2), mode="constant", truncate=8)
    assert np.abs(fields.reshape(noise.shape) / 65536 - 20 * smooth).max() < 0.01
    displacements = fields.reshape(-1, 2, 28, 28)[:, :, 10:18, 10:18] / 65536
    assert np.sqrt((displacements**2).sum(axis=1)).mean() == pytest.approx(1.0, abs=0.1)


def test_most_distorted_digits_are_still_recognised(digits: Examples, mnist: Path) -> None:
    """Networks trained on undistorted digits (seeds 0 to 9) recognised .740 to .753; undistorted, .862 to .873."""
    network = NeuralNetwork(784, 50, 10, 0.1, seed=0)
    network.fit(read_csv(mnist / "mnist_train.csv", limit=5000))
    testing = read_csv(mnist / "mnist_test.csv", limit=2000)
    distorted = network.score(Examples(testing.labels, Distortion()(testing.pixels, random())))
    assert distorted == pytest.approx(0.746, abs=0.03)
    assert network.score(testing) == pytest.approx(0.868, abs=0.02)
