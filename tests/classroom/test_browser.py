"""A class as a student meets it: in a real browser, with the password, from the first page to the last cell."""

from __future__ import annotations

import re
import tempfile
import uuid
from base64 import b64decode
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from matplotlib.image import imread
from playwright.sync_api import BrowserContext, Locator, Page, expect, sync_playwright

from tests.classroom.classroom import Classroom
from tests.provisioned.notebook_server import NotebookServer

Shades = npt.NDArray[np.float64]
CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = [
    "--no-sandbox",  # it refuses to run as root otherwise, and sees our own pages only
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
READING = "part2_neural_network_mnist_data.ipynb"
TURNING = "part3_mnist_data_set_with_rotations.ipynb"
MINUTES = 60_000  # in Playwright's milliseconds


@pytest.fixture
def browser() -> Iterator[BrowserContext]:
    """A browser that has never been here."""
    with tempfile.TemporaryDirectory(prefix="mynn-browser-") as profile, sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            profile, executable_path=CHROMIUM, args=ARGUMENTS, viewport={"width": 1280, "height": 800}
        )
        context.set_default_timeout(MINUTES)
        expect.set_options(timeout=MINUTES)
        yield context
        context.close()


@pytest.fixture
def url(classroom: Classroom) -> str:
    return f"http://{classroom.address}:8888"


@pytest.fixture
def page(browser: BrowserContext, classroom: Classroom, url: str) -> Page:
    """The page of somebody who has signed in."""
    page = browser.pages[0]
    sign_in(page, url, classroom.password)
    expect(page).to_have_url(re.compile(r"/tree\b"))
    return page


@pytest.fixture
def folder(classroom: Classroom, url: str) -> Iterator[str]:
    """A folder with copies of the lessons: what is run in them stays out of the student's own."""
    server = NotebookServer(url)
    assert server.sign_in(classroom.password)
    name = f"browser-{uuid.uuid4().hex[:8]}"
    server.ask("PUT", f"/api/contents/{name}", json={"type": "directory"}).raise_for_status()
    try:
        for lesson in (READING, TURNING):
            server.ask("POST", f"/api/contents/{name}", json={"copy_from": lesson}).raise_for_status()
        yield name
    finally:
        for session in server.get("/api/sessions"):
            if session["path"].startswith(f"{name}/"):
                server.delete(f"/api/sessions/{session['id']}")
        classroom.ssh(f"sudo rm -r /home/student/notebooks/{name}")


def sign_in(page: Page, url: str, password: str) -> None:
    """Fill in the form, as far as it goes."""
    page.goto(url)
    page.locator("input[name=password]").fill(password)
    page.locator("button[type=submit]").click()


def run_all(page: Page, url: str, path: str, patience: float) -> Locator:
    """Open a notebook and run all its cells to the end; return its code cells."""
    page.goto(f"{url}/notebooks/{path}")
    expect(page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]")).to_be_visible()
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    cells = page.locator(".jp-CodeCell")
    # A cell that has run has its number; one that waits has a star. After an error the others keep none.
    ended = re.compile(r"\[\d+\]:")
    error = page.locator("[data-mime-type='application/vnd.jupyter.error']")
    expect(cells.last.locator(".jp-InputPrompt").filter(has_text=ended).or_(error).first).to_be_visible(
        timeout=patience
    )
    assert error.count() == 0, error.first.inner_text()
    for prompt in cells.locator(".jp-InputPrompt").all():
        expect(prompt).to_have_text(ended)
    return cells


def take_screenshot(page: Page, classroom: Classroom, name: str, shown: Locator | None = None) -> None:
    """Keep a picture for the README, with something in the middle of the window."""
    if shown:
        shown.evaluate("element => element.scrollIntoView({block: 'center'})")
    page.wait_for_timeout(500)  # what scrolls comes to rest
    page.screenshot(path=classroom.root / "dist/screenshots" / f"{name}.png")


def pictures(cells: Locator) -> list[str]:
    """What the cells show, as data."""
    return [str(picture.get_attribute("src")) for picture in cells.locator(".jp-RenderedImage img").all()]


def test_wrong_password_is_refused(browser: BrowserContext, classroom: Classroom, url: str) -> None:
    page = browser.pages[0]
    sign_in(page, url, "open sesame")
    expect(page.get_by_text("Invalid credentials")).to_be_visible()
    take_screenshot(page, classroom, "refused")
    page.goto(f"{url}/notebooks/{READING}")
    expect(page.locator("input[name=password]")).to_be_visible()


def test_lessons_are_shown(page: Page, classroom: Classroom) -> None:
    for lesson in (READING, TURNING):
        expect(page.locator(".jp-DirListing-item", has_text=lesson)).to_be_visible()
    take_screenshot(page, classroom, "lessons")


def test_network_learns_to_read(page: Page, classroom: Classroom, url: str, folder: str) -> None:
    """All cells of the lesson run, on the full MNIST, and nine digits in ten are read rightly."""
    cells = run_all(page, url, f"{folder}/{READING}", patience=10 * MINUTES)
    told = cells.locator(".jp-OutputArea-output", has_text="of 10000 digits read rightly")
    take_screenshot(page, classroom, "reading", told)
    accuracy = re.search(r"([0-9.]+)% of 10000 digits read rightly", told.inner_text())
    assert accuracy and float(accuracy[1]) > 90, told.inner_text()
    assert len(set(pictures(cells))) >= 5


def test_turned_digits_are_seen(page: Page, classroom: Classroom, url: str, folder: str) -> None:
    """The lesson shows a digit turned each way: three pictures side by side, no two of which are the same."""
    cells = run_all(page, url, f"{folder}/{TURNING}", patience=10 * MINUTES)
    turned = cells.filter(has_text="anticlockwise = rotate(inputs, degrees)").locator(".jp-RenderedImage img")
    expect(turned).to_be_visible()
    take_screenshot(page, classroom, "turning", turned)
    assert len(set(pictures(cells))) >= 3
    left, middle, right = three_digits(str(turned.get_attribute("src")))
    for digit in (left, middle, right):
        assert 0.02 < (digit < 0.5).mean() < 0.5, "There is no digit in a picture."
    for one, other in ((left, middle), (middle, right), (left, right)):
        assert (abs(one - other) > 0.3).mean() > 0.02, "Two of the pictures look the same."


def three_digits(source: str) -> list[Shades]:
    """Cut the three squares with the digits out of a picture, as shades from 0 (ink) to 1 (paper), height × width."""
    picture = imread(BytesIO(b64decode(source.partition(",")[2])))[..., :3].mean(axis=2)
    height, width = picture.shape
    inside = picture[height // 4 : height * 9 // 10]
    return [inside[:, third * (width // 3) + 20 : (third + 1) * (width // 3) - 20] for third in range(3)]
