import numpy as np
import pytest

from mynn.rotation import PAPER, rotate


def bar(degrees: float) -> np.ndarray:
    """A picture of a bar through the middle, at so many degrees anticlockwise from lying flat."""
    rows, columns = np.mgrid[13.5:-14.5:-1, -13.5:14.5]  # up and right are positive
    slope = np.deg2rad(degrees)
    along = columns * np.cos(slope) + rows * np.sin(slope)
    across = rows * np.cos(slope) - columns * np.sin(slope)
    ink = np.clip(9.5 - abs(along), 0, 1) * np.clip(3 - abs(across), 0, 1)
    picture: np.ndarray = PAPER + ink.reshape(784) * (1 - PAPER)
    return picture


@pytest.mark.parametrize("degrees", [10, -10, 25, 70])
def test_a_digit_is_turned_anticlockwise_by_what_is_said(degrees: float) -> None:
    turned = rotate(bar(30), degrees)
    assert turned.shape == (784,) and turned.dtype == np.float64
    assert np.abs(turned - bar(30 + degrees)).mean() < 0.02
    assert np.abs(turned - bar(30 - degrees)).mean() > 0.05


def test_a_turned_digit_is_still_fit_for_the_network() -> None:
    inputs = np.full(784, 1.0)
    kept = inputs.copy()
    turned = rotate(inputs, 45)
    assert turned.min() == PAPER and turned.max() == 1.0  # the corners are paper
    assert (inputs == kept).all()
    assert np.abs(rotate(bar(30), 0) - bar(30)).max() < 1e-12
