"""A pupil plays from the start page to what the wall shows, on a server with the role jupyter's settings."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from mynn.mnist import read_csv
from mynn.wall import FILE, read
from mynn_control.labels import Label
from tests.support.browser import DESKTOP, MINUTES, decoded, open_browser, sign_in
from tests.support.jupyter_server import PASSWORD, Server, run_server
from tests.support.pupil import (
    DIGITS,
    FINGER,
    FIRST,
    LESSONS,
    NAME,
    PAD,
    PHONE,
    SCREENS,
    SECOND,
    THIRD,
    TRAINING,
    StartPage,
    press,
)
from tests.support.student import give_to_student

PATIENCE = 2 * MINUTES


@pytest.fixture
def server(venv: Path, mnist: Path, networks: Path) -> Iterator[Server]:
    """The server of a student who begins."""
    here = {name: os.environ[name] for name in ("PYTHONPATH", "OPENBLAS_NUM_THREADS")}
    here |= {"MNIST_DIR": str(mnist), "NETWORKS_DIR": str(networks)}
    with run_server(venv, environment=here, lessons_pristine=LESSONS) as running:
        folder = running.home / "notebooks"
        shutil.copytree(LESSONS, folder, dirs_exist_ok=True)
        for path in folder.rglob("*"):
            give_to_student(path)
        yield running


@pytest.mark.slow
def test_a_pupil_plays_from_the_start_page_to_the_wall(chromium: None, server: Server) -> None:
    """Lessons 1 to 4, on a laptop and on a phone; then it draws digits for the network of lesson 4, and shows them."""
    folder = server.home / "notebooks"
    with open_browser(PATIENCE, has_touch=True, offline=True) as browser:
        page = browser.pages[0]
        sign_in(page, server.url, PASSWORD)
        expect(page).to_have_url(re.compile(r"/start/\??$"))
        start = StartPage(page)
        start.page.set_viewport_size(PHONE)
        expect(start.card(FIRST).locator("a.open")).to_be_in_viewport()
        expect(start.card(FIRST)).to_contain_text("2 tasks")
        assert start.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        first = start.open(FIRST)
        first.play()
        second = start.go_on(first, SECOND, "phone")
        second.play()
        third = start.go_on(second, THIRD, "phone")
        third.play()
        training = start.go_on(third, TRAINING)
        training.play()
        expect(training.output("Kept in my_network.npz: a network with 50 hidden nodes")).to_be_visible()
        shown = read((folder / FILE).read_bytes())
        assert (shown.name, shown.backquery, shown.digits) == (NAME, None, None)
        assert shown.score and 0.9 < shown.score < 1
        start.end(training)
        pad = start.open(PAD, "phone")
        pad.play()
        expect(pad.output("This is your own network, my_network.npz, with 50 hidden nodes.")).to_be_visible()
        expect(pad.output(f"The network recognises 100% of your {len(DIGITS)} drawings.")).to_be_visible()
        shown = read((folder / FILE).read_bytes())
        assert (shown.name, shown.score, shown.backquery) == (NAME, None, None)
        assert shown.digits and shown.digits.labels.tolist() == list(DIGITS)
        pad.way = "mouse"
        pad.page.set_viewport_size(DESKTOP)
        pad.keep_digits()
        start.end(pad)
        assert read_csv(folder / "my_digits.csv").labels.tolist() == [*DIGITS, *DIGITS]
        expect(start.page.locator(".done")).to_have_count(5)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["tablet", "keys"])
def test_lessons_are_done_by_taps_or_by_keys_alone(chromium: None, server: Server, way: str) -> None:
    """Lessons 1, 4 and 9, from the QR code on the label."""
    with open_browser(PATIENCE, viewport=SCREENS[way], has_touch=way in FINGER, offline=True) as browser:
        page = browser.pages[0]
        label = Label("pi01.local", "", server.url, "", PASSWORD)
        page.set_content(f"<img width=300 src='{label.code}'>")
        page.goto(decoded(page.locator("img")))
        page.keyboard.type(label.password.upper())  # the field has the focus
        press(page.get_by_role("button", name="Sign in"), way)
        start = StartPage(page)
        for number, name in enumerate((FIRST, TRAINING, PAD), start=1):
            lesson = start.open(name, way)
            lesson.play()
            start.end(lesson)
            expect(page.locator(".done")).to_have_count(number)
