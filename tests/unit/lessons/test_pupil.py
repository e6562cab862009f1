"""A pupil plays from the start page to what the wall shows, on a server with the role jupyter's settings."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import expect

from mynn.mnist import read_csv
from mynn.wall import FILE, read
from mynn_control import languages
from mynn_control.labels import Label
from tests.support.browser import MINUTES, decoded, open_browser
from tests.support.jupyter_server import PASSWORD, Server, pi_venv, run_server
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
    Words,
    press,
)
from tests.support.student import give_to_student

PATIENCE = 10 * MINUTES


@contextmanager
def begun(
    venv: Path, lessons: Path, mnist: Path, networks: Path, *, packages: Path | None = None, language: str = "en"
) -> Iterator[Server]:
    """Run the server of a student who begins. packages: where programs find mynn, if that is not this tree's."""
    here = {name: os.environ[name] for name in ("PYTHONPATH", "OPENBLAS_NUM_THREADS")}
    here |= {"MNIST_DIR": str(mnist), "NETWORKS_DIR": str(networks)}
    if packages:
        here["PYTHONPATH"] = str(packages)
    with run_server(venv, environment=here, lessons_pristine=lessons, language=language) as running:
        folder = running.home / "notebooks"
        shutil.copytree(lessons, folder, dirs_exist_ok=True)
        for path in folder.rglob("*"):
            give_to_student(path)
        yield running


@pytest.fixture
def server(venv: Path, mnist: Path, networks: Path) -> Iterator[Server]:
    with begun(venv, LESSONS, mnist, networks) as running:
        yield running


@pytest.fixture
def german(mnist: Path, networks: Path) -> Iterator[Server]:
    """The server of a class in German."""
    with pi_venv() as venv, tempfile.TemporaryDirectory() as name:
        [packages], lessons = venv.glob("lib/python*/site-packages"), Path(name)
        shutil.copytree(LESSONS, lessons, dirs_exist_ok=True)
        for path, content in languages.built("de").items():
            to = {"notebooks": lessons}.get(path.parts[0], packages / path.parts[0]) / Path(*path.parts[1:])
            to.parent.mkdir(parents=True, exist_ok=True)
            to.write_bytes(content)
        for folder in (lessons, *lessons.rglob("*/")):
            folder.chmod(0o755)
        with begun(venv, lessons, mnist, networks, packages=packages, language="de") as running:
            yield running


@pytest.mark.slow
def test_a_pupil_plays_in_german(chromium: None, german: Server) -> None:
    """Lesson 1, by keys alone, and the page /try/."""
    words = Words("de")
    with open_browser(PATIENCE, viewport=SCREENS["keys"], offline=True) as browser:
        page = browser.pages[0]
        page.goto(german.url)
        expect(page.get_by_role("textbox")).to_be_focused()
        page.keyboard.type(PASSWORD)
        press(page.get_by_role("button", name=words("Sign in")), "keys")
        expect(page.locator("html")).to_have_attribute("lang", "de")
        start = StartPage(page, words)
        lesson = start.open(FIRST, "keys")
        lesson.play()
        start.end(lesson)
        page.goto(f"{german.url}/try/")
        expect(page.get_by_role("heading", level=1)).to_have_text(words("Lesson 0: try it"))
        expect(page.locator("#says")).to_have_text(words("Draw a digit on the white square."))


@pytest.mark.slow
def test_a_pupil_plays_from_the_label_to_the_wall(chromium: None, server: Server) -> None:
    """From the label's QR code through lessons 1, 4 and 9 to Done, by taps alone.

    Lesson 2 is done on a phone. In lesson 4 a network learns to read what is drawn in lesson 9.
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
        training = start.open(TRAINING, "tablet")
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
