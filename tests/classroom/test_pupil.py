"""Lessons 1 to 3 and the pad, as a pupil plays them: in a browser, first on a laptop and then on a phone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from mynn.mnist import read_csv
from mynn.wall import FILE, read
from tests.classroom.test_wall import FOLDER, turned_on
from tests.support.browser import open_browser, signed_in
from tests.support.classroom import Classroom
from tests.support.pupil import DIGITS, StartPage

FIRST, SECOND, THIRD = "part2_mnist_data_set", "part2_neural_network", "part2_neural_network_2"
PAD = "part3_neural_network_mnist_and_own_data_2"
KEPT = "/var/tmp/before-the-pupil.tar"
# What the pupil writes into the lessons.
ANSWERS = {
    FIRST: {"fours": "fours = counts[4]", "grey": "grey = 128 / 255 * 0.99 + 0.01"},
    SECOND: {
        "other_total": "other_total = 0.5 * first_weight + 0.5 * second_weight",
        "weights": "weights = 5 * 7 + 7 * 3",
    },
    THIRD: {
        "altogether": "altogether = 784 * hidden_nodes + hidden_nodes * 10",
        "says": "says = ten_outputs.argmax()",
    },
    PAD: {
        "percent": "percent = 5",
        "number": "number = 13",
        'wall.show(name=""': 'wall.show(name="Ada", digits=mine[-10:])',
    },
}
AGAIN = "To guess here, run this lesson again from the top."


@pytest.fixture
def start(classroom: Classroom) -> Iterator[StartPage]:
    """The start page of a student who begins; afterwards the student's folder is as it was."""
    classroom.ssh(f"sudo tar -C {FOLDER} -cf {KEPT} .").check_returncode()
    try:
        with open_browser(has_touch=True) as browser:
            yield StartPage(signed_in(browser, classroom))
    finally:
        classroom.ssh("sudo systemctl restart jupyter")
        restore = f"find {FOLDER} -mindepth 1 -delete && tar -C {FOLDER} -xf {KEPT} && rm {KEPT}"
        classroom.ssh(f"sudo sh -c '{restore}'").check_returncode()


def test_a_pupil_plays_lessons_draws_digits_and_shows_them(
    start: StartPage, classroom: Classroom, tmp_path: Path
) -> None:
    def file(name: str) -> str:
        return classroom.ssh(f"sudo cat {FOLDER}/{name}").stdout

    first = start.open(FIRST, ANSWERS[FIRST])
    first.play()
    second = start.go_on(first, SECOND, ANSWERS[SECOND], on_a_phone=True)
    start.end(first)
    second.play()
    third = start.go_on(second, THIRD, ANSWERS[THIRD], on_a_phone=True)
    start.end(second)
    third.play()
    start.end(third)
    done = start.page.locator(".lesson", has=start.page.locator(".done"))
    expect(done).to_have_count(3)

    pad = start.open(PAD, ANSWERS[PAD], on_a_phone=True)
    pad.play()
    (tmp_path / "my_digits.csv").write_text(file("my_digits.csv"))
    assert read_csv(tmp_path / "my_digits.csv").labels.tolist() == list(DIGITS)
    shown = read(file(FILE))
    assert (shown.name, shown.score, shown.backquery) == ("Ada", None, None)
    assert shown.digits and shown.digits.labels.tolist() == list(DIGITS)
    start.end(pad)
    with turned_on(classroom, tmp_path / "wall") as screen:
        start.page.goto(screen.url)
        expect(start.page.locator("article h2")).to_have_text("Ada")
        expect(start.page.locator("article img")).to_have_count(len(DIGITS))
