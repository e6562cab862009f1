"""A pupil plays from the start page to the wall, on a virtual Pi and the teacher's computer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.classroom.test_wall import FOLDER, turned_on
from tests.support.browser import MINUTES, open_browser, signed_in
from tests.support.classroom import Classroom
from tests.support.pupil import DIGITS, NAME, StartPage, play_to_the_wall

KEPT = "/var/tmp/before-the-pupil.tar"


@pytest.fixture
def start(classroom: Classroom) -> Iterator[StartPage]:
    """The start page of a student who begins; afterwards the student's folder is as it was."""
    classroom.ssh(f"sudo tar -C {FOLDER} -cf {KEPT} .").check_returncode()
    try:
        with open_browser(2 * MINUTES, has_touch=True) as browser:
            yield StartPage(signed_in(browser, classroom))
    finally:
        classroom.ssh("sudo systemctl restart jupyter")
        restore = f"find {FOLDER} -mindepth 1 -delete && tar -C {FOLDER} -xf {KEPT} && rm {KEPT}"
        classroom.ssh(f"sudo sh -c '{restore}'").check_returncode()


def test_a_pupil_plays_from_the_start_page_to_the_wall(start: StartPage, classroom: Classroom, tmp_path: Path) -> None:
    def file(name: str) -> bytes:
        return classroom.ssh(f"sudo cat {FOLDER}/{name}").stdout.encode()

    play_to_the_wall(start, file, tmp_path)
    with turned_on(classroom, tmp_path / "wall") as screen:
        start.page.goto(screen.url)
        expect(start.page.locator("article h2")).to_have_text(NAME)
        expect(start.page.locator("article img")).to_have_count(len(DIGITS))
