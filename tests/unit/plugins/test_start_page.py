"""The start page, on a server with the settings that the role jupyter writes: its answers, and in a real browser."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import start_page
import watch_page
from playwright.sync_api import BrowserContext, Page, Response, expect

from ansible_collections.mynn.pi.plugins.modules import watch
from tests.provisioned.notebook_server import NotebookServer
from tests.support.browser import CHROMIUM, DESKTOP, open_browser
from tests.unit.plugins.test_server_settings import PASSWORD, Server, server, venv

__all__ = ["venv"]  # pytest finds it here

ROOT = Path(__file__).resolve().parents[3]
ROLE = ROOT / "roles/start_page/files"
PATIENCE = 180_000  # milliseconds
PHONE = {"width": 390, "height": 844}
LARGEST_PICTURE = 8_000  # bytes
# A title and a name that would do something if they were not escaped.
WICKED = "<img src=x onerror=document.title=1>"
FIRST, SECOND, THIRD = "part2_mnist_data_set.ipynb", "part2_neural_network.ipynb", "a_third.ipynb"


def notebook(title: str, code: str = "print('hello')", **mynn: Any) -> str:
    cells: list[dict[str, Any]] = [
        {"cell_type": "markdown", "id": "a", "metadata": {}, "source": ["No heading.\n", "\n", f"# {title}\n", "Text"]},
        {"cell_type": "code", "id": "b", "metadata": {}, "source": code, "outputs": [], "execution_count": None},
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    metadata = {"kernelspec": kernel} | ({"mynn": mynn} if mynn else {})
    return json.dumps({"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5})


@pytest.fixture(scope="module")
def archive() -> Path:
    """The start page as the role packs it."""
    done = subprocess.run([sys.executable, ROLE / "build.py", ROOT], stdout=subprocess.PIPE, text=True, check=True)
    return Path(done.stdout)


@pytest.fixture(scope="module")
def pristine() -> Iterator[Path]:
    """Untouched lessons, in another order than that of their names; one says nothing of itself, one is damaged."""
    with tempfile.TemporaryDirectory() as name:  # pytest's own are for one account only
        folder = Path(name)
        folder.chmod(0o755)
        learn = "How a computer sees a picture"
        (folder / FIRST).write_text(notebook("Part 2: *ten* thousand", lesson=1, minutes=10, learn=learn))
        (folder / THIRD).write_text(notebook(f"Part 2: {WICKED}", lesson=2, minutes="<b>", learn=3))
        (folder / SECOND).write_text(notebook("Part 2: a network from nothing"))
        (folder / "part9_damaged.ipynb").write_text("{")
        yield folder


@pytest.fixture(scope="module")
def one(venv: Path, archive: Path, pristine: Path) -> Iterator[Server]:
    """A server with the start page, whose student has the lessons but one."""
    open_archive = Path(shutil.copy(archive, pristine / "start.zip"))
    open_archive.chmod(0o644)
    settings = {"start_page_archive": open_archive, "lessons_pristine": pristine}
    with server(venv, message_file=pristine / "message", **settings) as running:
        for name in (FIRST, SECOND, "part9_damaged.ipynb"):
            put(running, name, (pristine / name).read_text())
        yield running


def put(one: Server, name: str, text: str) -> Path:
    """Put a file into the student's folder."""
    path = one.home / "notebooks" / name
    path.write_text(text, encoding="utf-8")
    if not os.geteuid():
        os.chown(path, 65534, 65534)
    return path


def status(one: Server) -> Any:
    return one.student().get("/start/status")


def named(answer: Any, name: str) -> Any:
    [lesson] = [lesson for lesson in answer["lessons"] if lesson["name"] == name]
    return lesson


def start(student: NotebookServer, path: str) -> Any:
    """Open a notebook as its page does; return its session."""
    body = {"path": path, "name": path, "type": "notebook", "kernel": {"name": "python3"}}
    answer = student.ask("POST", "/api/sessions", json=body)
    answer.raise_for_status()
    return answer.json()


def test_every_lesson_has_a_small_picture(archive: Path) -> None:
    """Which loads nothing, and runs nothing."""
    lessons = {re.sub(r"_\d+$", "", path.stem) for path in (ROOT / "notebooks").glob("*.ipynb")}
    with zipfile.ZipFile(archive) as packed:
        pictures = {Path(name).stem: packed.read(name) for name in packed.namelist() if name.endswith(".svg")}
    assert lessons | {"lesson"} == set(pictures)
    for name, picture in pictures.items():
        assert len(picture) <= LARGEST_PICTURE, name
        assert not re.search(rb"<script|href|url\(|\bon\w+=", picture), name


def test_same_sources_give_the_same_archive(archive: Path) -> None:
    before = archive.read_bytes()
    subprocess.run([sys.executable, ROLE / "build.py", ROOT], stdout=subprocess.DEVNULL, check=True)
    assert archive.read_bytes() == before


def test_it_comes_after_signing_in(one: Server) -> None:
    """And a stranger sees nothing of it."""
    client = one.client()
    for path in ("/start/", "/start/status", "/start/page.js"):
        assert client.ask("GET", path).headers["Location"].startswith("/login"), path
    assert client.ask("POST", "/start/lesson", json={"name": FIRST}).status_code in (302, 403)
    client.ask("GET", "/login")
    form = {"password": PASSWORD, "_xsrf": client.session.cookies["_xsrf"]}
    assert client.ask("POST", "/login", data=form).headers["Location"] == "/"
    assert client.ask("GET", "/").headers["Location"].rstrip("?") == "/start/"
    assert client.ask("GET", "/start").headers["Location"] == "/start/"
    page = client.ask("GET", "/start/")
    assert "<ol id=" in page.text
    assert page.headers["Content-Security-Policy"].startswith("default-src 'none'")
    for path in ("/start/..%2f..%2fetc%2fpasswd", "/start/missing.svg", "/start//etc/passwd"):
        assert client.ask("GET", path).status_code == 404, path


@pytest.mark.parametrize("damage", ["missing", "half", "nonsense"])
def test_without_its_archive_there_is_the_list_of_files(venv: Path, archive: Path, damage: str) -> None:
    place = venv / f"{damage}.zip"
    if damage == "half":
        place.write_bytes(archive.read_bytes()[:5000])
    elif damage == "nonsense":
        with zipfile.ZipFile(place, "w") as packed:
            packed.writestr("start_page.py", "half a line of (")
    with server(venv, start_page_archive=place) as bare:
        assert bare.student().ask("GET", "/").headers["Location"].rstrip("?") == "/tree"


def test_lessons_describe_themselves(one: Server) -> None:
    """In their order; those that do not say it come last."""
    lessons = status(one)["lessons"]
    assert [lesson["name"] for lesson in lessons] == [FIRST, THIRD, SECOND, "part9_damaged.ipynb"]
    learn = "How a computer sees a picture"
    expected = {"title": "Part 2: ten thousand", "minutes": 10, "learn": learn, "there": True, "finished": None}
    assert expected.items() <= lessons[0].items()
    assert {"title": f"Part 2: {WICKED}", "minutes": None, "learn": "", "there": False}.items() <= lessons[1].items()
    assert lessons[3]["title"] == "part9 damaged"


def test_a_changed_lesson_is_read_again(one: Server, pristine: Path) -> None:
    (pristine / SECOND).write_text(notebook("Part 2: changed"))
    assert named(status(one), SECOND)["title"] == "Part 2: changed"
    (pristine / SECOND).write_text(notebook("Part 2: a network from nothing"))


DONE = {"finished": "2026-11-27T10:00:00", "score": 0.953}


def kept(version: int, one: Any) -> str:
    """A file of progress, with one lesson."""
    return json.dumps({"version": version, "lessons": {FIRST[:-6]: one}})


@pytest.mark.parametrize(
    ("content", "finished"),
    [
        (kept(1, DONE), {"score": 0.953}),
        (kept(1, {"finished": "now", "score": "<b>"}), {"score": None}),
        (kept(1, {"finished": "now", "score": float("nan")}), {"score": None}),
        (kept(1, 1), None),
        (json.dumps({"version": 1, "lessons": [FIRST[:-6]]}), None),
        (kept(2, DONE), None),
        (kept(1, DONE) + " " * 64_000, None),
        ("[" * 60_000, None),
        ("\x00", None),
    ],
)
def test_progress_is_shown_and_not_trusted(one: Server, content: str, finished: Any) -> None:
    path = put(one, "my_progress.json", content)
    try:
        assert named(status(one), FIRST)["finished"] == finished
    finally:
        path.unlink()


def test_nothing_in_place_of_the_progress_holds_it_up(one: Server) -> None:
    path = one.home / "notebooks/my_progress.json"
    os.mkfifo(path, 0o666)
    assert named(status(one), FIRST)["finished"] is None
    path.unlink()
    path.symlink_to("/dev/zero")
    assert named(status(one), FIRST)["finished"] is None
    path.unlink()


def test_what_a_pi_cannot_write_is_not_offered(one: Server) -> None:
    """A notebook is exported as a page, but not as PDF, which takes programs that a Pi does not have."""
    formats = set(one.student().get("/api/nbconvert"))
    assert {"html", "markdown", "script"} <= formats
    assert not {"pdf", "webpdf", "qtpdf", "qtpng"} & formats


def test_what_runs_and_its_memory_are_shown_until_it_is_ended(one: Server) -> None:
    student = one.student()
    before = student.get("/start/status")
    assert before["running"] == []
    assert 0 < before["memory"]["free"] <= before["memory"]["total"]
    session = start(student, FIRST)
    [running] = student.get("/start/status")["running"]
    assert (running["path"], running["session"], running["died"]) == (FIRST, session["id"], "")
    if not os.geteuid():  # the student's server may look at the student's programs
        assert 5 <= running["memory"] <= 300
    student.delete(f"/api/sessions/{session['id']}")
    assert student.get("/start/status")["running"] == []


def asked(one: Server, uid: int = 65534) -> str:
    """Ask as the teacher's computer does."""
    name = hashlib.sha256(b"teacher" + one.hashed).hexdigest()
    return watch.ask({"ada": (uid if not os.geteuid() else os.geteuid(), name)}, 20.0)["ada"]


def test_the_teacher_is_told_what_runs(one: Server) -> None:
    """In the form that the page of `make watch` wants, and as little of it as possible."""
    student = one.student()
    nothing = json.loads(asked(one))
    assert nothing["running"] == [] and nothing["free"] % 10 == 0
    session = start(student, FIRST)
    kernel = student.get("/start/status")["running"][0]["kernel"]
    heard = watch_page.heard(asked(one))
    assert heard and not heard.wrong
    [program] = heard.running
    assert (program["path"], program["quiet"], program["died"]) == (FIRST, 0, "")
    student.ask("GET", f"/api/kernels/{kernel}")
    kill(one)
    end = time.monotonic() + 60
    while json.loads(asked(one))["running"][0]["died"] != "stopped":
        assert time.monotonic() < end, "The death of a program is not noticed."
        time.sleep(0.3)
    student.delete(f"/api/sessions/{session['id']}")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes somebody else")
def test_another_account_is_told_nothing(one: Server) -> None:
    name = hashlib.sha256(b"teacher" + one.hashed).hexdigest()
    ask = f"import socket; it = socket.socket(socket.AF_UNIX); it.connect('\\0{name}'); print(it.recv(1000))"
    for account, answer in ((65534, "running"), (65533, "b''")):
        done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, user=account, timeout=60)
        assert answer in done.stdout, done.stderr


def test_what_the_teacher_says_is_part_of_the_answer(one: Server, pristine: Path) -> None:
    told = pristine / "message"
    assert status(one)["message"] is None
    told.write_text(json.dumps({"text": "Five more minutes", "minutes": 45}))
    try:
        assert status(one)["message"] == {"text": "Five more minutes", "minutes": 0}
    finally:
        told.unlink()


def test_a_lesson_is_put_back_but_nothing_is_overwritten(one: Server, pristine: Path) -> None:
    student = one.student()
    path = one.home / "notebooks" / THIRD
    assert student.ask("POST", "/start/lesson", json={"name": THIRD}).status_code == 204
    assert path.read_bytes() == (pristine / THIRD).read_bytes()
    path.write_text("mine")
    assert student.ask("POST", "/start/lesson", json={"name": THIRD}).status_code == 409
    assert path.read_text() == "mine"
    path.unlink()
    path.symlink_to(one.home / "elsewhere")
    assert student.ask("POST", "/start/lesson", json={"name": THIRD}).status_code == 409
    path.unlink()
    for name in ("../x.ipynb", "start.zip", "", None, 3, [THIRD]):
        assert student.ask("POST", "/start/lesson", json={"name": name}).status_code == 404, name
    without = {"X-XSRFToken": "none"}
    assert student.ask("POST", "/start/lesson", json={"name": THIRD}, headers=without).status_code == 403
    assert not path.exists()


def test_a_death_is_explained(one: Server) -> None:
    """Linux has killed nothing for want of memory here, so this is any other death."""
    student = one.student()
    session = start(student, FIRST)
    [running] = student.get("/start/status")["running"]
    student.ask("GET", f"/api/kernels/{running['kernel']}")
    kill(one)
    end = time.monotonic() + 60
    while not (died := student.get("/start/status")["running"][0]["died"]):
        assert time.monotonic() < end, "The death of a program is not noticed."
        time.sleep(0.3)
    assert died.startswith("This lesson’s program stopped unexpectedly")
    student.delete(f"/api/sessions/{session['id']}")


def kernels(one: Server) -> list[int]:
    """The server's kernels, by process."""
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(one.process.pid)], capture_output=True, text=True)
    return [int(pid) for pid in found.stdout.split()]


def kill(one: Server) -> None:
    for pid in kernels(one):
        os.kill(pid, 9)


def test_want_of_memory_is_told_from_other_deaths(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the signal, and by Linux's count of what it has killed for it."""

    class Kernel:
        provisioner = process = None
        returncode = -9

    kernel = Kernel()
    kernel.provisioner = kernel.process = kernel  # type: ignore[assignment]
    noticed: dict[str, Any] = {}

    class Manager:
        def get_kernel(self, identity: str) -> Kernel:
            return kernel

        def add_restart_callback(self, identity: str, callback: Any, event: str) -> None:
            noticed[event] = callback

    killed = 3
    monkeypatch.setattr(start_page, "killed_for_memory", lambda: killed)
    deaths = start_page.Deaths()
    deaths.watch(Manager(), "k")
    assert deaths.why("k") == ""
    noticed["restart"]()
    assert deaths.why("k") == start_page.STOPPED
    killed = 4
    noticed["restart"]()
    assert deaths.why("k") == start_page.OUT_OF_MEMORY
    assert deaths.why("another") == ""
    noticed["dead"]()
    assert deaths.why("k") == start_page.STOPPED
    killed, kernel.returncode = 5, 1
    noticed["restart"]()
    assert deaths.why("k") == start_page.STOPPED
    monkeypatch.setattr(time, "monotonic", lambda: 1e9)
    assert deaths.why("k") == ""


# From here on it takes a browser.


@pytest.fixture(scope="module")
def browser() -> Iterator[BrowserContext]:
    """A browser without the Internet."""
    if not CHROMIUM.exists():
        pytest.skip(f"there is no browser {CHROMIUM}: `make test` brings it")
    with open_browser(PATIENCE, offline=True) as context:
        yield context


@pytest.fixture(scope="module")
def failures(browser: BrowserContext) -> list[str]:
    """Every answer that is an error, and whatever a page complains about."""
    found: list[str] = []

    def note(answer: Response) -> None:
        if answer.status >= 400:
            found.append(f"{answer.status} {answer.url}")

    browser.on("response", note)
    browser.on("console", lambda said: found.append(said.text) if "Content Security Policy" in said.text else None)
    return found


@pytest.fixture(scope="module")
def page(browser: BrowserContext, failures: list[str], one: Server) -> Page:
    page = browser.pages[0]
    page.goto(one.url)
    page.locator("input[name=password]").fill(PASSWORD)
    page.locator("button[type=submit]").click()
    expect(page).to_have_url(re.compile(r"/start/\??$"))
    return page


def test_cards_are_shown_in_order(page: Page, failures: list[str]) -> None:
    """With the titles as text, whatever they hold, and a picture each."""
    titles = page.locator(".lesson h3")
    expect(titles).to_have_text(["Ten thousand", WICKED, "A network from nothing", "Part9 damaged"])
    expect(page.locator(".lesson").first).to_contain_text("Lesson 1")
    expect(page.locator(".lesson").first).not_to_contain_text("Part 2")  # the book's, which has a part 1
    expect(page.locator(".lesson").first).to_contain_text("10 minutes on this Pi")
    expect(page.locator(".lesson.next h3")).to_have_text("Ten thousand")
    page.wait_for_load_state("networkidle")
    assert page.evaluate("[...document.images].filter(picture => picture.naturalWidth).length") == 4
    expect(page.locator("#memory-words")).to_contain_text(re.compile(r"^Memory: \d+ of \d+ MB free\. "))
    missing = [one for one in failures if not re.search(r"404 .*/pictures/(a_third|part9_damaged)\.svg$", one)]
    assert not missing


def test_it_fits_on_a_phone(page: Page) -> None:
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    try:
        expect(page.locator(".lesson .open").first).to_be_in_viewport()
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        for kind in (".open", "#new", "#make label"):
            box = page.locator(kind).first.bounding_box()
            assert box and box["height"] >= 32, f"{kind} is too small for a finger"
    finally:
        page.set_viewport_size(DESKTOP)


@pytest.mark.slow
def test_a_lesson_is_opened_and_ended_and_leads_back(page: Page, browser: BrowserContext, failures: list[str]) -> None:
    """Its page has no button that opens JupyterLab."""
    before = len(failures)
    with browser.expect_page() as opened:
        page.get_by_role("link", name="Start: Ten thousand").click()
    lesson = opened.value
    try:
        expect(lesson.locator(".jp-CodeCell")).to_be_visible()
        expect(lesson.get_by_text("MB free")).to_be_visible()
        expect(lesson.get_by_text("JupyterLab")).to_have_count(0)
        expect(lesson.locator("#jp-NotebookLogo")).to_have_count(0)
        idle = lesson.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]")
        expect(idle).to_be_visible()
        for menu in ("File", "View", "Help"):
            lesson.get_by_role("menuitem", name=menu, exact=True).click()
            expect(lesson.locator(".lm-Menu")).to_be_visible()
            expect(lesson.locator(".lm-Menu [data-command='application:open-lab']")).to_have_count(0)
            lesson.keyboard.press("Escape")

        lesson.set_viewport_size(PHONE)  # type: ignore[arg-type]
        expect(lesson.locator("#mynn-small-home")).to_be_in_viewport()
        lesson.set_viewport_size(DESKTOP)
        expect(lesson.locator("#mynn-small-home")).to_be_hidden()
        back = lesson.locator("#mynn-home")
        pages = len(browser.pages)
        back.click()
        page.wait_for_timeout(500)
        assert len(browser.pages) == pages, "The way back opens a second start page."
        page.bring_to_front()
        card = page.locator(".lesson").first
        expect(card).to_contain_text("Running")
        lesson.evaluate("document.body.dataset.mark = 'still here'")
        card.get_by_role("link", name="Continue").click()
        page.wait_for_timeout(500)
        assert len(browser.pages) == pages, "A lesson that is open is opened a second time."
        assert lesson.evaluate("document.body.dataset.mark") == "still here", "An open lesson is loaded again."
        page.bring_to_front()
        card.get_by_role("button", name="End").click()
        expect(card).not_to_contain_text("Running")
        expect(card.get_by_role("button", name="End")).to_have_count(0)
        # Jupyter asks for an extension that a Pi does without; nobody sees that.
        assert [one for one in failures[before:] if "/lsp/status" not in one and "/pictures/" not in one] == []
    finally:
        lesson.close()


@pytest.mark.slow
def test_a_lesson_says_why_its_program_died(page: Page, browser: BrowserContext, one: Server) -> None:
    with browser.expect_page() as opened:
        page.get_by_role("link", name="Start: Ten thousand").click()
    lesson = opened.value
    try:
        expect(lesson.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]")).to_be_visible()
        lesson.wait_for_timeout(3000)  # of a death in its first moments, Jupyter's page may tell nothing
        kill(one)
        expect(lesson.locator(".jp-Dialog-body")).to_contain_text("This lesson’s program stopped unexpectedly")
        lesson.locator(".jp-Dialog").get_by_role("button", name="Ok").click()
        page.bring_to_front()
        card = page.locator(".lesson").first
        expect(card.locator(".died")).to_contain_text("This lesson’s program stopped unexpectedly")
        card.get_by_role("button", name="End").click()
        expect(card.locator(".died")).to_have_count(0)
    finally:
        lesson.close()


def test_what_the_teacher_says_is_shown_until_it_is_removed(page: Page, pristine: Path) -> None:
    told = pristine / "message"
    told.write_text(json.dumps({"text": "Five more <b>minutes</b>", "minutes": 45}))
    os.utime(told, (time.time() - 200,) * 2)
    page.reload()
    expect(page.locator("#message-text")).to_have_text("Five more <b>minutes</b>")
    expect(page.locator("#message-when")).to_have_text("Your teacher, 3 min ago")
    told.unlink()
    page.reload()
    expect(page.locator(".lesson").first).to_be_visible()
    expect(page.locator("#message")).to_be_hidden()


@pytest.mark.slow
def test_an_open_lesson_shows_it_and_is_saved(page: Page, browser: BrowserContext, one: Server, pristine: Path) -> None:
    """The Pi may be switched off next. It is saved when another tab is looked at, too."""
    told, path = pristine / "message", one.home / "notebooks" / SECOND
    with browser.expect_page() as opened:
        page.get_by_role("link", name="Start: A network from nothing").click()
    lesson = opened.value
    try:
        expect(lesson.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]")).to_be_visible()
        cell = lesson.locator(".jp-CodeCell .cm-content").first
        cell.click()
        lesson.keyboard.type("# mine")
        told.write_text(json.dumps({"text": "Five more minutes", "minutes": 45}))
        expect(lesson.locator("#mynn-message")).to_have_text("Five more minutes")
        until(lambda: "# mine" in path.read_text(), 30)
        lesson.locator("#mynn-message").click()
        expect(lesson.locator("#mynn-message")).to_be_hidden()
        cell.click()
        lesson.keyboard.type("# ours")
        lesson.evaluate(
            "Object.defineProperty(document, 'hidden', {value: true});"
            "document.dispatchEvent(new Event('visibilitychange'))"
        )
        until(lambda: "# ours" in path.read_text(), 30)
    finally:
        told.unlink(missing_ok=True)
        lesson.close()
    page.bring_to_front()
    page.locator(".lesson", has_text="A network from nothing").get_by_role("button", name="End").click()


def until(done: Callable[[], bool], patience: float) -> None:
    """Wait until something is so."""
    end = time.monotonic() + patience
    while not done():
        assert time.monotonic() < end
        time.sleep(0.2)


def test_a_missing_lesson_is_put_back(page: Page, one: Server) -> None:
    card = page.locator(".lesson").nth(1)
    card.get_by_role("button", name="Put it back").click()
    expect(card.get_by_role("link", name="Start")).to_be_visible()
    (one.home / "notebooks" / THIRD).unlink()


def test_files_are_uploaded_and_never_overwritten(page: Page, one: Server, tmp_path: Path) -> None:
    name = "<b>&\" 'photo'#1.png"
    put(one, name, "the first")
    upload = tmp_path / name
    upload.write_bytes(bytes(range(256)))
    page.locator("#upload").set_input_files(upload)
    expect(page.locator("#told")).to_contain_text("is here, as <b>&\" 'photo'#1 (2).png.")
    expect(page.locator("#files a")).to_contain_text([name.replace(".png", " (2).png"), name])
    assert (one.home / "notebooks" / name).read_text() == "the first"
    assert (one.home / "notebooks" / name.replace(".png", " (2).png")).read_bytes() == bytes(range(256))
    expect(page.locator("#files a", has_text=FIRST)).to_have_count(0)


@pytest.mark.slow
def test_a_file_and_a_new_notebook_are_opened(page: Page, browser: BrowserContext, one: Server) -> None:
    put(one, "notes 100%.txt", "what I wrote")
    page.reload()
    with browser.expect_page() as opened:
        page.get_by_role("link", name="notes 100%.txt").click()
    expect(opened.value.get_by_text("what I wrote")).to_be_visible()
    opened.value.close()
    with browser.expect_page() as opened:
        page.get_by_role("button", name="New notebook").click()
    expect(opened.value.locator(".jp-CodeCell")).to_be_visible()
    expect(opened.value).to_have_url(re.compile("/notebooks/Untitled.ipynb"))
    opened.value.close()
    expect(page.get_by_role("link", name="Untitled.ipynb")).to_be_visible()


def test_who_is_signed_out_signs_in_again(page: Page) -> None:
    page.context.clear_cookies()
    page.get_by_role("button", name="New notebook").click()
    expect(page.locator("input[name=password]")).to_be_visible()
