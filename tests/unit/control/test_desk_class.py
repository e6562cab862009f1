"""The desk's tab Class: what the notebook servers answer is checked, and shown to the teacher as text."""

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from playwright.sync_api import Page

from mynn.outline import Lesson, outline
from mynn_control.desk.class_now import Card, card, parsed
from mynn_control.desk.monitor import NOT_SET_UP
from tests.support.browser import assert_accessible
from tests.support.desk import served
from tests.support.json_values import JSON
from tests.support.programs import ROOT

LESSONS = {
    "part2_mnist_data_set": Lesson("Lesson 1: the MNIST data set", tasks=("fours", "mean", "most")),
    "part2_neural_network": Lesson("Lesson 2: a network"),
}


def program(path: str = "part2_mnist_data_set.ipynb", **more: Any) -> dict[str, Any]:
    return {"path": path, "busy": False, "quiet": 0, "died": "", "began": 0} | more


def said(*programs: dict[str, Any], free: Any = 200, total: Any = 427, **more: Any) -> str:
    talk = {"read": 0, "asked": 0, "about": "", "typed": {}}
    return json.dumps({"running": programs, "free": free, "total": total, "tasks": {}, "answered": 0} | talk | more)


def card_of(text: str | None = None, lost: str | None = "", off: bool = False) -> Card:
    return card("pi-01.local", "", lost, text, LESSONS, off=off)


FIELDS = [*program(), *json.loads(said())]
NAMES = ["Ada", "Bo", "Cleo", "Dmitri", "Elif", "Finn", "Zoë-Charlotte"]


@given(st.sampled_from(FIELDS), JSON)
def test_an_answer_of_any_form_is_shown_as_numbers_and_text_or_not_at_all(field: str, value: Any) -> None:
    """Whatever stands in place of one of its parts."""
    answer = json.loads(said(program(began=int(time.time())), tasks={"fours": False}))
    (answer if field in answer else answer["running"][0])[field] = value
    shown = card_of(json.dumps(answer))
    if parsed(json.dumps(answer)) is None:
        assert (shown.word, shown.lines, shown.faults) == ("No answer", (), ["Its answer is invalid."])
    else:
        assert 0 <= shown.used <= 100 and 0 <= shown.free <= 1 << 20
        for line in shown.lines:
            assert line.title.isprintable() and line.task in ("fours", "")
            assert re.fullmatch(r"(\d{1,3} min)?", line.minutes)


@pytest.mark.parametrize(
    "answer", ["[" * 30_000, "5", "{" * 5, said(total=0), said(*[program()] * 51), said(program(), free=float("nan"))]
)
def test_an_invalid_answer_is_not_shown(answer: str) -> None:
    assert parsed(answer) is None


CARDS: list[tuple[dict[str, Any], str, str]] = [
    ({"text": said(program())}, "Open", ""),
    ({"text": said(program(quiet=15))}, "Quiet for 15 min", ""),
    ({"text": said(program(busy=True))}, "Working", ""),
    ({"text": said()}, "Nothing open", ""),
    ({"text": said(program(died="memory"))}, "Open", "Lesson 1: the MNIST data set ran out of memory."),
    (
        {"text": said(program(), program(died="stopped"))},
        "Open",
        "Lesson 1: the MNIST data set stopped unexpectedly.",
    ),
    ({"text": said(program(), free=50)}, "Open", "Memory is short: have one of the lessons ended."),
    ({"text": ""}, "No answer", "Wait for a minute; then switch it off and on."),
    (
        {"text": "stranger"},
        "No answer",
        "Another student's program on this Pi answers in its place: switch the Pi off and on.",
    ),
    ({"text": "{"}, "No answer", "Its answer is invalid."),
    ({}, "No notebook server yet", ""),
    ({"lost": None}, "Asking …", ""),
    ({"lost": "no route", "off": True}, "Switched off", ""),
    ({"lost": "no route"}, "Does not answer", "Check its power and its Wi-Fi."),
    (
        {"lost": NOT_SET_UP},
        "Does not answer",
        "It has no mynn-pi yet, or another version: set it up, on the tab Pis.",
    ),
    (
        {"lost": "SSH password was requested"},
        "Does not answer",
        "It wants a password: adopt it, on the tab Pis.",
    ),
]


@pytest.mark.parametrize(("given", "word", "fault"), CARDS)
def test_a_card_says_how_a_pi_is(given: dict[str, Any], word: str, fault: str) -> None:
    shown = card_of(**given)
    assert (shown.pi, shown.word, list(shown.faults)) == ("pi-01", word, [fault] if fault else [])


MIXED = {"fours": True, "mean": False, "other": True}


@pytest.mark.parametrize(
    ("lesson", "tasks", "began", "answered", "task"),
    [
        ("mnist_data_set", {}, 12, 50_000, ("···", "fours", "12 min")),
        ("mnist_data_set", MIXED, 30, 12, ("✔✘·", "mean", "12 min")),
        ("mnist_data_set", MIXED, 7, 50_000, ("✔✘·", "mean", "7 min")),
        ("mnist_data_set", dict.fromkeys(["fours", "mean", "most"], True), 30, -5, ("✔✔✔", "", "0 min")),
        ("neural_network", MIXED, 12, 50_000, ("", "", "12 min")),
        ("mnist_data_set", MIXED, 50_000, 50_000, ("", "", "")),  # a clock is wrong
    ],
)
def test_a_card_says_at_which_task_a_student_is_and_how_long(
    lesson: str, tasks: dict[str, bool], began: int, answered: int, task: tuple[str, str, str]
) -> None:
    """began, answered: how many minutes ago."""
    now = int(time.time())
    here = program(f"part2_{lesson}.ipynb", began=now - 60 * began)
    [line] = card_of(said(here, tasks=tasks, answered=now - 60 * answered)).lines
    assert (line.marks, line.task, line.minutes) == task


def test_minutes_are_counted_without_an_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = int(time.time())
    monkeypatch.setattr(time, "time", lambda: now)
    with served(tmp_path) as desk:
        here = program("part2_neural_network_mnist_data.ipynb", began=now - 60)
        desk.answer("pi-01", {"ada": (said(here), None)})
        assert "··</span> eight_in_ten</span> 1 min" in desk.ask("/").text
        now += 300
        desk.desk.update()
        assert "··</span> eight_in_ten</span> 6 min" in desk.ask("/").text


def test_each_student_has_a_card_and_a_notebooks_name_is_text(tmp_path: Path) -> None:
    with served(tmp_path) as desk:
        said_by = said(program("<script>alert(1)</script>\u202e\x1b.ipynb"))
        desk.answer("pi-01", {"ada": (said_by, None), "bo": (None, None)})
        html = desk.ask("/").text
    assert "<script>alert" not in html and r"script&gt;\u202e\x1b.ipynb" in html
    assert "<small>bo</small>" in html and "Not signed in" in html


@pytest.mark.slow
def test_picture_of_a_class_of_thirty(browser_page: Page, tmp_path: Path) -> None:
    """For the manual. It fits a laptop without scrolling, and a phone without scrolling sideways."""
    with served(tmp_path) as desk:
        for number in range(30, 0, -1):
            lesson = "part2_neural_network_mnist_improved" if number % 5 else "part2_neural_network_mnist_data"
            began = int(time.time()) - 60 * (5 + number)
            here = program(f"{lesson}.ipynb", busy=number % 4 == 1, quiet=5 * (number % 7 == 3), began=began)
            special = {
                5: said(here, asked=7, about=f"{lesson}.ipynb"),
                12: "",
                18: said(program(died="memory"), free=210),
                21: said(here, program(quiet=25), program("my own try.ipynb", quiet=40), free=40),
                25: said(free=270),
            }
            first, second = outline(ROOT / "notebooks")[lesson].tasks
            tasks = {first: number % 3 > 0, second: number % 3 > 1}
            says = special.get(number, said(here, free=150 + 10 * (number % 5), tasks=tasks))
            lost = {7: "<b>no route</b>", 26: None}.get(number, "")
            desk.answer(f"pi{number:02}.local", {"student": (says, None)}, lost, number)
        pupils = {f"pi{number:02}": f"{NAMES[number % 7]} {chr(64 + number)}." for number in range(1, 27)}
        desk.desk.database.save_names({(f"{pi}.local", "student"): name for pi, name in pupils.items()})
        desk.desk.update()
        for width, height in ((360, 740), (1280, 800)):
            browser_page.set_viewport_size({"width": width, "height": height})
            browser_page.goto(desk.url)
            assert browser_page.locator("article").count() == 30
            assert browser_page.evaluate("document.documentElement.scrollWidth") <= width
        assert browser_page.evaluate("document.documentElement.scrollHeight") <= height
        helped = ["pi05", "pi07", "pi12", "pi18", "pi21"]  # what needs help; then the others, in the inventory's order
        others = [name for number in range(1, 31) if (name := f"pi{number:02}") not in helped]
        shown = [pupils.get(pi, pi) for pi in helped + others]
        assert browser_page.locator("h2 bdi").all_inner_texts() == shown
        assert browser_page.locator("article[title]").get_attribute("title") == "<b>no route</b>"
        counts = ["28 of 30 Pis answer", "26 with a lesson open", "7 working now", "4 to look at"]
        assert browser_page.locator(".top li").all_inner_texts() == counts
        browser_page.screenshot(path=ROOT / "dist/screenshots/class.png")
        assert_accessible(browser_page)
