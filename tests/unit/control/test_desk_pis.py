"""The desk's tabs Pis and Tasks: the faults that are found, what is remembered of Pis, and the pages."""

import csv
import io
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from playwright.sync_api import Page, expect

from mynn.outline import outline
from mynn.tasks import Answer, Finished, Record
from mynn_control.desk import pages, record
from mynn_control.desk.database import Database
from mynn_control.desk.pis import sums_of
from mynn_control.faults import faults
from mynn_control.results import Check, PiResult
from tests.support.browser import assert_accessible
from tests.support.desk import ServedDesk, pis_page, served
from tests.support.json_values import JSON
from tests.support.programs import ROOT
from tests.unit.control.test_desk_class import said

NOW = time.time()
HOUR, DAY = 3600, 86400
OFF = {"state": {}, "lost": "Task failed: last 100 lines:\nssh: connect to host pi01 port 22: No route to host"}


def state(**changes: Any) -> dict[str, Any]:
    """Return the state that a Pi without faults reports, with these changes."""
    return {
        "epoch": NOW,
        "uptime": 7200,
        "updated": NOW - DAY,
        "reboot_required": False,
        "failed": [],
        "system": {"name": "Debian GNU/Linux 13", "kernel": "6.12", "machine": "armv6l", "model": "Raspberry Pi Zero"},
        "versions": {"python": "3.13.5", "numpy": "2.2.4", "notebook": "7.6.5", "mynn": "0.1.0"},
        "memory": {"total": 447, "available": 290},
        "card": {"total": 7600, "free": 4900, "read_only": False, "errors": 0},
        "temperature": 44.0,
        "throttled": 0,
        "pristine": {"part2.ipynb": "5e1f"},
        "lessons": {"student": {"missing": [], "damaged": [], "changed": []}},
        "servers": {"student": True},
        **changes,
    }


def answer(**changes: Any) -> dict[str, Any]:
    """Return a Pi's answer: its state, with these changes."""
    return {"state": state(**{"epoch": time.time(), **changes}), "lost": ""}


@pytest.fixture
def tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """A function that runs the program as the playbook does, with these answers by Pi, and returns the tab Pis."""

    def tell(answers: dict[str, Any], lessons: Path = tmp_path / "lessons", verified: Any = ()) -> str:
        (tmp_path / "lessons").mkdir(exist_ok=True)
        content = {"lessons": str(lessons), "verified": verified, "room": 250}
        content |= {"results": str(tmp_path), "asked": answers}
        monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(content)))
        record.main(tmp_path)
        return pis_page(Database(tmp_path / "memory.sqlite").pis(), *answers or ["pi01"])

    return tell


def test_the_last_state_of_a_pi_that_is_off_is_shown(tell: Any) -> None:
    page = tell({})
    assert "not checked yet" in page
    five = answer(memory={"total": 8455, "available": 7902})
    five["state"]["system"]["model"] = "Raspberry Pi 5 Model B Rev 1.0"
    assert "The Pis: 1 of 1 ready" in tell({"pi01": five})
    page = tell({"pi01": OFF})
    assert "The Pis: 0 of 1 ready" in page and "✘ no answer" in page and "sudo on" not in page
    assert "It last answered on " in page and "7.9 GB free<small>of 8.5 GB" in page
    assert ">Pi 5 Model B<small>revision 1.0<" in tell({})
    without = {"state": {}, "lost": "Task failed: Missing sudo password"}
    assert "sudo on pi01 wants a password" in tell({"pi01": without})


def records() -> dict[str, str]:
    """Return what three students have done, by name, and one who is gone."""
    first, second, third, *_ = outline(ROOT / "notebooks").items()
    ends = {first[0]: Finished("2026-11-26T10:00:00", 0.9534), second[0]: Finished("2026-11-27T10:00:00")}
    answers = {task: Answer(True, "=<b>4") for task in first[1].tasks} | {second[1].tasks[0]: Answer(False, "7,5")}
    bos = Record({third[0]: Finished("2026-99-99T10:00:00", 1)})
    return {"ada": Record(ends, answers).text(), "bo": bos.text(), "cy": "", "gone": ""}


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[ServedDesk]:
    with served(tmp_path) as desk:
        desk.answer("pi01", dict.fromkeys(["ada", "bo", "cy"], (None, None)))
        yield desk


def test_each_student_has_an_address_and_a_row_of_tasks(tell: Any, desk: ServedDesk, browser_page: Page) -> None:
    """It is seen on a page that is open, and stays when the Pi is off."""
    page = browser_page
    page.goto(f"{desk.url}/tasks")
    tell({"pi01": answer(records={"ada": "{"})})
    expect(page.get_by_text("The Pis have reported no finished task yet")).to_be_visible()
    tell({"pi01": answer(records=records())}, lessons=ROOT / "notebooks")
    desk.desk.update()
    expect(page.locator("ol li")).to_have_count(15)
    assert [row.locator("th, td").all_inner_texts()[:5] for row in page.locator("tr").all()] == [
        ["Pupil", "1", "2", "3", "4"],
        ["pi01 ada", "✔✔\n26 Nov\n95.3 %", "✘·\n27 Nov", "", ""],
        ["pi01 bo", "", "", "··\n100.0 %", ""],
        ["pi01 cy", "", "", "", ""],
    ]
    page.get_by_role("button", name="pi01 ada, Lesson 2").click()
    expect(page.locator("[popover]:popover-open dd")).to_have_text(["7,5", "untouched"])
    page.keyboard.press("Escape")
    page.get_by_role("button", name="pi01 ada, Lesson 1").click()
    expect(page.locator("[popover]:popover-open dd")).to_have_text(["=<b>4"] * 2)
    page.keyboard.press("Escape")
    assert_accessible(page)
    with page.expect_download() as download:
        page.get_by_role("link", name="Download a table").click()
    table = download.value.path().read_text(encoding="utf-8-sig")
    header, *lines = csv.reader(io.StringIO(table))
    assert header[:4] == ["Pi", "Student", "Name", "Lesson 1: ten thousand digits (of 2)"]
    assert [(*line[:5], line[-1]) for line in lines] == [
        ("pi01", "ada", "", "2", "0", "2"),
        ("pi01", "bo", "", "0", "0", "0"),
        ("pi01", "cy", "", "0", "0", "0"),
    ]
    tell({"pi01": OFF}, lessons=ROOT / "notebooks")
    desk.desk.update()
    assert desk.ask("/tasks").text.count('<th scope="row">') == 3
    page.goto(f"{desk.url}/pis")
    expect(page.locator("article header")).to_contain_text("ada: http://pi01:8888")
    expect(page.locator("article header")).to_contain_text("bo: http://pi01:8889")
    assert_accessible(page)


def test_tasks_are_live_with_a_curve_for_each(
    tell: Any, desk: ServedDesk, browser_page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a server answers. A Pi that is lost is shown as reported."""
    page, now, (first, second) = browser_page, 1000, next(iter(outline(ROOT / "notebooks").values())).tasks
    monkeypatch.setattr(pages, "minute", lambda: now)

    def hear(*rights: bool, lost: str = "") -> None:
        bo = said(tasks=dict(zip((first, second), rights, strict=False)), typed={first: "<b>"})
        desk.answer("pi01", {"ada": (None, None), "bo": (bo, None), "cy": (None, None)}, lost)

    tell({"pi01": answer(records=records())}, lessons=ROOT / "notebooks")
    hear(False)
    assert "<svg" not in desk.ask("/tasks").text  # nobody has answered since the desk began
    now += 3
    hear(True)
    page.goto(f"{desk.url}/tasks")
    expect(page.locator("figcaption")).to_have_text([f"{first}: 2 of 3", f"{second}: 1 of 3"])
    curve = page.get_by_role("img", name=f"{first}: from 1 to 2 of 3").locator("path")
    expect(curve).to_have_attribute("d", "M0 -1h1V -1h1V -1h1V -2h1")
    assert_accessible(page)
    assert "pi01 bo, Lesson 1: ten thousand digits: 1 of 2 right" in (html := desk.ask("/tasks").text)
    assert "<code>&lt;b&gt;</code>" in html
    now += 90
    hear(True, lost="no route")
    expect(page.get_by_role("button", name="pi01 bo, Lesson 1:")).to_have_count(0)
    expect(page.locator("figure")).to_have_count(0)


@pytest.mark.slow
def test_pictures_of_thirty_pis(browser_page: Page, tmp_path: Path) -> None:
    """For the manual. What is wrong comes first. The pages fit a tablet, and a phone, without scrolling sideways."""
    lessons, typed = outline(ROOT / "notebooks"), ["counts[4]", "images.mean()", "12 * 3"]
    random = Random(3)
    sums = sums_of(ROOT / "notebooks")
    faulty = {"throttled": 0x10001, "card": {"total": 7600, "free": 120}, "memory": {"total": 447, "available": 20}}
    with served(tmp_path) as desk:
        for number in range(1, 31):
            done = dict(list(lessons.items())[: random.randint(3, 8)])
            tasks = [task for lesson in done.values() for task in lesson.tasks if random.random() < 0.8]
            ends = {
                name: Finished("2026-11-26T10:00:00", round(random.uniform(0.8, 0.97), 3)) for name in list(done)[1:]
            }
            record_of = Record(ends, {task: Answer(random.random() < 0.8, random.choice(typed)) for task in tasks})
            name, more = f"pi{number:02}.local", faulty if number == 2 else {}
            told = answer(pristine=sums, records={"student": record_of.text()}, **more) if number != 3 else OFF
            figures = {"smoke_accuracy": 0.83, "smoke_seconds": 9}
            result = PiResult(name, checks=[Check("mynn", "learns", "It learns to read.", figures=figures)])
            desk.answer(name, {"student": (None, None)}, "", number)
            columns = record.columns_of(name, time.time(), told, result)
            desk.desk.database.save_report(name, **columns, lessons=str(ROOT / "notebooks"), room=250)
        desk.desk.update()
        browser_page.emulate_media(color_scheme="light")
        about = "lesson=part2_mnist_data_set&task=fours"
        for tab in ("names", "work", "wall", f"look?pi=pi04.local&{about}", f"task?{about}", "pis", "tasks"):
            browser_page.goto(f"{desk.url}/{tab}")
            for width, height in ((360, 740), (820, 1180), (1280, 800)):
                browser_page.set_viewport_size({"width": width, "height": height})
                assert browser_page.evaluate("document.documentElement.scrollWidth") <= width, tab
            if tab in ("pis", "tasks"):
                browser_page.screenshot(path=ROOT / f"dist/screenshots/{tab}.png")
        browser_page.goto(f"{desk.url}/pis")
        expect(browser_page.locator("h1")).to_have_text("The Pis: 28 of 30 ready")
        names = [f"pi{number:02}.local" for number in (2, 3, 1, *range(4, 31))]
        expect(browser_page.locator("article h2")).to_have_text(names)


def test_text_from_a_pi_is_text(tell: Any, capsys: Any) -> None:
    system = {"name": "<script>alert(1)</script>", "kernel": "Deb\x9b\udcff\x00ian", "machine": "", "model": ""}
    page = tell({"pi01": answer(failed=["a\x1b[2J\u202e<b>.service"], system=system)})
    assert "<script>" not in page and "&lt;script&gt;" in page
    assert "Deb\\x9b\\udcff\\x00ian" in page
    assert "a\\x1b[2J\\u202e&lt;b&gt;.service" in page
    assert "failed: a\\x1b[2J\\u202e<b>.service." in capsys.readouterr().out


WHOLE = state(records={"student": Record({"a": Finished("2026-11-26T10:00:00", 0.5)}).text()})
# All of it, each of its parts, and of their parts.
PARTS = [(name, inner) for name, part in WHOLE.items() for inner in ["", *(part if isinstance(part, dict) else [])]]
PARTS += [("", "")]


@settings(max_examples=50)
@given(st.sampled_from(PARTS), JSON)
@example(("memory", "available"), 10**400)
@example(("system", "name"), "x" * 2_000_000)
@example(("records", "../student"), "{}")
def test_whatever_a_pi_tells_the_page_is_written(place: tuple[str, str], value: Any) -> None:
    """What does not match the schema is not kept, and is named in a sentence of ours."""
    name, inner = place
    told = WHOLE | {name: WHOLE[name] | {inner: value} if inner else value} if name else value
    columns = record.columns_of("pi01", NOW, {"state": told, "lost": ""})
    assert len(json.dumps(columns)) < 10_000 and "../" not in json.dumps(columns)
    html = pis_page({"pi01": columns | {"lessons": "nowhere", "room": 250}}, "pi01")
    assert ("pi01 reported an invalid state (" in html) == ("state" not in columns and told != {})


@pytest.mark.parametrize("lost", [["x"], "x" * 10**6, "no\x1b[2J \udcff\nway"])
def test_the_reason_why_a_pi_did_not_answer_may_be_anything(tell: Any, lost: Any) -> None:
    page = tell({"pi01": {"state": {}, "lost": lost}})
    assert "✘ no answer" in page and "\x1b" not in page


@pytest.mark.parametrize("figure", [{"smoke_accuracy": "good"}, {"smoke_seconds": float("nan")}])
def test_figures_that_make_no_sense_are_reported(tell: Any, tmp_path: Path, figure: dict[str, Any]) -> None:
    check = {"role": "mynn", "name": "a", "sentence": "It learns.", "reason": "a\x1b\x00\udcff", "outcome": "fails"}
    for name, figures in (("pi01", {}), ("pi02", figure)):
        made = {"pi": name, "lost": "", "checks": [check | {"figures": figures}]}
        (tmp_path / f"{name}.json").write_text(json.dumps(made))
    names = ["pi01", "pi02", "pi03"]
    page = tell({name: answer() for name in names}, verified=names)
    assert "pi02 reported impossible measurements" in page
    assert page.count("It learns.") == 1 and r"a\x1b\x00\udcff" in page
    assert "The tests of pi03 ended before the first check." in page


FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"updated": NOW - 40 * DAY}, "It has not checked for updates for 40 days."),
    ({"throttled": 0x10000}, "Its supply voltage was too low"),
    ({"servers": {"am": True, "pm": False}}, "The notebook server of pm is not running"),
    ({"lessons": {"a": {"missing": ["a.ipynb"], "damaged": []}}}, "Missing: a.ipynb."),
    ({"lessons": {"a": {"missing": [], "damaged": ["a.ipynb"]}}}, "Cannot be opened: a.ipynb."),
    ({"pristine": {"part2.ipynb": "other"}}, "Lessons that differ from this computer's: part2.ipynb."),
    ({"card": {"free": 120}}, "Its card is nearly full: 120 MB are free."),
    ({"throttled": 0x10001}, "Its supply voltage is too low."),
    ({"throttled": 0x2}, "It is too hot and runs slower."),
    ({"memory": {"total": 447, "available": 59}}, "Only 59 MB of memory is free."),
    ({"epoch": NOW - 5 * HOUR}, "Its clock is wrong."),
]


@pytest.mark.parametrize(("changes", "sentence"), FAULTS)
def test_a_fault_is_reported(changes: dict[str, Any], sentence: str) -> None:
    [found] = faults(state(**changes), {"part2.ipynb": "5e1f"}, NOW, 250)
    assert found.what.startswith(sentence) and found.cure
    assert found.grave == ("updated" not in changes and "was" not in sentence)
