"""The page of `make watch`: what the notebook servers answer is checked, and shown to the teacher as text."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from playwright.sync_api import Page, expect

from ansible_collections.mynn.pi.plugins.module_utils.lessons import outline
from mynn_control.watch import Card, Watch, card, parsed
from tests.support.json_values import JSON
from tests.support.programs import ROOT
from tests.unit.control.live_pages import served

LESSONS = {"part2_mnist_data_set": "Part 2: the MNIST data set", "part2_neural_network": "Part 2: a network"}


def program(path: str = "part2_mnist_data_set.ipynb", **more: Any) -> dict[str, Any]:
    return {"path": path, "busy": False, "quiet": 0, "died": ""} | more


def said(*programs: dict[str, Any], free: Any = 200, total: Any = 427) -> str:
    return json.dumps({"running": programs, "free": free, "total": total})


def seat(text: str | None = None, student: str = "", lost: str | None = "") -> Card:
    return card("pi-01.local", student, lost, text, LESSONS)


FIELDS = ["path", "busy", "quiet", "died", "free", "total", "running", "more"]


@settings(deadline=None)
@given(st.sampled_from(FIELDS), JSON)
def test_an_answer_of_any_form_is_shown_as_numbers_and_text_or_not_at_all(field: str, value: Any) -> None:
    """Whatever stands in place of one of its parts."""
    answer = json.loads(said(program()))
    (answer if field in ("free", "total", "running") else answer["running"][0])[field] = value
    checked = parsed(json.dumps(answer))
    shown = seat(json.dumps(answer))
    if checked is None:
        assert (shown.word, shown.lines, shown.faults) == ("No answer", (), ["Its answer is invalid."])
    else:
        assert "more" not in checked["running"][0] if checked["running"] else True
        assert 0 <= shown.used <= 100 and 0 <= shown.free <= 1 << 20
        assert all(title.isprintable() for title, _ in shown.lines)


@pytest.mark.parametrize(
    "answer", ["[" * 30_000, "5", "{" * 5, said(total=0), said(*[program()] * 51), said(program(), free=float("nan"))]
)
def test_an_invalid_answer_is_not_shown(answer: str) -> None:
    assert parsed(answer) is None


@pytest.mark.parametrize(
    ("seat", "word", "fault"),
    [
        (seat(said(program())), "Open", ""),
        (seat(said(program(), program(busy=True))), "Working", ""),
        (seat(said(program(quiet=15))), "Quiet for 15 min", ""),
        (seat(said(program(died="memory"))), "Open", "It ran out of memory."),
        (seat(said(program(), program(died="stopped"))), "Open", "The MNIST data set stopped unexpectedly."),
        (seat(said(program(), free=50)), "Open", "Memory is short: let a lesson be ended."),
        (seat(""), "No answer", "Wait for a minute; then switch it off and on."),
        (seat(None, student="ada"), "Not signed in", ""),
        (seat(None, lost=None), "Asking …", ""),
        (seat(said(program()), lost="no route"), "Does not answer", "Check its power and its Wi-Fi."),
    ],
)
def test_a_card_says_how_a_pi_is(seat: Card, word: str, fault: str) -> None:
    assert (seat.pi, seat.word, list(seat.faults)) == ("pi-01", word, [fault] if fault else [])


def test_the_page_updates_itself(tmp_path: Path, browser_page: Page) -> None:
    """Each Pi has its place from the beginning, in the inventory's order. A notebook's name is text."""
    page = browser_page
    hostile = "<script>alert(1)</script>\u202e\x1b.ipynb"
    with served(Watch(tmp_path / "answers", LESSONS)) as watch:
        page.goto(watch.server.url)
        expect(page.get_by_text("Asking the Pis …")).to_be_visible()
        watch.answer("pi-01", None, None, lost=None, place=1)
        watch.answer("pi-02", lost=None, place=0)
        expect(page.locator("article h2 bdi")).to_have_text(["pi-02", "pi-01", "pi-01"])
        watch.answer("pi-01", said(program(busy=True), program(hostile)), None, place=1)
        expect(page.locator("article").nth(1)).to_contain_text("The MNIST data set")
        expect(page.locator("article .own")).to_have_text("script>\\u202e\\x1b.ipynb")
        expect(page.locator("article .word")).to_have_text(["Asking …", "Working", "Not signed in"])
        expect(page.locator("header li")).to_have_text(
            ["1 of 2 Pis answer", "1 with a lesson open", "1 working now"], use_inner_text=True
        )
        watch.answer("pi-02", lost="<b>no route</b>")
        expect(page.locator("article").first).to_contain_text("Does not answer")
        expect(page.locator("article").first).to_have_attribute("title", "<b>no route</b>")
        expect(page.locator("header .faulty")).to_have_text("1 to look at")
        watch.answer("pi-02", said())
        expect(page.locator("article .word").first).to_have_text("Nothing open")
        html = watch.ask("/")[1]
    expect(page.get_by_text("The watch has ended. This is what it last showed.")).to_be_visible()
    assert set(re.findall(r"(?:src|href|url)\s*[=(]\s*[\"']?([a-z]+:)", html)) == {"data:"}


def test_picture_of_a_class_of_thirty(browser_page: Page, tmp_path: Path) -> None:
    """For the manual. It fits a laptop without scrolling, and a phone without scrolling sideways."""
    titles = {name: lesson.title for name, lesson in outline(ROOT / "notebooks").items()}
    with served(Watch(tmp_path / "answers", titles)) as watch:
        for number in range(1, 31):
            lesson = "part2_neural_network_mnist_improved" if number % 5 else "part2_neural_network_mnist_data"
            here = program(f"{lesson}.ipynb", busy=number % 4 == 1, quiet=5 * (number % 7 == 3))
            special = {
                12: "",
                18: said(program(died="memory"), free=210),
                21: said(here, program(quiet=25), program("my own try.ipynb", quiet=40), free=40),
                25: said(free=270),
            }
            text = special.get(number, said(here, free=150 + 10 * (number % 5)))
            watch.answer(
                f"pi{number:02}.local", text, lost={7: "No route to host", 26: None}.get(number, ""), place=number
            )
        (tmp_path / "index.html").write_text(watch.page.html, encoding="utf-8")
    for width, height in ((390, 844), (1280, 800)):
        browser_page.set_viewport_size({"width": width, "height": height})
        browser_page.goto(f"file://{tmp_path}/index.html")
        assert browser_page.locator("article").count() == 30
        assert browser_page.evaluate("document.documentElement.scrollWidth") <= width
    assert browser_page.evaluate("document.documentElement.scrollHeight") <= height
    browser_page.screenshot(path=ROOT / "dist/screenshots/watch.png")
