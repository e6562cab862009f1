"""distort.js in a browser: the same rotated digits as Python's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from playwright.sync_api import Page

from mynn import Examples, read_csv
from mynn.distort import rotated
from tests.support.browser import import_modules

ROTATE = "([pixels, ...how]) => [...ours.rotation(...how)(Uint8Array.from(pixels))]"


@pytest.fixture(scope="module")
def page(chromium: None, browser_page: Page) -> Page:
    """An empty page that has the module, as `ours`."""
    import_modules(browser_page, "distort.js")
    return browser_page


@pytest.fixture(scope="module")
def digits(mnist: Path) -> Examples:
    return read_csv(mnist / "mnist_train.csv", limit=200)


@settings(max_examples=20)
@given(place=st.integers(0, 199), degrees=st.floats(-180, 180))
@example(place=0, degrees=10)
@example(place=0, degrees=-10)
def test_a_digit_is_rotated_as_in_python(page: Page, digits: Examples, place: int, degrees: float) -> None:
    """But for a pixel's last digit: the compiled kernel rounds to 2,048ths what it takes of each pixel."""
    turned = page.evaluate(ROTATE, [digits.pixels[place].tolist(), degrees])
    python = rotated(digits[place : place + 1], degrees).pixels[0]
    assert np.abs(np.array(turned) - python.astype(int)).max() <= 1


@settings(max_examples=10)
@given(down=st.integers(-9, 9), right=st.integers(-9, 9))
def test_a_digit_is_shifted_and_what_leaves_the_picture_is_gone(
    page: Page, digits: Examples, down: int, right: int
) -> None:
    shifted = page.evaluate(ROTATE, [digits.pixels[0].tolist(), 0, down, right])
    padded = np.pad(digits.pixels[0].reshape(28, 28), 9)
    assert (np.reshape(shifted, (28, 28)) == padded[9 - down : 37 - down, 9 - right : 37 - right]).all()
