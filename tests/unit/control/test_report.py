"""The report: the faults that it finds, what it keeps of Pis, and the page."""

from __future__ import annotations

import io
import json
import re
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from playwright.sync_api import Page

from ansible_collections.mynn.pi.plugins.module_utils.lessons import lessons_in, outline
from ansible_collections.mynn.pi.plugins.module_utils.schema import misfit
from ansible_collections.mynn.pi.plugins.module_utils.students import classroom_students
from mynn_control import report
from mynn_control.faults import faults
from mynn_control.report_schemas import STATE
from tests.support.programs import ROOT

NOW = time.time()
HOUR, DAY = 3600, 86400
NAMED = ["name", "kernel", "machine", "model"]


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
        "card": {"total": 7600, "free": 4900, "read_only": False, "disk": "mmcblk0", "written": 12, "errors": 0},
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
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that runs the program as the playbook does, with these answers, and returns the page."""

    def run(students: tuple[str, ...] = ("student",), **answers: Any) -> str:
        lessons = tmp_path / "lessons"
        lessons.mkdir(exist_ok=True)
        content: dict[str, Any] = {"inventory": "inventory.ini", "lessons": str(lessons), "verified": []}
        content["pis"] = {"pi01": classroom_students([*students], "pi01", "pi01.local", 8888, False, "passwords")}
        given = json.dumps({**content, "results": "", "asked": answers, "room": 250})
        monkeypatch.setattr("sys.stdin", io.StringIO(given))
        report.main(tmp_path)
        return (tmp_path / "index.html").read_text(encoding="utf-8")

    return run


def test_a_damaged_file_of_what_was_kept_is_replaced(run: Any, tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "pis.json").write_text('{"pi01": {')
    assert "The Pi is ready" in run(pi01=answer())
    assert "pis.json was damaged; it is written anew." in capsys.readouterr().out
    assert "of 447 MB" in run()


def test_the_last_state_of_a_pi_that_is_off_is_shown(run: Any) -> None:
    assert "The Pi is ready" in run(pi01=answer())
    lost = "Task failed: last 100 lines received:\nssh: connect to host pi01 port 22: No route to host"
    page = run(pi01={"state": {}, "lost": lost})
    assert "sudo on" not in page
    assert "The Pi is not ready" in page
    assert "No answer from pi01" in page
    assert "It last answered on " in page
    assert "of 447 MB" in page


def test_a_pi_whose_sudo_wants_a_password_is_named(run: Any) -> None:
    page = run(pi01={"state": {}, "lost": "Task failed: Missing sudo password"})
    assert "sudo on pi01 wants a password" in page


def test_each_student_has_an_address(run: Any) -> None:
    page = run(("am", "pm"), pi01=answer(servers={"am": True, "pm": True}))
    assert 'am: <a href="http://pi01.local:8888">' in page
    assert 'pm: <a href="http://pi01.local:8889">' in page


TITLES = ["Ten thousand digits", "A network <from> nothing", "The curious"]


@pytest.fixture
def lessons(tmp_path: Path) -> None:
    """Three lessons on this computer, whose order is not that of their names, and one without metadata."""
    (tmp_path / "lessons").mkdir()
    for number, (stem, title) in enumerate(zip(("c", "a", "b"), TITLES, strict=True), 1):
        cells = [{"cell_type": "code", "source": ["# no title\n"]}, {"cell_type": "markdown", "source": f"# *{title}*"}]
        notebook = {"cells": cells, "metadata": {"mynn": {"lesson": number}}}
        (tmp_path / f"lessons/{stem}.ipynb").write_text(json.dumps(notebook))
    (tmp_path / "lessons/some_more.ipynb").write_text("[]")


DONE = {
    "ada": {"c": {"finished": "2026-11-26T10:00:00", "score": 0.9534}, "a": {"finished": "2026-11-27T10:00:00"}},
    "bo": {"b": {"finished": "2026-99-99T10:00:00", "score": 1}},
}


def test_each_students_progress_is_a_row(run: Any, lessons: None, browser_page: Page, tmp_path: Path) -> None:
    run(("ada", "bo", "cy"), pi01=answer(progress=DONE | {"cy": {}, "gone": {}}))
    browser_page.goto(f"file://{tmp_path}/index.html")
    assert browser_page.locator(".progress ol li").all_inner_texts() == [*TITLES, "some more"]
    rows = browser_page.locator(".progress tr").all()
    cells = [row.locator("th, td").all_inner_texts() for row in rows]
    assert cells == [
        ["Student", "1", "2", "3", "4"],
        ["pi01 ada", "✔ 26 Nov\n95.3 %", "✔ 27 Nov", "", ""],
        ["pi01 bo", "", "", "✔\n100.0 %", ""],
        ["pi01 cy", "", "", "", ""],
        ["3 students", "1", "1", "1", "–"],
    ]
    run(("ada", "bo", "cy"), pi01={"state": {}, "lost": "no answer"})  # the rows stay when the Pi is off
    browser_page.set_viewport_size({"width": 390, "height": 844})
    browser_page.goto(f"file://{tmp_path}/index.html")
    assert browser_page.locator(".progress tr").count() == 5
    assert browser_page.evaluate("document.documentElement.scrollWidth") <= 390


def test_picture_of_three_pis_with_eight_students_each(browser_page: Page, tmp_path: Path, monkeypatch: Any) -> None:
    """For the manual, with the project's own lessons."""
    students = ["ada", "bo", "cleo", "dina", "emil", "finn", "grace", "hugo"]
    stems = list(outline(ROOT / "notebooks"))
    content: dict[str, Any] = {"inventory": "inventory.ini", "lessons": str(ROOT / "notebooks"), "verified": []}
    content |= {"results": "", "pis": {}, "asked": {}, "room": 250}
    for pi in ("pi01.local", "pi02.local", "pi03.local"):
        progress: dict[str, Any] = {}
        for number, name in enumerate(students):
            done = stems[: (5 * number + len(content["pis"])) % (len(stems) + 1)]
            progress[name] = {stem: {"finished": f"2026-11-{9 + 2 * day:02}T10:00:00"} for day, stem in enumerate(done)}
            for day, stem in enumerate(done[2::2]):
                progress[name][stem]["score"] = 0.913 + 0.007 * number + 0.002 * day
        lessons: dict[str, Any] = {name: {"missing": [], "damaged": [], "changed": []} for name in students}
        pristine = {name: sha256(lesson).hexdigest() for name, lesson in lessons_in(ROOT / "notebooks").items()}
        servers = dict.fromkeys(students, True)
        content["asked"][pi] = answer(progress=progress, lessons=lessons, servers=servers, pristine=pristine)
        content["pis"][pi] = classroom_students(students, pi, pi, 8888, False, "passwords")
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(content)))
    report.main(tmp_path)
    table = browser_page.locator("#progress")
    for width, name in ((390, "progress-phone"), (1280, "progress")):
        browser_page.set_viewport_size({"width": width, "height": 900})
        browser_page.goto(f"file://{tmp_path}/index.html")
        assert browser_page.evaluate("document.documentElement.scrollWidth") <= width
        table.screenshot(path=ROOT / f"dist/screenshots/{name}.png")
    assert table.locator("tbody tr").count() == 24


def of_kind(model: str, kernel: str, machine: str, memory: tuple[int, int], card: int, **others: Any) -> dict[str, Any]:
    """Return the answer of a Pi of some model, as pi_state gives it; memory: in total and available."""
    system = {"name": "Debian GNU/Linux 13 (trixie)", "kernel": kernel, "machine": machine, "model": model}
    wear = {"read_only": False, "disk": "mmcblk0", "name": "SU32G", "written": 212, "written_ever": 18233, "errors": 0}
    changes: dict[str, Any] = {"system": system, "memory": dict(zip(("total", "available"), memory, strict=True))}
    return answer(**changes, card={"total": card, "free": card - 2700, **wear}, **others)


def kinds() -> dict[str, dict[str, Any]]:
    """Return answers of Pis of several models, as their kernels' device trees name them."""
    old, new = "6.12.57+deb13-rpi", "6.12.57+deb13-arm64"
    zero, zero2w = "Raspberry Pi Zero W Rev 1.1", "Raspberry Pi Zero 2 W Rev 1.0"
    three, five = "Raspberry Pi 3 Model B Plus Rev 1.3", "Raspberry Pi 5 Model B Rev 1.0"
    return {
        "pi01.local": of_kind(zero, old, "armv6l", (448, 291), 7600),
        "pi02.local": of_kind(zero, old, "armv6l", (448, 24), 7600, throttled=0x50005),
        "pi03.local": of_kind(three, new, "aarch64", (949, 702), 15500, temperature=51.0),
        "pi04.local": of_kind(zero2w, new, "aarch64", (432, 230), 31000),
        "pi05.local": of_kind(five, "6.16.3+deb13-arm64", "aarch64", (8455, 7902), 62500, temperature=47.0),
    }


def test_pis_of_several_kinds_are_told_apart(browser_page: Page, tmp_path: Path, monkeypatch: Any) -> None:
    """Each Pi's model, processor and memory can be read, on a desktop and on a phone; pictures are kept."""
    content: dict[str, Any] = {"inventory": "inventory.ini", "lessons": str(tmp_path / "none"), "verified": []}
    (tmp_path / "none").mkdir()
    answers = kinds()
    names = [*answers, "pi06.local"]
    content["pis"] = {pi: classroom_students(["student"], pi, pi, 8888, False, "passwords") for pi in names}
    lost = {"state": {}, "lost": "ssh: connect to host pi06.local port 22: No route to host"}
    content |= {"results": "", "room": 250, "asked": answers | {"pi06.local": lost}}
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(content)))
    report.main(tmp_path)
    for width, name in ((390, "report-kinds-phone"), (1280, "report-kinds")):
        browser_page.set_viewport_size({"width": width, "height": 900})
        browser_page.goto(f"file://{tmp_path}/index.html")
        assert browser_page.evaluate("document.documentElement.scrollWidth") <= width
        browser_page.screenshot(path=ROOT / f"dist/screenshots/{name}.png", full_page=True, timeout=60_000)
    cells = browser_page.locator("tbody tr td:first-child").all_inner_texts()
    assert [" ".join(cell.split()) for cell in cells] == [
        "pi01.local Pi Zero W",
        "pi02.local Pi Zero W",
        "pi03.local Pi 3 Model B Plus",
        "pi04.local Pi Zero 2 W",
        "pi05.local Pi 5 Model B",
        "pi06.local",
    ]
    said = browser_page.locator(r"#pi05\.local dl > div").all_inner_texts()
    for fact in (
        "Model\nPi 5 Model B\nrevision 1.0",
        "System\nDebian GNU/Linux 13 (trixie)\n64-bit ARM (aarch64), Linux 6.16.3+deb13-arm64",
        "Memory\n7.9 GB free\nof 8.5 GB",
    ):
        assert fact in said
    assert "32-bit ARM (armv6l)" in browser_page.locator(r"#pi01\.local").inner_text()


@pytest.mark.parametrize(
    ("said", "model", "revision"),
    [
        ("Raspberry Pi 4 Model B Rev 1.5", "Pi 4 Model B", "revision 1.5"),
        ("Raspberry Pi 500 Rev 1.0", "Pi 500", "revision 1.0"),
        ("Raspberry Pi Zero", "Pi Zero", ""),
        ("Some other board", "Some other board", ""),
        ("", "", ""),
    ],
)
def test_a_model_is_what_people_call_it(said: str, model: str, revision: str) -> None:
    assert report.model(said) == (model, revision)


def test_without_progress_there_is_no_table_of_progress(run: Any, lessons: None) -> None:
    assert "progress" not in re.sub("<style>.*?</style>", "", run(pi01=answer(progress={"student": {}})), flags=re.S)
    assert "progress" not in re.sub("<style>.*?</style>", "", run(pi01=answer()), flags=re.S)


def test_a_pi_that_was_never_asked_is_listed_too(run: Any) -> None:
    assert "not checked yet" in run()


def test_the_page_loads_nothing_from_elsewhere(run: Any) -> None:
    """The only addresses in it are the Pis', and text from a Pi is escaped."""
    name = "<script>alert(1)</script>"
    run(pi01=answer())
    page = run(pi01=answer(system={"name": name, "kernel": "6.12", "machine": "armv6l", "model": ""}))
    assert name not in page
    assert "&lt;script&gt;" in page
    addresses = set(re.findall(r"(?:src|href|url)\s*[=(]\s*[\"']?([a-z]+:[^\"') ]*)", page))
    assert addresses == {"http://pi01.local:8888", "data:,"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
PROGRESS = {"student": {"a": {"finished": "2026-11-26T10:00:00", "score": 0.5}}}
WHOLE = state(progress=PROGRESS)
# The way to each of its parts.
PARTS: list[tuple[str, ...]] = [(name,) for name in WHOLE]
PARTS += [(name, inner) for name, part in WHOLE.items() if isinstance(part, dict) for inner in part]
PARTS += [("lessons", "student", "missing"), *(("progress", "student", "a", part) for part in ("finished", "score"))]


def with_part(way: tuple[str, ...], value: Any) -> Any:
    """Return a state with another value for one of its parts."""
    forged = json.loads(json.dumps(WHOLE))
    at = forged
    for name in way[:-1]:
        at = at[name]
    at[way[-1]] = value
    return forged


@settings(deadline=None)
@given(st.sampled_from(PARTS), JSON)
def test_whatever_a_pi_tells_the_page_is_written(way: tuple[str, ...], value: Any) -> None:
    """What does not match the schema is not kept, and is named in a sentence of ours."""
    kept = report.updated({}, "pi01", NOW, {"state": with_part(way, value), "lost": ""}, None)
    students = classroom_students(["student"], "pi01", "pi01.local", 8888, False, "passwords")
    html = report.page(report.rows({"pi01": kept}, {"pi01": students}, {}, 250), Path("inventory.ini"), NOW, {"a": "A"})
    assert ("pi01 reported an invalid state (" in html) == ("state" not in kept)
    assert ("state" in kept) == (misfit(with_part(way, value), STATE) == "")


@pytest.mark.parametrize(
    "invalid",
    [
        *(state(memory={"total": 447, "available": value}) for value in (float("nan"), 10**400)),
        state(failed=["unit.service"] * 1001),
        state(progress={"student": {"a": {"finished": "2026-11-26T10:00:00<b>"}}}),
        state(progress={"student": {"a": {"finished": "2026-11-26T10:00:00", "score": 2}}}),
        state(progress={"student": {str(number): {"finished": "2026-11-26T10:00:00"} for number in range(101)}}),
        state(servers={"../student": True}),
        state(servers=dict.fromkeys(map("s{}".format, range(101)), True)),
        state(system={"name": "x" * 2_000_000, "kernel": "", "machine": "", "model": ""}),
        *([], "state", 5, None),
    ],
)
def test_an_invalid_state_is_reported_and_not_stored(run: Any, tmp_path: Path, invalid: Any) -> None:
    page = run(pi01=answer(), pi02={"state": invalid, "lost": ""})
    assert "of 447 MB" in page
    kept = json.loads((tmp_path / "pis.json").read_text())
    assert "state" in kept["pi01"] and "state" not in kept["pi02"]
    assert kept["pi02"]["lost"].startswith("pi02 reported an invalid state (")
    assert len(kept["pi02"]["lost"]) < 300


def test_the_reason_why_a_pi_did_not_answer_may_be_anything(run: Any) -> None:
    for lost in (5, ["x"], "x" * 10**6, "no\x1b[2J \udcff\nway", {"a": "b"}):
        page = run(pi01={"state": {}, "lost": lost})
        assert "No answer from pi01" in page and "\x1b" not in page


def test_text_from_a_pi_is_made_printable(run: Any, capsys: Any) -> None:
    page = run(pi01=answer(failed=["a\x1b[2J\u202e<b>.service"], system=dict.fromkeys(NAMED, "Deb\x9b\udcff\x00ian")))
    assert "Deb\\x9b\\udcff\\x00ian" in page
    assert "a\\x1b[2J\\u202e&lt;b&gt;.service" in page
    assert "failed: a\\x1b[2J\\u202e<b>.service." in capsys.readouterr().out


@pytest.mark.parametrize(
    "change",
    [
        {"figures": {"smoke_accuracy": "good"}},
        {"figures": {"smoke_accuracy": float("nan")}},
        {"figures": {"kernel": ["x"]}},
        {"outcome": "splendid"},
        {"reason": 5},
        {"other": 1},
        {"seconds": "long"},
    ],
)
def test_test_results_that_make_no_sense_are_reported(
    change: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = {
        "role": "mynn",
        "name": "learns",
        "sentence": "It learns.",
        "reason": "a\x1b\x00\udcff",
        "outcome": "fails",
    }
    for name, made in (("pi01", check), ("pi02", check | change)):
        (tmp_path / f"{name}.json").write_text(json.dumps({"pi": name, "checks": [made]}))
    answers = {name: answer() for name in ("pi01", "pi02")}
    given: dict[str, Any] = {"inventory": "inventory.ini", "lessons": str(tmp_path), "asked": answers}
    given["pis"] = {name: classroom_students(["student"], name, name, 8888, False, "passwords") for name in answers}
    given |= {"verified": ["pi01", "pi02"], "results": str(tmp_path), "room": 250}
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(given)))
    report.main(tmp_path)
    page = (tmp_path / "index.html").read_text()
    assert "The test results of pi02 cannot be read" in page
    assert "It learns." in page
    assert r"a\x1b\x00\udcff" in page


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"versions": {}}, "It is not a notebook server yet."),
        ({"servers": {"student": False}}, "The notebook server is not running"),
        ({"servers": {"am": True, "pm": False}}, "The notebook server of pm is not running"),
        ({"lessons": {"student": {"missing": ["a.ipynb"], "damaged": [], "changed": []}}}, "Missing: a.ipynb."),
        (
            {"lessons": {"student": {"missing": [], "damaged": ["a.ipynb"], "changed": []}}},
            "Cannot be opened: a.ipynb.",
        ),
        ({"pristine": {"part2.ipynb": "other"}}, "Lessons that differ from this computer's: part2.ipynb."),
        ({"card": {"free": 120}}, "Its card is nearly full: 120 MB are free."),
        ({"card": {"free": 4900, "read_only": True}}, "Its card is read-only"),
        ({"card": {"free": 4900, "errors": 3}}, "The file system on its card is damaged (3 errors so far)."),
        ({"throttled": 0x50005}, "Its supply voltage is too low."),
        ({"throttled": 0x2}, "It is too hot and runs slower."),
        ({"temperature": 81.0}, "It is too hot and runs slower."),
        ({"memory": {"total": 447, "available": 20}}, "Only 20 MB of memory is free."),
        ({"epoch": NOW - 5 * HOUR}, "Its clock is wrong."),
        ({"failed": ["avahi-daemon.service"]}, "System services failed: avahi-daemon.service."),
    ],
)
def test_each_fault_is_reported(changes: dict[str, Any], sentence: str) -> None:
    found = list(faults(state(**changes), {"part2.ipynb": "5e1f"}, NOW, 250))
    grave = [fault for fault in found if fault.grave]
    assert any(fault.what.startswith(sentence) for fault in grave), found
    assert all(fault.cure for fault in found)


@pytest.mark.parametrize("changes", [{"updated": NOW - 40 * DAY}, {"reboot_required": True}, {"throttled": 0x10000}])
def test_faults_that_can_wait_are_not_grave(changes: dict[str, Any]) -> None:
    [found] = faults(state(**changes), {"part2.ipynb": "5e1f"}, NOW, 250)
    assert not found.grave


def test_missing_readings_are_not_faults() -> None:
    """A container has no thermometer, no voltage sensor and no card of its own."""
    little = state(card={"total": 7600, "free": 4900, "read_only": False})
    for name in ("temperature", "throttled", "uptime", "updated"):
        del little[name]
    assert list(faults(little, {"part2.ipynb": "5e1f"}, NOW, 250)) == []
