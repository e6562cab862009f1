"""What a student does, in a real browser: sign in, and run lessons to the last cell."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterator
from io import BytesIO

import numpy as np
import numpy.typing as npt
import pytest
from matplotlib.image import imread
from playwright.sync_api import BrowserContext, Page, expect

from tests.support.browser import (
    MINUTES,
    READING,
    TURNING,
    copied_lessons,
    learn_to_read,
    open_browser,
    pictures,
    run_all,
    sign_in,
    signed_in,
    take_screenshot,
    url_of,
)
from tests.support.classroom import Classroom

Shades = npt.NDArray[np.float64]


@pytest.fixture
def browser() -> Iterator[BrowserContext]:
    with open_browser() as browser:
        yield browser


@pytest.fixture
def url(classroom: Classroom) -> str:
    return url_of(classroom)


@pytest.fixture
def page(browser: BrowserContext, classroom: Classroom) -> Page:
    return signed_in(browser, classroom)


@pytest.fixture
def folder(classroom: Classroom) -> Iterator[str]:
    with copied_lessons(classroom) as folder:
        yield folder


@pytest.mark.quick
def test_wrong_password_is_refused(browser: BrowserContext, classroom: Classroom, url: str) -> None:
    page = browser.pages[0]
    sign_in(page, url, "open sesame")
    expect(page.get_by_text("Invalid credentials")).to_be_visible()
    take_screenshot(page, classroom, "refused")
    page.goto(f"{url}/notebooks/{READING}")
    expect(page.locator("input[name=password]")).to_be_visible()


@pytest.mark.quick
def test_lessons_are_shown(page: Page, classroom: Classroom, url: str) -> None:
    """On the start page, also on a phone, and in the list of files."""
    for lesson in (READING, TURNING):
        expect(page.locator(f".lesson a[href$='/{lesson}']")).to_be_visible()
    expect(page.locator("#memory-words")).to_contain_text("MB free")
    take_screenshot(page, classroom, "start")
    page.set_viewport_size({"width": 390, "height": 844})
    take_screenshot(page, classroom, "start-phone")
    page.set_viewport_size({"width": 1280, "height": 800})
    page.goto(f"{url}/tree")
    for lesson in (READING, TURNING):
        expect(page.locator(".jp-DirListing-item", has_text=lesson)).to_be_visible()
    take_screenshot(page, classroom, "lessons")


@pytest.mark.quick
def test_network_learns_to_read(page: Page, classroom: Classroom, folder: str) -> None:
    learn_to_read(page, classroom, folder, "reading")


def test_turned_digits_are_seen(page: Page, classroom: Classroom, url: str, folder: str) -> None:
    """The lesson shows a digit turned both ways: three different pictures side by side."""
    cells = run_all(page, url, f"{folder}/{TURNING}", patience=10 * MINUTES)
    turned = cells.filter(has_text="anticlockwise = rotate(inputs, degrees)").locator(".jp-RenderedImage img")
    expect(turned).to_be_visible()
    take_screenshot(page, classroom, "turning", turned)
    assert len(set(pictures(cells))) >= 3
    left, middle, right = three_digits(str(turned.get_attribute("src")))
    for digit in (left, middle, right):
        assert 0.02 < (digit < 0.5).mean() < 0.5, "A picture shows no digit."
    for one, other in ((left, middle), (middle, right), (left, right)):
        assert (abs(one - other) > 0.3).mean() > 0.02, "Two of the pictures look the same."


def three_digits(source: str) -> list[Shades]:
    """Crop the three digits from a picture, as shades from 0 (black) to 1 (white), height × width."""
    picture = imread(BytesIO(b64decode(source.partition(",")[2])))[..., :3].mean(axis=2)
    height, width = picture.shape
    inside = picture[height // 4 : height * 9 // 10]
    return [inside[:, third * (width // 3) + 20 : (third + 1) * (width // 3) - 20] for third in range(3)]
