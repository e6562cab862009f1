"""Digits rotated, distorted, and brought to one slant and one size."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from mynn import distort, kernel, read_csv
from mynn.arrays import Bytes, Floats, Integers
from mynn.distort import SHARED, Distortion, rotate, rotated
from mynn.mnist import Examples, scale
from mynn.normalise import MOST_SHEAR, MOST_STRETCH, Normalisation

NO_DISTORTION = Distortion(rotation=0, scaling=0, shear=0, shift=0, alpha=0)


@pytest.fixture(scope="module")
def digits(mnist: Path) -> Examples:
    return read_csv(mnist / "mnist_train.csv", limit=1200)


@pytest.mark.parametrize("degrees", [0, 10, -10, 25, 137.5])
def test_digits_are_rotated_anticlockwise_as_scipy_does_it(
    degrees: float, implementation: str, digits: Examples
) -> None:
    examples = digits[:123]
    before = examples.pixels.copy()
    turned = rotated(examples, degrees)
    assert turned.pixels.dtype == np.uint8 and (turned.labels == examples.labels).all()
    assert (examples.pixels == before).all() and (degrees != 0 or (turned.pixels == before).all())
    assert (rotate(examples[7][0], degrees) == scale(turned.pixels[7])).all()
    pictures = before.reshape(-1, 28, 28).astype(float)
    scipys = ndimage.rotate(pictures, degrees, axes=(2, 1), reshape=False, order=1)
    off = np.abs(turned.pixels.reshape(-1, 28, 28) - scipys)
    assert off[:, 2:-2, 2:-2].max() < 1  # at the edge, scipy leaves out what is partly outside


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


FULL = Normalisation(upright=1.0, width=18.0, height=22.0)


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
    line[1, 13, 2:14] = line[1, 14, 14:26] = 255  # leans far
    frames = Normalisation(1.0, 300.0, 300.0).frames(line.reshape(3, 784))  # the last is empty
    assert np.isfinite(frames).all()
    assert (frames[:, 0, 0] == 1 / MOST_STRETCH).all()
    assert (np.abs(frames[:, 1, 0]) <= MOST_SHEAR / MOST_STRETCH).all()
    assert FULL(line[:0].reshape(0, 784)).shape == (0, 784)


def test_a_distortion_works_on_normalised_digits(digits: Examples) -> None:
    frames = FULL.frames(digits.pixels)
    assert (NO_DISTORTION(digits.pixels, random(), frames) == FULL(digits.pixels)).all()
