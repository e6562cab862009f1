"""The report: the faults that it finds, what it keeps of Pis, and the page."""

import io
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from playwright.sync_api import Page

from ansible_collections.mynn.pi.plugins.module_utils.students import classroom_students
from mynn.outline import Lesson, outline
from mynn.tasks import Answer, Finished, Record
from mynn_control import report
from mynn_control.faults import faults
from tests.support.json_values import JSON
from tests.support.programs import ROOT

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
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """A function that runs the program as the playbook does, with these answers by Pi, and returns the page."""

    def run(answers: dict[str, Any], *students: str, lessons: Path = tmp_path / "lessons", verified: Any = ()) -> str:
        (tmp_path / "lessons").mkdir(exist_ok=True)
        names = students or ("student",)
        pis = {pi: classroom_students([*names], pi, pi, 8888, False, "passwords") for pi in answers or ["pi01"]}
        content = {"inventory": "inventory.ini", "lessons": str(lessons), "verified": verified, "room": 250}
        content |= {"results": str(tmp_path), "asked": answers, "pis": pis}
        monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(content)))
        report.main(tmp_path)
        return (tmp_path / "index.html").read_text(encoding="utf-8")

    return run


def test_the_last_state_of_a_pi_that_is_off_is_shown(run: Any, tmp_path: Path, capsys: Any) -> None:
    """Also once what was kept has been damaged, and the Pi has answered again."""
    (tmp_path / "pis.json").write_text('{"pi01": {')
    page = run({})
    assert "not checked yet" in page and "Of 1000 digits<br>recognised" in page
    assert "pis.json was damaged; it is written anew." in capsys.readouterr().out
    five = answer(memory={"total": 8455, "available": 7902})
    five["state"]["system"]["model"] = "Raspberry Pi 5 Model B Rev 1.0"
    assert "The Pi is ready" in run({"pi01": five})
    page = run({"pi01": OFF})
    assert "The Pi is not ready" in page and "No answer from pi01" in page and "sudo on" not in page
    assert "It last answered on " in page and "7.9 GB free<small>of 8.5 GB" in page
    assert ">Pi 5 Model B<small>revision 1.0<" in run({})
    assert "sudo on pi01 wants a password" in run({"pi01": {"state": {}, "lost": "Task failed: Missing sudo password"}})


def test_each_student_has_an_address_and_a_row_of_progress(run: Any, browser_page: Page, tmp_path: Path) -> None:
    students = ("ada", "bo", "cy")
    first, second, third, *others = outline(ROOT / "notebooks").items()
    ends = {first[0]: Finished("2026-11-26T10:00:00", 0.9534), second[0]: Finished("2026-11-27T10:00:00")}
    answers = {task: Answer(True, "<b>4") for task in first[1].tasks} | {second[1].tasks[0]: Answer(False, "7,5")}
    bos = Record({third[0]: Finished("2026-99-99T10:00:00", 1)})
    done = {"ada": Record(ends, answers).text(), "bo": bos.text(), "cy": "", "gone": ""}
    assert 'id="progress"' not in run({"pi01": answer(records={"ada": "{"})}, *students)
    page = run({"pi01": answer(records=done)}, *students, lessons=ROOT / "notebooks")
    assert 'ada: <a href="http://pi01:8888">' in page and 'bo: <a href="http://pi01:8889">' in page
    browser_page.goto(f"file://{tmp_path}/index.html")
    assert browser_page.locator(".progress ol li").count() == 3 + len(others)
    lessons, typed, other = browser_page.locator(".progress table").all()[:3]
    assert [row.locator("th, td").all_inner_texts()[:5] for row in lessons.locator("tr").all()] == [
        ["Student", "1", "2", "3", "4"],
        ["pi01 ada", "✔ 26 Nov\n95.3 %", "0 of 2", "", ""],
        ["pi01 bo", "", "", "0 of 2\n100.0 %", ""],
        ["pi01 cy", "", "", "", ""],
    ]
    assert typed.locator("tr").nth(1).locator("td").all_text_contents() == ["✔ <b>4"] * 2
    assert other.locator("tr").nth(1).locator("td").all_text_contents() == ["✘ 7,5", ""]
    page = run({"pi01": OFF}, *students, lessons=ROOT / "notebooks")
    assert page.count('<th scope="row">') == 3 * 3  # the rows stay when the Pi is off


def test_the_page_loads_nothing_from_elsewhere_and_text_from_a_pi_is_text(run: Any, capsys: Any) -> None:
    system = {"name": "<script>alert(1)</script>", "kernel": "Deb\x9b\udcff\x00ian", "machine": "", "model": ""}
    page = run({"pi01": answer(failed=["a\x1b[2J\u202e<b>.service"], system=system)})
    assert "<script" not in page and "&lt;script&gt;" in page
    assert "Deb\\x9b\\udcff\\x00ian" in page
    assert "a\\x1b[2J\\u202e&lt;b&gt;.service" in page
    assert "failed: a\\x1b[2J\\u202e<b>.service." in capsys.readouterr().out
    addresses = set(re.findall(r"(?:src|href|url)\s*[=(]\s*[\"']?([a-z]+:[^\"') ]*)", page))
    assert addresses == {"http://pi01:8888", "data:,"}


WHOLE = state(records={"student": Record({"a": Finished("2026-11-26T10:00:00", 0.5)}).text()})
LESSONS = {"a": Lesson("A", tasks=("fours",))}
# All of it, each of its parts, and of their parts.
PARTS = [(name, inner) for name, part in WHOLE.items() for inner in ["", *(part if isinstance(part, dict) else [])]]
PARTS += [("", "")]


@settings(deadline=None, max_examples=50)
@given(st.sampled_from(PARTS), JSON)
@example(("memory", "available"), 10**400)
@example(("system", "name"), "x" * 2_000_000)
@example(("records", "../student"), "{}")
def test_whatever_a_pi_tells_the_page_is_written(place: tuple[str, str], value: Any) -> None:
    """What does not match the schema is not kept, and is named in a sentence of ours."""
    name, inner = place
    told = WHOLE | {name: WHOLE[name] | {inner: value} if inner else value} if name else value
    kept = report.updated({}, "pi01", NOW, {"state": told, "lost": ""}, None)
    assert len(json.dumps(kept)) < 10_000 and "../" not in json.dumps(kept)
    students = classroom_students(["student"], "pi01", "pi01.local", 8888, False, "passwords")
    html = report.page(report.rows({"pi01": kept}, {"pi01": students}, {}, 250), Path("inventory.ini"), NOW, LESSONS)
    assert ("pi01 reported an invalid state (" in html) == ("state" not in kept and told != {})


@pytest.mark.parametrize("lost", [["x"], "x" * 10**6, "no\x1b[2J \udcff\nway"])
def test_the_reason_why_a_pi_did_not_answer_may_be_anything(run: Any, lost: Any) -> None:
    page = run({"pi01": {"state": {}, "lost": lost}})
    assert "No answer from pi01" in page and "\x1b" not in page


@pytest.mark.parametrize("figure", [{"smoke_accuracy": "good"}, {"smoke_seconds": float("nan")}])
def test_figures_that_make_no_sense_are_reported(run: Any, tmp_path: Path, figure: dict[str, Any]) -> None:
    check = {"role": "mynn", "name": "a", "sentence": "It learns.", "reason": "a\x1b\x00\udcff", "outcome": "fails"}
    for name, figures in (("pi01", {}), ("pi02", figure)):
        made = {"pi": name, "lost": "", "checks": [check | {"figures": figures}]}
        (tmp_path / f"{name}.json").write_text(json.dumps(made))
    names = ["pi01", "pi02", "pi03"]
    page = run({name: answer() for name in names}, verified=names)
    assert "pi02 measured what makes no sense" in page
    assert page.count("It learns.") == 1 and r"a\x1b\x00\udcff" in page
    assert "The tests of pi03 ended before the first check." in page


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"updated": NOW - 40 * DAY}, "It has not checked for updates for 40 days."),
        ({"throttled": 0x10000}, "Its supply voltage was too low"),
        ({"servers": {"am": True, "pm": False}}, "The notebook server of pm is not running"),
        ({"lessons": {"a": {"missing": ["a.ipynb"], "damaged": []}}}, "Missing: a.ipynb."),
        ({"lessons": {"a": {"missing": [], "damaged": ["a.ipynb"]}}}, "Cannot be opened: a.ipynb."),
        ({"pristine": {"part2.ipynb": "other"}}, "Lessons that differ from this computer's: part2.ipynb."),
        ({"card": {"free": 120}}, "Its card is nearly full: 120 MB are free."),
        ({"throttled": 0x10001}, "Its supply voltage is too low."),
        ({"throttled": 0x2}, "It is too hot and runs slower."),
        ({"memory": {"total": 447, "available": 20}}, "Only 20 MB of memory is free."),
        ({"epoch": NOW - 5 * HOUR}, "Its clock is wrong."),
    ],
)
def test_a_fault_is_reported(changes: dict[str, Any], sentence: str) -> None:
    [found] = faults(state(**changes), {"part2.ipynb": "5e1f"}, NOW, 250)
    assert found.what.startswith(sentence) and found.cure
    assert found.grave == ("updated" not in changes and "was" not in sentence)
