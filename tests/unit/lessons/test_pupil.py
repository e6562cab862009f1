"""A pupil's hour, from the label to what is taken home, on a server with the role jupyter's settings."""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from mynn.mnist import read_csv
from mynn.wall import FILE, read
from mynn_control.labels import Label
from tests.support.browser import MINUTES, decoded, open_browser, touch
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
from tests.unit.mynn_server.test_own_browser import photo

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
def test_a_pupils_hour_from_the_label_to_what_is_taken_home(chromium: None, server: Server, tmp_path: Path) -> None:
    """From the label's QR code by taps through lesson 1, /try/ and a photo to lesson 9, Done, and a file for at home.

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
        try_and_photograph(page, tmp_path)
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
        taken = take_home(page, tmp_path)
        read_at_home(browser, taken)


def try_and_photograph(start: Page, folder: Path) -> None:
    """Draw on /try/, then photograph a thing for a class of one's own."""
    with start.expect_popup() as opened:
        press(start.get_by_role("link", name="Lesson 0: try it"), "tablet")
    page = opened.value
    touch(page.locator(".mynn-pad-paper"), DIGITS[7])
    expect(page.locator("#says")).to_contain_text("7")
    press(page.get_by_role("link", name="Your own classes"), "tablet")
    page.get_by_label("Letters, smileys").fill("ring")
    press(page.get_by_role("button", name="Add a class"), "tablet")
    with page.expect_file_chooser() as chosen:
        press(page.get_by_role("button", name="Take a photo"), "tablet")
    chosen.value.set_files(photo("ring", 0, folder / "ring.webp"))
    expect(page.locator("#photo canvas")).to_be_visible()
    press(page.locator(".bar", has_text="ring"), "tablet")
    expect(page.get_by_role("group", name="ring", exact=True).get_by_role("button")).to_have_count(1)
    page.close()


def take_home(start: Page, folder: Path) -> Path:
    """Look at the page to print, and return the file that reads."""
    with start.expect_popup() as opened:
        press(start.get_by_role("link", name="Take your network home"), "tablet")
    page = opened.value
    drawn = " ".join(map(str, DIGITS))
    expect(page.get_by_role("img")).to_have_accessible_name(re.compile(rf"50 hidden nodes.*drawn: {drawn}$"))
    with page.expect_download() as saved:
        press(page.get_by_role("button", name="file that reads"), "tablet")
    saved.value.save_as(folder / "my_network.html")
    page.close()
    return folder / "my_network.html"


def read_at_home(browser: BrowserContext, file: Path) -> None:
    """Open the file from disk, without a network, and draw."""
    browser.set_offline(True)
    page = browser.new_page()
    page.goto(file.as_uri())
    touch(page.locator(".mynn-pad-paper"), DIGITS[7])
    expect(page.get_by_role("status")).to_contain_text("7")
