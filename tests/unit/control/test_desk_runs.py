"""The runs that the desk starts: what may be chosen for them, their progress and end, and the tabs Work and Pis."""

import os
import re
import signal
import socket
import subprocess
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import Mock, call

import pytest
import requests
from playwright.sync_api import Page, expect

from mynn.outline import outline
from mynn_control.desk.monitor import PASSWORD_WANTED
from mynn_control.desk.record import in_words
from mynn_control.desk.runs import AGAIN, CUT_OFF, PLAYBOOKS, Run
from mynn_control.desk.work import handouts
from tests.support.browser import assert_accessible
from tests.support.classroom import until
from tests.support.desk import ServedDesk, running, served, start_desk, url_of
from tests.support.playbook_run import descendants
from tests.support.ports import free_port
from tests.support.programs import ROOT, sudo_that_takes
from tests.unit.control.test_desk_class import program, said

COLLECTION = "2026-11-25_14-03-20/pi03.local"


@pytest.fixture
def inventory(tmp_path: Path) -> Iterator[Path]:
    """An inventory of this computer, and of a Pi that takes a connection and then says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        path = tmp_path / "inventory.ini"
        path.write_text(
            f"""
            [pis]
            pi-01 ansible_connection=local
            pi-02 ansible_host=127.0.0.1 ansible_port={silent.getsockname()[1]}
            [pis:vars]
            ansible_become=false
            message_file={tmp_path}/run/message
            """.replace(" " * 12, "")
        )
        yield path


@pytest.fixture
def desk(tmp_path: Path, inventory: Path) -> Iterator[ServedDesk]:
    """A desk with something to choose. Its folder is dist/desk, as a teacher's is."""
    folder = tmp_path / "dist/desk"
    folder.mkdir(parents=True)
    for place in (
        COLLECTION,
        "2026-11-24_09-00-00/pi03.local",
        "2026-02-30_09-00-00/pi03.local",
        "old/pi03.local",
        "2026-11-25_14-03-20/{{ x }}",
    ):
        for student in ("ada", "bo", "bo.home"):
            (folder.with_name("work") / place / student).mkdir(parents=True)
        (folder.with_name("work") / place / "SHA256SUMS").touch()
    for name in ("worksheets", "{{ lookup('pipe', 'x') }}", ".git"):
        (tmp_path / "handout" / name).mkdir(parents=True)
    with served(folder, inventory) as desk:
        for number, pi in enumerate(("pi-01", "pi-02")):
            desk.answer(pi, {"ada": (None, None), "bo": (None, None)}, "", number)
        yield desk


NOT_OFFERED = [
    *((name, "pi=pi-03") for name in PLAYBOOKS),
    ("site", "pi=pi-01&pi=pi-03"),
    ("site", "pi=pi-01,"),
    ("restore", f"pi=pi-01&pi=pi-02&collection={COLLECTION}"),
    ("site", "pi=all:!pi-01"),
    ("verify", "limit=pi-01"),
    ("collect", "pi=pi-01&student_work_collections=/etc"),
    ("handout", ""),
    ("handout", "folder=../handout/worksheets"),
    ("handout", "folder=/etc"),
    ("handout", "folder={{ lookup('pipe', 'x') }}"),
    ("handout", "folder=.git"),
    ("handout", "folder=worksheets&student=root"),
    ("restore", f"collection={COLLECTION}"),
    ("restore", "pi=pi-01&collection=2026-11-26_14-03-20/pi03.local"),
    ("restore", "pi=pi-01&collection=old/pi03.local"),
    ("restore", "pi=pi-01&collection=2026-11-25_14-03-20/{{ x }}"),
    ("restore", f"pi=pi-01&collection={COLLECTION}/../../../desk"),
    ("reset", ""),
    ("reset", "discard=yes"),
    ("reset", "discard={{ x }}"),
    ("message", "what=\0"),
]


def test_only_what_the_desk_offers_can_be_chosen(desk: ServedDesk) -> None:
    for name, chosen in NOT_OFFERED:
        answer = desk.ask(f"/run/{name}", chosen)
        assert answer.status_code == 409 and re.search("choice does not exist|First look", answer.text), (name, chosen)
    assert desk.desk.run is None and desk.desk.database.runs() == []


def test_a_choice_becomes_settings_of_the_playbook(desk: ServedDesk, tmp_path: Path) -> None:
    own = {"desk_folder": f"{tmp_path}/dist/desk", "labels_folder": f"{tmp_path}/dist/labels"}
    collection = {"student_work_date": "2026-11-25_14-03-20", "student_work_from": "pi03.local"}
    for name, chosen, settings in (
        ("handout", {"folder": "worksheets"}, {"student_work_handout": f"{tmp_path}/handout/worksheets"}),
        ("restore", {"pi": "pi-01", "collection": COLLECTION}, collection),
        ("look", {"student": "ada"}, {"student_work_student": "ada"}),
        ("reset", {"passwords": "yes", "discard": ""}, {"reset_passwords": True, "reset_uncollected": False}),
    ):
        assert desk.desk._settings(Run(name, chosen)) == own | settings


def test_a_look_says_once_what_a_reset_would_touch() -> None:
    after = "/home/ada/notebooks/own.ipynb removed\n/home/ada/.cache/x removed\n/home/ada/.profile as at first\n"
    event = {"event": "ok", "step": [], "task": "Reset", "action": "student_work", "pi": "pi-01"}
    look = Run("look")
    for _ in range(2):  # the role looks, and then resets
        look._read(event | {"msg": None, "diff": {"before": "", "after": after}})
    assert look.messages == ["pi-01: 1 would be removed (/home/ada/notebooks/own.ipynb), 1 put back as at first."]


def test_a_run_shows_which_step_it_is_at_and_since_when_it_runs(desk: ServedDesk) -> None:
    desk.desk.run = run = Run("site", began=time.time() - 200)
    run._read({"event": "task", "step": [14, 20], "task": "Announce the server"})
    desk.desk.redraw()
    assert 'Announce the server …</p>\n<p class="soft">Step 14 of 20. Started 3 min ago.</p>' in desk.ask("/").text


def test_a_reset_is_offered_for_what_was_looked_at_and_asked_once_more(
    desk: ServedDesk, browser_page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    page, lost = browser_page, [("pi-02", "It has work that is in no collection.", "Collect it.")]
    desk.desk.run = Run("look", {"pi": ""}, "Not finished on all Pis.", "", messages=["pi-01: 3 changes."], lost=lost)
    assert "First look" in desk.ask("/run/reset", "pi=pi-01").text
    desk.desk.redraw()
    started: list[dict[str, str]] = []

    def start(name: str, given: dict[str, str]) -> str:
        started.append({name: "", **given})
        return ""

    monkeypatch.setattr(desk.desk, "start", start)
    page.goto(f"{desk.url}/work")
    page.get_by_label("New passwords").check()
    page.get_by_label("New passwords").press("Enter")  # is no answer to a question that was not asked
    page.get_by_role("button", name="Reset", exact=True).click()
    assert_accessible(page)
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    assert started == []
    page.get_by_role("button", name="Reset", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Reset").click()
    until(lambda: started == [{"reset": "", "pi": "", "passwords": "yes"}])
    page.get_by_role("button", name="Reset, and discard what was not collected").click()
    expect(page.get_by_role("dialog")).to_contain_text("lost for good")
    page.get_by_role("dialog").get_by_role("button", name="Discard and reset").click()
    until(lambda: started[1:] == [{"reset": "", "pi": "", "passwords": "yes", "discard": "yes"}])


def test_a_reset_can_be_undone_while_it_is_the_last_that_ran(desk: ServedDesk, browser_page: Page) -> None:
    """With the newest collection of each of its Pis: it says which."""
    page = browser_page
    desk.desk.run = Run("look", {"pi": "pi03.local"}, "Finished.")
    assert desk.ask("/run/undo", "pi=pi-01").text == "Something else ran since the reset: choose Restore for each Pi."
    desk.answer("pi03.local", {"ada": (None, None), "bo": (None, None)}, "", 3)
    desk.desk.run = Run("look", {"pi": "pi03.local", "student": "bo"}, "Finished.")
    assert "First look" in desk.ask("/run/reset", "pi=pi03.local").text
    desk.desk.redraw()
    page.goto(f"{desk.url}/work")
    expect(page.get_by_text("The changes that a reset of")).to_contain_text("pi03.local: bo")
    assert page.locator("[data-post='/run/reset'] [name=student]").input_value() == "bo"
    expect(page.get_by_label("Student").first).to_have_text("alladabo")
    assert_accessible(page)
    desk.desk.run = Run("reset", {"pi": "", "passwords": "yes", "discard": ""}, "Finished.")
    desk.desk.redraw()
    page.goto(f"{desk.url}/work")
    form = page.locator("form", has_text="Undo the reset")
    without = [f"{pi}: nothing was collected from it" for pi in ("pi-01", "pi-02")]
    expect(form.locator("li")).to_have_text([*without, "pi03.local: 25 November 2026, 14:03, ada, bo"])
    expect(form).to_contain_text("The new passwords stay, too.")
    assert desk.ask("/run/undo", "pi=pi-01").status_code == 409  # all were reset
    form.get_by_role("button").click()
    until(lambda: desk.desk.run is not None and (desk.desk.run.name, desk.desk.run.pis) == ("undo", []))
    expect(form).to_be_hidden()


def test_the_last_twenty_runs_are_remembered(desk: ServedDesk) -> None:
    for number in range(25):
        desk.desk.database.begin_run(number, "message", {"what": f"Message {number}"})
    assert [run["began"] for run in desk.desk.database.runs()] == list(range(24, 4, -1))
    assert b"Message 4" not in desk.desk.database.path.read_bytes()


def test_work_shows_what_was_collected_and_keeps_what_is_chosen(desk: ServedDesk, browser_page: Page) -> None:
    page = browser_page
    page.goto(f"{desk.url}/work")
    assert page.locator("main table td").all_inner_texts() == [
        *("25 November 2026, 14:03", "pi03.local", "ada, bo", "Download"),
        *("24 November 2026, 09:00", "pi03.local", "ada, bo", "Download"),
    ]
    assert_accessible(page)
    collect = page.locator("form", has=page.get_by_role("button", name="Collect"))
    collect.get_by_text("For all Pis").click()
    collect.get_by_label("pi-01").check()
    desk.answer("pi-03", {"ada": (None, None)}, "", 3)
    expect(collect.locator("label")).to_have_text(["pi-01", "pi-02", "pi-03"])
    expect(collect.get_by_label("pi-01")).to_be_checked()


def test_several_pis_can_be_chosen_and_kept_as_a_group(
    desk: ServedDesk, browser_page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reset must follow a look at the same ones. A Pi that has left the list is no longer in the group."""
    page = browser_page
    monkeypatch.setattr(Run, "execute", lambda run, *_: setattr(run, "how", "Finished."))
    desk.answer("pi-03", {"ada": (None, None)}, "", 3)
    page.goto(f"{desk.url}/work")
    look = page.locator("form", has=page.get_by_role("button", name="Look at"))
    look.get_by_text("For all Pis").click()
    for pi in ("pi-03", "pi-01"):
        look.get_by_label(pi, exact=True).check()
    look.get_by_label("Name of a group").fill("7b")
    look.get_by_role("button", name="Save as a group").click()
    look.get_by_label("7b", exact=True).check()
    expect(look.locator("summary")).to_have_text("Only for those that are ticked", use_inner_text=True)
    assert_accessible(page)
    look.get_by_role("button", name="Look at").click()
    expect(page.get_by_role("status")).to_contain_text("What a reset would change: pi-01, pi-03")
    assert desk.desk.run and "--limit=pi-01,pi-03" in desk.desk.run._command(desk.desk.fleet, {})
    for other in ("", "pi=pi-01", "pi=pi-01&pi=pi-02&pi=pi-03"):
        assert desk.ask("/run/reset", other).text == "First look at what a reset would change."
    page.get_by_role("button", name="Reset", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Reset").click()
    until(lambda: bool(desk.desk.run and desk.desk.run.title == "Resetting for the next class: pi-01, pi-03"))
    desk.desk.answers.remove("pi-03")
    desk.desk.update()
    assert 'value="pi-01" title="pi-01"> <strong>7b</strong>' in desk.ask("/pis").text
    for wrong in ("group=7b", "group=7b&pi=pi-04", "group=<b>&pi=pi-01", f"group={'x' * 21}&pi=pi-01", "pi=pi-01"):
        assert desk.ask("/groups/save", wrong).status_code == 409
    page.get_by_role("button", name="Delete the group 7b").first.click()
    expect(page.get_by_role("button", name="Delete the group 7b")).to_have_count(0)


def test_a_phone_shows_class_tasks_and_work_to_one_hand(desk: ServedDesk, browser_page: Page) -> None:
    """Each control is high enough for a finger, and no page is wider than the screen."""
    browser_page.set_viewport_size({"width": 360, "height": 740})
    small = """[...document.querySelectorAll("button, nav a, input, select, summary")]
      .filter((one) => one.checkVisibility() && one.getBoundingClientRect().height < 44).map((one) => one.outerHTML)"""
    task = outline(ROOT / "notebooks")["part2_mnist_data_set"].tasks[0]
    for right in (False, True):
        ada = said(program(busy=True, died="memory"), free=20, tasks={task: right}, asked=int(right))
        desk.answer("a-pi-with-a-long-name.local", {"ada": (ada, None), "bo": (None, None)})
    desk.desk.database.save_group("Robotics on Fridays", ["pi-01"])
    desk.desk.run = Run("look", {"pi": "pi-01,pi-02"}, "Finished.", "", lost=[("pi-02", "It has work.", "Collect it.")])
    desk.desk.redraw()
    for tab, shown in (("", ".fault"), ("tasks", "path"), ("work", "#discard")):
        browser_page.goto(f"{desk.url}/{tab}")
        expect(browser_page.locator(shown)).not_to_have_count(0)
        browser_page.evaluate("document.querySelectorAll('details').forEach((one) => (one.open = true))")
        assert browser_page.evaluate("document.documentElement.scrollWidth") == 360, tab
        assert browser_page.evaluate(small) == [], tab


def test_labels_are_served_under_a_policy_of_their_own(desk: ServedDesk) -> None:
    assert desk.ask("/labels/A4").status_code == 404
    desk.desk.labels.mkdir()
    (desk.desk.labels / "labels-A4.html").write_text("<p>Passwords")
    (desk.desk.labels / "notes.html").write_text("")
    sheet = desk.ask("/labels/A4")
    assert sheet.text == "<p>Passwords" and sheet.headers["Cache-Control"] == "no-store"
    assert "script" not in sheet.headers["Content-Security-Policy"]
    for path in ("/labels/Letter", "/labels/notes", "/labels/..%2fdesk%2fmemory.sqlite", "/labels/labels-A4.html"):
        assert desk.ask(path).status_code == 404
    assert desk.ask("/labels/A4", Host="evil.example").status_code == 403
    desk.desk.redraw()
    assert 'href="/labels/A4"' in desk.ask("/pis").text


@pytest.mark.slow
def test_a_run_is_followed_stopped_and_remembered(desk: ServedDesk, browser_page: Page) -> None:
    """On any tab, also on one that was opened meanwhile. Only one runs at a time."""
    page = browser_page
    page.goto(desk.url)
    page.get_by_label("Message to the class").fill("Five more minutes")
    page.get_by_role("button", name="Show").click()
    status = page.get_by_role("status")
    expect(status.locator("li")).to_have_text(["pi-01 waits", "pi-02 Create the message's folder"])
    assert "has not ended yet" in desk.ask("/run/site", "").text
    page.get_by_role("link", name="Pis").click()
    expect(page.get_by_role("button", name="Set up")).to_be_disabled()
    assert desk.desk.run and desk.desk.run.process
    started = descendants(desk.desk.run.process.pid)
    status.get_by_role("button", name="Stop").click()
    expect(status).to_contain_text("You stopped it. Start it again when you like")
    assert running(started) == []
    expect(page.locator("details:not([id])")).to_contain_text("Message: Five more minutes. You stopped it.")
    status.get_by_role("button", name="Close").click()
    expect(status).to_be_hidden()
    with served(desk.folder) as again:
        assert again.desk.run is None
        assert "Message: Five more minutes. You stopped it." in again.ask("/pis").text


@pytest.mark.slow
def test_a_password_is_asked_for_until_sudo_takes_one_and_is_in_no_file(tmp_path: Path, browser_page: Page) -> None:
    page, inventory = browser_page, tmp_path / "inventory.ini"
    sudo = sudo_that_takes('open "sesame', tmp_path / "sudo")
    text = f"[pis]\npi-01 ansible_connection=local ansible_become_exe={sudo} message_file={tmp_path}/run/message\n"
    inventory.write_text(text)
    status = page.get_by_role("status")
    with served(tmp_path, inventory) as desk:
        page.goto(desk.url)
        page.get_by_label("Message to the class").fill("Five more minutes")
        page.get_by_role("button", name="Show").click()
        expect(status).to_contain_text("sudo on it wants a password, and none was given.")
        page.get_by_role("button", name="Show").click()
        question = page.get_by_role("dialog")
        expect(question).to_contain_text("sudo on the Pis wants the password")
        assert_accessible(page)
        question.get_by_label("Password").fill("sesame")
        question.get_by_label("Password").press("Enter")
        expect(status).to_contain_text("sudo on it does not accept the password that was given.")
        page.get_by_role("button", name="Show").click()
        question.get_by_label("Password").fill('open "sesame')
        question.get_by_label("Password").press("Enter")
        expect(status).to_contain_text("Shown on 1 of 1 Pis")
        until(lambda: bool(desk.desk.run and desk.desk.run.how))
        assert "sesame" not in page.content() and desk.desk.run and desk.desk.run.password == ""
        assert desk.ask("/run/report", "password=a%03").text.startswith("A password has at most")
    found = [path for path in tmp_path.rglob("*") if path.is_file() and path != sudo and b"sesame" in path.read_bytes()]
    assert found == []


def test_the_monitor_is_given_a_password_when_sudo_wants_one(desk: ServedDesk, browser_page: Page) -> None:
    page, monitor = browser_page, Mock(trouble=PASSWORD_WANTED)
    desk.desk.monitor = monitor
    desk.desk.update()
    page.goto(desk.url)
    page.get_by_role("button", name="Remove").click()  # which would be refused, too
    expect(page.get_by_role("dialog")).to_contain_text("It is kept until the desk is closed, and in no file.")
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Give the password").click()
    page.get_by_label("Password").fill('open "sesame')
    page.get_by_role("button", name="Go on").click()
    until(lambda: bool(monitor.set_password.mock_calls == [call('open "sesame')]))
    monitor.trouble = ""
    desk.desk.update()
    expect(page.get_by_role("status")).to_be_hidden()


def test_a_password_is_in_no_argument_and_asked_for_once(desk: ServedDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, kind in [("adopt", "connection"), ("site", "become")]:
        command = Run(name, password="sesame")._command(desk.desk.fleet, {})
        assert f"--{kind}-password-file=-" in command and "sesame" not in str(command)
    assert desk.ask("/run/adopt", "").status_code == 428 and desk.desk.run is None
    monkeypatch.setattr(desk.desk, "_execute", lambda run: setattr(run, "how", "Finished."))
    desk.desk.wanted = True
    for name, given in (("adopt", "password=sesame"), ("message", "")):  # once, for both
        assert desk.ask(f"/run/{name}", given).status_code == 200
        assert desk.desk.run and desk.desk.run.password == "sesame"


@pytest.mark.slow
def test_a_pi_with_another_host_key_gets_nothing_until_its_old_one_is_forgotten(
    tmp_path: Path, browser_page: Page
) -> None:
    page, port, known = browser_page, free_port(), tmp_path / "known"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key"], check=True)
    subprocess.run(["dropbearkey", "-t", "ed25519", "-f", tmp_path / "server"], check=True)
    other = f"pi-02 {(tmp_path / 'key.pub').read_text()}"
    known.write_text(f"{other}[127.0.0.1]:{port} {(tmp_path / 'key.pub').read_text()}")
    inventory = tmp_path / "inventory.ini"
    inventory.write_text(
        f"[pis]\npi-01 ansible_host=127.0.0.1\n[pis:vars]\nansible_port={port}\n"
        f"ansible_ssh_common_args='-F none -o IdentityFile=none -o UserKnownHostsFile=\"{known}\"'\n"
    )
    server = f"dropbear -F -r {tmp_path}/server -P {tmp_path}/pid -p 127.0.0.1:{port}".split()
    with (
        subprocess.Popen(server, env={"PATH": f"{os.environ['PATH']}:/usr/sbin"}) as pi,
        served(tmp_path, inventory) as desk,
    ):
        try:
            desk.answer("pi-01", {"ada": (None, None)}, "SSH reported an unrecognized or mismatching host key.")
            assert "It has another SSH host key than before: see the tab Pis." in desk.ask("/").text
            lost = in_words("pi-01", "Task failed: Host key verification failed.")
            desk.desk.database.save_report("pi-01", asked=1, lost=lost, lessons="", room=0)
            assert desk.ask("/run/message", "what=Hello").status_code == 200
            page.goto(f"{desk.url}/pis")
            expect(page.get_by_role("status")).to_contain_text("Its SSH host key has changed", timeout=60_000)
            page.get_by_role("button", name="Forget its old key").click()
            expect(page.get_by_role("dialog")).to_contain_text("another computer may pose as this Pi")
            assert_accessible(page)
            page.get_by_role("dialog").get_by_role("button", name="Forget its old key").click()
            until(lambda: known.read_text() == other)
            assert desk.ask("/run/message", "what=Hello").status_code == 200
            expect(page.get_by_role("status")).to_contain_text("It does not let you in", timeout=60_000)
            assert desk.ask("/pis/forget_key", "pi=pi-02").text == "Nothing was changed. pi-02 is not in it."
        finally:
            pi.terminate()


@pytest.mark.slow
def test_a_desk_that_was_killed_leaves_nothing_and_the_next_says_so(tmp_path: Path, inventory: Path) -> None:
    folder = tmp_path / "dist/desk"
    process = start_desk(inventory, folder)
    try:
        url = url_of(process)
        assert requests.post(f"{url}/run/message", "what=Hello", headers={"Origin": url}).status_code == 200
        until(lambda: "pi-02</strong> Create the message" in requests.get(url).text)
        started = descendants(process.pid)
        assert len(started) > 4
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    until(lambda: not running(started))
    with served(folder) as desk:
        page = desk.ask("/work").text
        assert CUT_OFF in page and AGAIN in page and '<section class="run"' in page
        assert desk.desk.database.runs()[0]["how"]
        assert desk.ask("/stop", "", Origin="http://evil.example").status_code == 403
        assert desk.ask("/stop", "").status_code == 200 and CUT_OFF not in desk.ask("/work").text


def test_files_are_handed_out_and_work_is_downloaded_in_the_browser(
    desk: ServedDesk, browser_page: Page, tmp_path: Path
) -> None:
    """Whatever they are called. What is no name, and no collection, is refused by name, and holds up nothing else."""
    names = ["Aufgabe (1).pdf", "Übung – 2.txt", "a\u202fb.txt", "large.pdf", "\u202etxt.exe", ".hidden", "last’s.txt"]
    page, chosen = browser_page, [tmp_path / "sent" / name for name in names]
    (tmp_path / "sent").mkdir()
    for path in chosen:
        path.write_text(path.name)
    os.truncate(chosen[3], 70_000_000)
    page.goto(f"{desk.url}/work")
    page.get_by_label("Files to hand out").set_input_files(chosen)
    page.get_by_role("button", name="Keep in today’s folder").click()
    expect(page.get_by_role("alert")).to_have_text(
        "“large.pdf” was not kept: a file has at most 64 MB, since it goes to every Pi over the Wi-Fi. "
        r"“\u202etxt.exe” was not kept, because its name contains “\u202e”: rename the file. "
        "“.hidden” was not kept, because its name contains “.”: rename the file."
    )
    [kept] = [folder for name, folder in handouts(desk.desk.folder).items() if re.fullmatch(r"\d{4}-\d\d-\d\d", name)]
    there = {path.name: path.read_text() for path in kept.iterdir()}
    assert there == {name.replace("\u202f", " "): name for name in (*names[:3], "last’s.txt")}
    for name in ("%2e%2e", "%20", "a%2fb", "x" * 201, "a%00b", "a%0Ab", "a%09b", "a%E2%80%A8b"):
        assert desk.ask(f"/handout/{name}", "x").status_code in (404, 409), name
    page.get_by_text(f"What is in {kept.name}").click()
    assert_accessible(page)
    for name in sorted(there):
        page.get_by_role("button", name=f"Take out {name}", exact=True).click()
        expect(page.get_by_role("button", name=f"Take out {name}", exact=True)).to_have_count(0)
    assert not kept.exists()
    expect(page.get_by_text(f"What is in {kept.name}")).to_have_count(0)
    (tmp_path / "handout/worksheets/mine.txt").touch()
    kept.mkdir()
    (kept / os.fsdecode(b"no text \xff")).touch()  # put there by hand
    desk.desk.redraw()
    for file in ("mine.txt", "../../inventory.ini"):
        assert desk.ask("/work/delete", f"folder=worksheets&file={file}").text == "There is no such file any more."
    student = desk.desk.work / COLLECTION / "ada"
    (student / os.fsdecode(b"no text \xff")).write_text("mine")
    os.utime(student / os.fsdecode(b"no text \xff"), (5, 5))
    with page.expect_download() as download:
        page.locator(f"a[href='/work/{COLLECTION}.zip']").click()
    with zipfile.ZipFile(download.value.path()) as archive:
        assert archive.read(f"{COLLECTION}/ada/no text \ufffd") == b"mine"
    # The browser has it a moment before the desk removes its own copy.
    until(lambda: not list(desk.desk.work.parent.glob(".download-*")))
    assert desk.ask("/work/2026-11-25_10-00-00/pi-99.zip").status_code == 404
