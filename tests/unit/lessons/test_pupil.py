"""A pupil plays from the start page to what the wall shows, on a server with the role jupyter's settings."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from mynn.mnist import read_csv
from mynn.wall import FILE, read
from mynn_control.labels import Label
from tests.support.browser import MINUTES, decoded, open_browser
from tests.support.jupyter_server import PASSWORD, Server, run_server
from tests.support.pupil import (
    DIGITS,
    FIRST,
    LESSONS,
    NAME,
    PAD,
    SCREENS,
    SECOND,
    TRAINING,
    StartPage,
    press,
)
from tests.support.student import give_to_student

PATIENCE = 10 * MINUTES


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
def test_a_pupil_plays_from_the_label_to_the_wall(chromium: None, server: Server) -> None:
    """From the label's QR code through lessons 1 and 9 to Done, by taps alone.

    Lesson 2 is done on a phone, and lesson 4 by keys alone: there a network learns to read what is drawn in lesson 9.
    """
    folder = server.home / "notebooks"
    with open_browser(PATIENCE, viewport=SCREENS["tablet"], has_touch=True, offline=True) as browser:
        page = browser.pages[0]
        label = Label("pi01.local", "", server.url, "", PASSWORD)
        page.set_content(f"<img width=300 src='{label.code}'>")
        page.goto(decoded(page.locator("img")))
        expect(page.get_by_role("textbox")).to_be_focused()
        page.keyboard.type(label.password.upper())
        press(page.get_by_role("button", name="Sign in"), "tablet")
        start = StartPage(page)
        expect(start.card(FIRST)).to_contain_text("2 tasks")
        lesson = start.open(FIRST, "tablet")
        lesson.play()
        lesson = start.go_on(lesson, SECOND, "phone")
        lesson.play()
        start.end(lesson)
        expect(start.card(FIRST)).to_contain_text("It took this Pi")
        training = start.open(TRAINING, "keys")
        training.play()
        expect(training.output("Kept in my_network.npz: a network with 50 hidden nodes")).to_be_visible()
        shown = read((folder / FILE).read_bytes())
        assert (shown.name, shown.backquery, shown.digits) == (NAME, None, None)
        assert shown.score and 0.9 < shown.score < 1
        start.end(training)
        pad = start.open(PAD, "tablet")
        pad.play()
        expect(pad.output("This is your own network, my_network.npz, with 50 hidden nodes.")).to_be_visible()
        expect(pad.output(f"The network recognises 100% of your {len(DIGITS)} drawings.")).to_be_visible()
        shown = read((folder / FILE).read_bytes())
        assert (shown.name, shown.score, shown.backquery) == (NAME, None, None)
        assert shown.digits and shown.digits.labels.tolist() == list(DIGITS)
        start.end(pad)
        assert read_csv(folder / "my_digits.csv").labels.tolist() == list(DIGITS)
        expect(page.locator(".done")).to_have_count(4)
