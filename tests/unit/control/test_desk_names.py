"""The pupils' names: where the teacher sees them, since when they hold, and that they are gone once deleted."""

import csv
import io
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from playwright.sync_api import Page, expect

from ansible_collections.mynn.pi.plugins.filter.students import classroom_students
from mynn.tasks import Answer, Record
from mynn_control.desk import tasks
from mynn_control.desk.names import LONGEST, is_name
from mynn_control.desk.pis import Pupil
from mynn_control.desk.runs import Run
from tests.support.browser import assert_accessible
from tests.support.desk import ServedDesk, served
from tests.support.programs import ROOT
from tests.unit.control.test_desk_pis import state

ADA = "Ada O’Brien-Łoś"


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[ServedDesk]:
    """A desk with three seats at two Pis. Its folder is dist/desk, as a teacher's is."""
    folder = tmp_path / "dist/desk"
    folder.mkdir(parents=True)
    with served(folder) as desk:
        desk.answer("pi-01", {"ada": (None, None), "bo": (None, None)}, "", 1)
        desk.answer("pi-02", {"student": (None, None)}, "", 2)
        yield desk


def name(desk: ServedDesk, **names: str) -> str:
    """Give the seats names by the students' accounts, and return what was wrong."""
    seats = {"ada": "pi-01/ada", "bo": "pi-01/bo", "student": "pi-02/student"}
    return desk.ask("/names", urlencode({seats[student]: name for student, name in names.items()})).text


def keep_tasks(desk: ServedDesk) -> None:
    """Let each Pi have told of a task."""
    told = Record({}, {"fours": Answer(True, "4")}).text()
    for pi, students in (("pi-01", ("ada", "bo")), ("pi-02", ("student",))):
        told_of = state(records=dict.fromkeys(students, told))
        desk.desk.database.save_report(pi, asked=1, lost="no route", state=told_of, lessons="", room=1)


def test_a_list_is_pasted_and_names_are_on_every_page(desk: ServedDesk, browser_page: Page) -> None:
    """It is used with the keyboard. What is typed stays when the page follows."""
    page = browser_page
    page.goto(desk.url)
    page.get_by_role("link", name="Names of the pupils").click()
    expect(page).to_have_title("Names of the pupils")
    page.wait_for_load_state()
    page.get_by_label("pi-01 ada").evaluate(
        """(box, text) => { const clipboardData = new DataTransfer(); clipboardData.setData("text", text); box.focus();
        box.dispatchEvent(new ClipboardEvent("paste", {clipboardData, bubbles: true, cancelable: true})); }""",
        f"{ADA}\r\n\r\nCleo\tK.\nDoro\n",
    )
    expect(page.get_by_role("alert")).to_contain_text("The list has 4 lines, but only 3 seats were left")
    desk.answer("pi-03", {"student": (None, None)}, "", 3)
    expect(page.get_by_label("pi-03")).to_be_visible()
    expect(page.get_by_label("pi-01 ada")).to_be_focused()
    expect(page.get_by_label("pi-01 ada")).to_have_value(ADA)
    page.once("dialog", lambda question: question.dismiss())
    page.get_by_role("link", name="Class").click()  # the browser asks before what is not saved is lost
    expect(page.get_by_label("pi-01 ada")).to_have_value(ADA)
    page.get_by_label("pi-03").fill("-1")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("The name for pi-03 was refused, and none was saved")
    assert desk.desk.database.names() == {}
    page.get_by_label("pi-03").fill("")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("The names are saved.")
    assert_accessible(page)
    keep_tasks(desk)
    desk.desk.update()
    page.get_by_role("link", name="Class").click()
    expect(page.locator("article h2 bdi")).to_have_text([ADA, "pi-01", "Cleo K.", "pi-03"])
    assert_accessible(page)
    page.get_by_role("link", name="Tasks").click()
    expect(page.locator("th[scope=row]")).to_have_text([f"{ADA}, pi-01 ada", "pi-01 bo", "Cleo K., pi-02"])


def test_what_is_no_name_or_seat_is_refused_and_nothing_is_saved(desk: ServedDesk) -> None:
    name(desk, bo="Bo")
    longer = "A" * (LONGEST + 1)
    for text in (*(f"{first}1+1" for first in '=+-@|;,"({'), "<b>Ada", 'Ada";=1', "Ada;=1", "Ada\u202eb", longer):
        assert "The name for pi-01 was refused, and none was saved" in name(desk, bo="Bob", ada=text), text
    for seat in ("pi-03/ada", "pi-01/../ada", "pi-01", ""):
        assert desk.ask("/names", urlencode({seat: "Ada"})).status_code == 409
    assert desk.desk.database.names() == {("pi-01", "bo"): "Bo"}


@given(st.text(max_size=LONGEST))
@example("'t Hart & co")
@example("प्रिया")
def test_a_name_is_text_in_a_spreadsheet(text: str) -> None:
    """Also in one that takes another sign for the end of a cell."""
    if text and is_name(text):
        assert text.isprintable() and text[0] not in "=+-@" and not set(text) & set(';|\t"')
        header, line = csv.reader(io.StringIO(tasks.table([Pupil("pi-01", "", text, Record())], {})))
        assert header[2] == "Name" and line[2] == text


def test_a_collection_shows_the_names_of_its_day(desk: ServedDesk) -> None:
    database, work = desk.desk.database, desk.desk.work
    for month, pupil in enumerate(["Ada", "Bea", ""], 1):
        with pytest.MonkeyPatch.context() as clock:
            clock.setattr(time, "time", lambda month=month: time.mktime((2026, month, 2, 10, 0, 0, 0, 0, -1)))
            database.save_names({("pi-02", "student"): pupil})
    for date in ("2026-01-01", "2026-01-03", "2026-02-03", "2026-03-03"):
        folder = work / f"{date}_10-00-00/pi-02"
        (folder / "student").mkdir(parents=True)
        (folder / "SHA256SUMS").touch()
    desk.desk.redraw()
    page = desk.ask("/work").text
    assert page.count("<td>pi-02</td>") == 4
    found = [
        page.partition(f"<tr><td>{day} 2026, 10:00</td><td>pi-02</td><td>")[2].partition("</td>")[0]
        for day in ("1 January", "3 January", "3 February", "3 March")
    ]
    assert found == ["student", "<bdi>Ada</bdi> (student)", "<bdi>Bea</bdi> (student)", "student"]


def test_a_later_name_counts_though_the_clock_was_set_back(desk: ServedDesk) -> None:
    name(desk, ada="Ada")
    with pytest.MonkeyPatch.context() as clock:
        clock.setattr(time, "time", lambda: 1e9)
        name(desk, ada="Bea")
    assert desk.desk.database.names() == {("pi-01", "ada"): "Bea"}


@pytest.mark.slow
def test_deleted_names_are_in_no_file(desk: ServedDesk, tmp_path: Path, browser_page: Page) -> None:
    """Whatever else was remembered meanwhile."""

    def files_with_a_name() -> list[str]:
        return [path.name for path in tmp_path.rglob("*") if path.is_file() and b"ZebedeeX" in path.read_bytes()]

    dist = tmp_path / "dist"
    for number in range(40):
        name(desk, student=f"ZebedeeX {number}", ada="ZebedeeX" + number * "y", bo="" if number % 3 else "ZebedeeX")
        keep_tasks(desk)
    students = classroom_students(["student"], "pi-02", "pi-02", 8888, False, str(tmp_path))
    pis = json.dumps([{"name": "pi-02", "model": "", "students": students, "password": "k7m2"}])
    command = [sys.executable, "-m", "mynn_control.labels", str(dist / "labels"), str(desk.folder)]
    printed = subprocess.run(command, input=pis, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "ZebedeeX" not in printed.stdout + printed.stderr
    (dist / "labels/.labels-A4.html.x1.new").write_text("ZebedeeX")
    (dist / "labels/my-notes.txt").write_text("")
    assert {"memory.sqlite", "labels-A4.html", "labels-Letter.html"} <= set(files_with_a_name())
    desk.desk.run = Run("labels")
    assert "this has not ended yet" in desk.ask("/names/delete", "").text
    desk.desk.run = None
    browser_page.goto(f"{desk.url}/names")
    browser_page.get_by_role("button", name="Delete all names").click()
    browser_page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    assert desk.desk.database.names()
    browser_page.get_by_role("button", name="Delete all names").click()
    browser_page.get_by_role("dialog").get_by_role("button", name="Delete all names").click()
    expect(browser_page.get_by_role("alert")).to_have_text("All names are deleted.")
    expect(browser_page.get_by_label("pi-02")).to_have_value("")
    assert files_with_a_name() == []
    assert (dist / "labels/my-notes.txt").exists() and set(desk.desk.database.pis()) == {"pi-01", "pi-02"}
