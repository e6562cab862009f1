"""The desk: who may use it, the runs that it starts, and the whole of it, with this computer as a Pi."""

import io
import json
import os
import re
import sqlite3
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from unittest.mock import Mock

import pytest
import requests
from playwright.sync_api import Page, Route, expect
from playwright.sync_api import TimeoutError as TooLongError

from mynn_control.desk import backup
from mynn_control.desk.database import VERSIONS, Database
from mynn_control.desk.runs import Run
from tests.support.classroom import until
from tests.support.desk import ServedDesk, open_desk, served
from tests.support.programs import ROOT

INVENTORY = """
[pis]
pi-01 ansible_connection=local
pi-02 ansible_host=127.0.0.1 ansible_port=1
[pis:vars]
ansible_become=false
__python_venv={folder}/venv
message_file={folder}/run/message
"""


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[ServedDesk]:
    with served(tmp_path) as desk:
        yield desk


def test_only_the_desks_own_pages_can_use_it(desk: ServedDesk) -> None:
    """Another site's page in the teacher's browser cannot, even under a host name that leads to this computer."""
    name = desk.url.removeprefix("http://")
    assert desk.ask("/").status_code == desk.ask("/", Host=name.replace("127.0.0.1", "localhost")).status_code == 200
    for host in ("evil.example", "127.0.0.1", f"evil.example:{name.partition(':')[2]}"):
        assert desk.ask("/", Host=host).status_code == 403
    for path in desk.desk.forms:
        assert desk.ask(path, "", Origin="http://evil.example").status_code == 403
        assert desk.ask(path, "x" * 70_000).status_code == 413
    assert desk.desk.run is None


def test_a_page_loads_and_runs_only_what_the_desk_has(desk: ServedDesk) -> None:
    for path in ("/", "/wall", "/wall/full"):
        answer = desk.ask(path)
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy
        assert not re.search(r"<style|<script(?! type=\"module\" src=\"/static)| style=| on[a-z]+=", answer.text)
        assert set(re.findall(r'(?:src|href)="(?!/)([a-z]*:?)', answer.text)) <= {"data:"}


@pytest.mark.parametrize(
    "path", ["/run/image", "/run/..%2fsite", "/wall/forget", "/static/..%2fapp.py", "/static/..%2f..%2f..%2fMakefile"]
)
def test_nothing_else_has_an_address(desk: ServedDesk, path: str) -> None:
    assert desk.ask(path, "").status_code in (404, 405)
    assert desk.ask(path).status_code == 404
    assert desk.desk.run is None


def test_the_memory_is_its_owners_and_says_what_to_do_if_it_cannot_be_used(tmp_path: Path) -> None:
    path = tmp_path / "memory.sqlite"
    Database(path).take_off("pi-01/ada")
    assert Database(path).taken_off() == ["pi-01/ada"]
    assert path.stat().st_mode & 0o777 == 0o600
    with Database(path)._transaction() as database:
        database.execute(f"PRAGMA user_version = {len(VERSIONS) + 1}")
    with pytest.raises(SystemExit, match=r"memory\.sqlite was written by a later mynn-pi"):
        Database(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(SystemExit, match=r"memory\.sqlite cannot be used: unable to open"):
        Database(path)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b"not a database " * 400),
        lambda path: path.write_bytes(bytes(8192)),
        lambda path: os.truncate(path, 5000),
        lambda path: path.write_bytes(path.read_bytes()[:4096] + bytes(path.stat().st_size - 4096)),
        "DROP TABLE names",
        "PRAGMA user_version = 1",
        "UPDATE runs SET chosen = '{'",
    ],
)
def test_a_damaged_memory_is_set_aside_and_no_backup_may_have_one(
    tmp_path: Path, damage: str | Callable[[Path], object]
) -> None:
    """damage: SQL, or a function."""
    path = tmp_path / "memory.sqlite"
    Database(path).begin_run(1, "message", {"what": "Hello"})
    if isinstance(damage, str):
        with closing(sqlite3.connect(path)) as database:
            database.executescript(damage)
    else:
        damage(path)
    (tmp_path / "inventory.ini").write_text("[pis]\n")
    before = path.read_bytes()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        tar.add(tmp_path / "inventory.ini", "inventory.ini")
        tar.add(path, backup.DATABASE)
    packed.seek(0)
    with pytest.raises(backup.BackupError, match="What the desk remembers is damaged"):
        backup.check(packed)
    with served(tmp_path) as desk:
        kept = desk.desk.database.damaged
        assert Path(kept).read_bytes() == before and str(tmp_path) in kept
        assert f"It is kept as {kept}." in desk.ask("/").text
    assert Database(path).damaged == ""


def test_the_memory_of_an_earlier_desk_is_brought_forward(tmp_path: Path) -> None:
    """Its runs were kept in another form, and are forgotten; whom the teacher took off the wall is not."""
    path = tmp_path / "memory.sqlite"
    with closing(sqlite3.connect(path)) as earlier, earlier:
        for script in (*VERSIONS[:2], "CREATE TABLE runs (began REAL PRIMARY KEY, said TEXT) STRICT"):
            earlier.execute(script)
        earlier.execute("INSERT INTO taken_off VALUES ('pi-01/ada', 1)")
        earlier.execute("INSERT INTO runs VALUES (1, '[]')")
        earlier.execute("PRAGMA user_version = 3")
    database = Database(path)
    assert (database.taken_off(), database.runs()) == (["pi-01/ada"], [])
    database.begin_run(2, "message", {})
    database.end_run(2, "Finished.", ["Shown."], [])
    assert [run["messages"] for run in database.runs()] == [["Shown."]]


@pytest.mark.slow
def test_the_whole_desk_with_this_computer_as_a_pi(tmp_path: Path, browser_page: Page) -> None:
    """It follows, shows a message, refuses a second desk, and leaves nothing behind."""
    inventory, folder, page = tmp_path / "inventory.ini", tmp_path / "desk", browser_page
    inventory.write_text(INVENTORY.format(folder=tmp_path))
    (tmp_path / "venv/bin").mkdir(parents=True)
    (tmp_path / "venv/bin/python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (tmp_path / "venv/bin/python").chmod(0o755)
    with open_desk(inventory, folder) as (url, _):
        page.goto(url)
        expect(page.get_by_text("1 of 2 Pis answer")).to_be_visible()
        expect(page.locator("article h2 bdi")).to_have_text(["pi-02", "pi-01"])  # what needs help is first
        expect(page.locator("article").first).to_contain_text("Does not answer")
        command = [sys.executable, "-m", "mynn_control.desk", str(folder), str(inventory)]
        second = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=600, check=False)
        assert second.returncode == 1 and "already open, in another terminal" in second.stderr

        page.get_by_label("Message to the class").fill("Ada’s <b>group</b>: five minutes")
        page.get_by_role("button", name="Show").click()
        expect(page.get_by_role("status")).to_contain_text("Shown on 1 of 2 Pis")
        expect(page.get_by_role("status")).to_contain_text("pi-02It does not answer: it is off, still starting")
        assert json.loads((tmp_path / "run/message").read_text())["text"] == "Ada’s <b>group</b>: five minutes"

    expect(page.get_by_text("The desk has ended. This is what it last showed.")).to_be_visible()
    assert sorted(path.name for path in folder.iterdir()) == ["memory.sqlite"]


def test_a_button_takes_no_press_before_the_pages_script_has_run(desk: ServedDesk, browser_page: Page) -> None:
    """The browser would send the form itself, which the page's policy forbids, and nothing would happen."""
    waiting: list[Route] = []
    browser_page.route("**/desk.js", lambda route: waiting.append(route))
    browser_page.route("**/run/labels", lambda route: route.fulfill(body=""))
    browser_page.goto(f"{desk.url}/pis", wait_until="commit")
    button = browser_page.get_by_role("button", name="Labels")
    with pytest.raises(TooLongError):
        button.click(timeout=1000)
    waiting.pop().continue_()
    with browser_page.expect_request("**/run/labels"):
        button.click()
    browser_page.unroute_all()


@pytest.mark.slow
def test_switching_off_is_asked_once_more(tmp_path: Path, browser_page: Page) -> None:
    """With a Pi that does not answer: this computer would be switched off."""
    inventory, page = tmp_path / "inventory.ini", browser_page
    inventory.write_text("[pis]\npi-02 ansible_host=127.0.0.1 ansible_port=1\n")
    with served(tmp_path, inventory) as desk:
        desk.answer("pi-02", {"student": (None, None)}, lost="no route")
        page.goto(desk.url)
        page.get_by_role("button", name="Save all and switch off").click()
        page.get_by_role("button", name="Cancel").click()
        assert desk.desk.run is None
        page.get_by_role("button", name="Save all and switch off").click()
        page.get_by_role("dialog").get_by_role("button", name="Save all and switch off").click()
        expect(page.get_by_role("status")).to_contain_text("pi-02: off already, or not reachable")
        expect(page.locator("article")).to_contain_text("Switched off")


def test_a_pi_that_was_switched_off_is_off_until_it_answers_again(desk: ServedDesk) -> None:
    """One of its answers may still be on its way: it does not count."""
    seen = []
    desk.answer("pi-02", {"student": (None, None)})
    desk.desk.answers.off.add("pi-02")
    for lost in ("", "no route", "", "no route"):
        desk.answer("pi-02", {"student": (None, None)}, lost)
        seen.append("pi-02" in desk.desk.answers.off)
    assert seen == [True, True, False, False]


def test_the_pis_are_asked_anew_after_a_run_and_when_a_tab_shows_how_they_are(
    desk: ServedDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not after one that changes nothing on them."""
    played: list[tuple[str, str]] = []
    monkeypatch.setattr(Run, "execute", lambda run, *_: played.append((run.name, run.password)))
    desk.desk.monitor, desk.desk.password = Mock(trouble=""), "sesame"
    expected = []
    for name, anew in [("message", []), ("site", [("report", "sesame")]), ("report", [])]:
        expected.extend([(name, "sesame"), *anew])
        assert desk.ask(f"/run/{name}", "").status_code == 200
        until(lambda: played == expected)
    for tab in ("class", "tasks", "pis"):
        with requests.get(f"{desk.url}/events/{tab}", stream=True):
            expected.extend([] if tab == "class" else [("report", "sesame")])
            until(lambda: played == expected and not desk.desk._report_thread.is_alive())


def test_a_run_that_is_cut_off_says_so(desk: ServedDesk) -> None:
    assert desk.ask("/run/report", "").status_code == 200
    assert "has not ended yet" in desk.ask("/run/off", "").text
    desk.desk.end()
    assert "It was cut off" in desk.ask("/").text
