"""The start page, on a server with the role jupyter's settings: what it answers, and how it works in a browser."""

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
from playwright.sync_api import BrowserContext, Page, Response, Route, expect

from ansible_collections.mynn.pi.plugins.modules import live_page
from mynn_control.watch import parsed
from tests.support.browser import CHROMIUM, DESKTOP, open_browser
from tests.support.jupyter_server import PASSWORD, Server, run_server
from tests.support.programs import ROOT
from tests.support.student import STUDENT, as_root, give_to_student

ROLE = ROOT / "roles/start_page/files"
PATIENCE = 180_000  # milliseconds
PHONE = {"width": 390, "height": 844}
LARGEST_PICTURE = 8_000  # bytes
# A title that would run a script if it were not escaped.
HOSTILE = "<img src=x onerror=document.title=1>"
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
    """The start page's archive, as the role builds it."""
    done = subprocess.run([sys.executable, ROLE / "build.py", ROOT], stdout=subprocess.PIPE, text=True, check=True)
    return Path(done.stdout)


@pytest.fixture(scope="module")
def pristine() -> Iterator[Path]:
    """The untouched lessons, whose order is not that of their names; one has no metadata, and one is damaged."""
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are for one account only
        folder = Path(name)
        folder.chmod(0o755)
        learn = "How a computer sees a picture"
        (folder / FIRST).write_text(notebook("Part 2: *ten* thousand", lesson=1, minutes=10, learn=learn))
        (folder / THIRD).write_text(notebook(f"Part 2: {HOSTILE}", lesson=2, minutes="<b>", learn=3))
        (folder / SECOND).write_text(notebook("Part 2: a network from nothing"))
        (folder / "part9_damaged.ipynb").write_text("{")
        yield folder


@pytest.fixture(scope="module")
def server(venv: Path, archive: Path, pristine: Path) -> Iterator[Server]:
    """A server with the start page, whose student has all lessons but one."""
    readable_archive = Path(shutil.copy(archive, pristine / "start.zip"))
    readable_archive.chmod(0o644)
    settings: dict[str, Any] = {"start_page_archive": readable_archive, "lessons_pristine": pristine}
    with run_server(venv, message_file=pristine / "message", **settings) as running:
        for name in (FIRST, SECOND, "part9_damaged.ipynb"):
            write(running, name, (pristine / name).read_text())
        yield running


def write(server: Server, name: str, text: str) -> Path:
    """Write a file into the student's folder."""
    path = server.home / "notebooks" / name
    path.write_text(text, encoding="utf-8")
    give_to_student(path)
    return path


def status(server: Server) -> Any:
    """Return the data that the start page shows."""
    return server.student().get("/start/status")


def find_lesson(answer: Any, name: str) -> Any:
    [lesson] = [lesson for lesson in answer["lessons"] if lesson["name"] == name]
    return lesson


def test_every_lesson_has_a_small_picture(archive: Path) -> None:
    """It loads nothing from elsewhere and runs no script."""
    lessons = {re.sub(r"_\d+$", "", path.stem) for path in (ROOT / "notebooks").glob("*.ipynb")}
    with zipfile.ZipFile(archive) as packed:
        pictures = {Path(name).stem: packed.read(name) for name in packed.namelist() if name.endswith(".svg")}
    assert lessons | {"lesson"} == set(pictures)
    for name, picture in pictures.items():
        assert len(picture) <= LARGEST_PICTURE, name
        assert not re.search(rb"<script|href|url\(|\bon\w+=", picture), name


def test_the_same_sources_give_the_same_archive(archive: Path) -> None:
    before = archive.read_bytes()
    subprocess.run([sys.executable, ROLE / "build.py", ROOT], stdout=subprocess.DEVNULL, check=True)
    assert archive.read_bytes() == before


def test_it_is_shown_after_signing_in(server: Server) -> None:
    """Without signing in, nothing of it can be seen."""
    client = server.client()
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
def test_without_its_archive_the_list_of_files_is_shown(venv: Path, archive: Path, damage: str) -> None:
    place = venv / f"{damage}.zip"
    if damage == "half":
        place.write_bytes(archive.read_bytes()[:5000])
    elif damage == "nonsense":
        with zipfile.ZipFile(place, "w") as packed:
            packed.writestr("start_page.py", "half a line of (")
    with run_server(venv, start_page_archive=place) as bare:
        assert bare.student().ask("GET", "/").headers["Location"].rstrip("?") == "/tree"


def test_lessons_describe_themselves(server: Server) -> None:
    """In the order that they give; those that give none come last."""
    lessons = status(server)["lessons"]
    assert [lesson["name"] for lesson in lessons] == [FIRST, THIRD, SECOND, "part9_damaged.ipynb"]
    learn = "How a computer sees a picture"
    expected = {"title": "Part 2: ten thousand", "minutes": 10, "learn": learn, "there": True, "finished": None}
    assert expected.items() <= lessons[0].items()
    assert {"title": f"Part 2: {HOSTILE}", "minutes": None, "learn": "", "there": False}.items() <= lessons[1].items()
    assert lessons[3]["title"] == "part9 damaged"


def test_a_changed_lesson_is_read_again(server: Server, pristine: Path) -> None:
    (pristine / SECOND).write_text(notebook("Part 2: changed"))
    assert find_lesson(status(server), SECOND)["title"] == "Part 2: changed"
    (pristine / SECOND).write_text(notebook("Part 2: a network from nothing"))


DONE = {"finished": "2026-11-27T10:00:00", "score": 0.953}


def progress(version: int, entry: Any) -> str:
    """Return the text of a progress file with one lesson."""
    return json.dumps({"version": version, "lessons": {FIRST[:-6]: entry}})


@pytest.mark.parametrize(
    ("content", "finished"),
    [
        (progress(1, DONE), {"score": 0.953}),
        (progress(1, {"finished": "now", "score": "<b>"}), {"score": None}),
        (progress(1, {"finished": "now", "score": float("nan")}), {"score": None}),
        (progress(1, 1), None),
        (json.dumps({"version": 1, "lessons": [FIRST[:-6]]}), None),
        (progress(2, DONE), None),
        (progress(1, DONE) + " " * 64_000, None),
        ("[" * 60_000, None),
        ("\x00", None),
    ],
)
def test_progress_is_checked_before_it_is_shown(server: Server, content: str, finished: Any) -> None:
    path = write(server, "my_progress.json", content)
    try:
        assert find_lesson(status(server), FIRST)["finished"] == finished
    finally:
        path.unlink()


def test_the_page_does_not_hang_on_a_special_progress_file(server: Server) -> None:
    path = server.home / "notebooks/my_progress.json"
    os.mkfifo(path, 0o666)
    assert find_lesson(status(server), FIRST)["finished"] is None
    path.unlink()
    path.symlink_to("/dev/zero")
    assert find_lesson(status(server), FIRST)["finished"] is None
    path.unlink()


def test_only_export_formats_that_work_on_a_pi_are_offered(server: Server) -> None:
    """HTML, for example, but not PDF, which needs programs that a Pi does not have."""
    formats = set(server.student().get("/api/nbconvert"))
    assert {"html", "markdown", "script"} <= formats
    assert not {"pdf", "webpdf", "qtpdf", "qtpng"} & formats


def test_a_running_notebook_and_its_memory_are_shown_until_it_is_ended(server: Server) -> None:
    student = server.student()
    before = student.get("/start/status")
    assert before["running"] == []
    assert 0 < before["memory"]["free"] <= before["memory"]["total"]
    session = student.open_notebook(FIRST)
    [running] = student.get("/start/status")["running"]
    assert (running["path"], running["session"], running["died"]) == (FIRST, session["id"], "")
    if not os.geteuid():  # the server runs as the student, so it may read the memory of the student's kernels
        assert 5 <= running["memory"] <= 300
    student.delete(f"/api/sessions/{session['id']}")
    assert student.get("/start/status")["running"] == []


def socket_name(server: Server) -> str:
    """Return the name of the abstract socket at which a server answers the teacher's computer."""
    return hashlib.sha256(b"teacher" + server.hashed).hexdigest()


def ask_as_teacher(server: Server) -> str:
    """Ask a server what runs, as `make watch` does."""
    answer: str | None = live_page.answer_of(STUDENT.pw_uid, socket_name(server), 32768)
    assert answer
    return answer


def test_the_teacher_is_told_what_runs(server: Server) -> None:
    """The answer has the form that the page of `make watch` wants."""
    student = server.student()
    nothing = json.loads(ask_as_teacher(server))
    assert nothing["running"] == [] and nothing["free"] % 10 == 0
    session = student.open_notebook(FIRST)
    kernel = student.get("/start/status")["running"][0]["kernel"]
    answer = parsed(ask_as_teacher(server))
    assert answer
    [program] = answer["running"]
    assert (program["path"], program["quiet"], program["died"]) == (FIRST, 0, "")
    student.ask("GET", f"/api/kernels/{kernel}")
    kill(server)
    end = time.monotonic() + 60
    while json.loads(ask_as_teacher(server))["running"][0]["died"] != "stopped":
        assert time.monotonic() < end, "The death of a program is not noticed."
        time.sleep(0.3)
    student.delete(f"/api/sessions/{session['id']}")


@as_root
def test_another_account_is_told_nothing(server: Server) -> None:
    name = socket_name(server)
    ask = f"import socket; it = socket.socket(socket.AF_UNIX); it.connect('\\x00{name}'); print(it.recv(1000))"
    for account, answer in ((STUDENT.pw_uid, "running"), (STUDENT.pw_uid - 1, "b''")):
        done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, user=account, timeout=60)
        assert answer in done.stdout, done.stderr


def test_the_teachers_message_is_part_of_the_answer(server: Server, pristine: Path) -> None:
    message = pristine / "message"
    assert status(server)["message"] is None
    message.write_text(json.dumps({"text": "Five more minutes", "minutes": 45}))
    try:
        assert status(server)["message"] == {"text": "Five more minutes", "minutes": 0}
    finally:
        message.unlink()


def test_a_missing_lesson_can_be_put_back_but_nothing_is_overwritten(server: Server, pristine: Path) -> None:
    student = server.student()
    path = server.home / "notebooks" / THIRD
    assert student.ask("POST", "/start/lesson", json={"name": THIRD}).status_code == 204
    assert path.read_bytes() == (pristine / THIRD).read_bytes()
    path.write_text("mine")
    assert student.ask("POST", "/start/lesson", json={"name": THIRD}).status_code == 409
    assert path.read_text() == "mine"
    path.unlink()
    path.symlink_to(server.home / "elsewhere")
    assert student.ask("POST", "/start/lesson", json={"name": THIRD}).status_code == 409
    path.unlink()
    for name in ("../x.ipynb", "start.zip", "", None, 3, [THIRD]):
        assert student.ask("POST", "/start/lesson", json={"name": name}).status_code == 404, name
    without = {"X-XSRFToken": "none"}
    assert student.ask("POST", "/start/lesson", json={"name": THIRD}, headers=without).status_code == 403
    assert not path.exists()


def test_the_page_says_that_a_kernel_stopped_unexpectedly(server: Server) -> None:
    """Linux did not kill it for lack of memory, so it must have been something else."""
    student = server.student()
    session = student.open_notebook(FIRST)
    [running] = student.get("/start/status")["running"]
    student.ask("GET", f"/api/kernels/{running['kernel']}")
    kill(server)
    deadline = time.monotonic() + 60
    while not (died := student.get("/start/status")["running"][0]["died"]):
        assert time.monotonic() < deadline, "The page does not notice that a kernel was killed."
        time.sleep(0.3)
    assert died.startswith("This lesson’s program stopped unexpectedly")
    student.delete(f"/api/sessions/{session['id']}")


def kernels(server: Server) -> list[int]:
    """Return the process ids of the server's kernels."""
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(server.process.pid)], capture_output=True, text=True)
    return [int(pid) for pid in found.stdout.split()]


def kill(server: Server) -> None:
    for pid in kernels(server):
        os.kill(pid, 9)


def test_lack_of_memory_is_told_apart_from_other_reasons(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the signal, and by Linux's count of the processes that it has killed for lack of memory."""

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


# The rest needs a browser.


@pytest.fixture(scope="module")
def browser() -> Iterator[BrowserContext]:
    """A browser without Internet access."""
    if not CHROMIUM.exists():
        pytest.skip(f"there is no browser at {CHROMIUM}: `make test` installs it")
    with open_browser(PATIENCE, offline=True) as context:
        yield context


@pytest.fixture(scope="module")
def failures(browser: BrowserContext) -> list[str]:
    """The error answers so far, and the violations of the Content Security Policy."""
    found: list[str] = []

    def note(answer: Response) -> None:
        if answer.status >= 400:
            found.append(f"{answer.status} {answer.url}")

    browser.on("response", note)
    policy = "Content Security Policy"
    browser.on("console", lambda line: found.append(line.text) if policy in line.text else None)
    return found


@pytest.fixture(scope="module")
def page(browser: BrowserContext, failures: list[str], server: Server) -> Page:
    page = browser.pages[0]
    page.goto(server.url)
    page.locator("input[name=password]").fill(PASSWORD)
    page.locator("button[type=submit]").click()
    expect(page).to_have_url(re.compile(r"/start/\??$"))
    return page


def test_cards_are_shown_in_order(page: Page, failures: list[str]) -> None:
    """With the titles as plain text, whatever they contain, and a picture each."""
    titles = page.locator(".lesson h3")
    expect(titles).to_have_text(["Ten thousand", HOSTILE, "A network from nothing", "Part9 damaged"])
    expect(page.locator(".lesson").first).to_contain_text("Lesson 1")
    expect(page.locator(".lesson").first).not_to_contain_text("Part 2")  # the part of the book, not the lesson's number
    expect(page.locator(".lesson").first).to_contain_text("10 minutes on this Pi")
    expect(page.locator(".lesson.next h3")).to_have_text("Ten thousand")
    page.wait_for_load_state("networkidle")
    assert page.evaluate("[...document.images].filter(picture => picture.naturalWidth).length") == 4
    expect(page.locator("#memory-words")).to_contain_text(re.compile(r"^Memory: \d+ of \d+ MB free\. "))
    expected = r"404 .*/pictures/(a_third|part9_damaged)\.svg$"
    assert [failure for failure in failures if not re.search(expected, failure)] == []


def test_it_fits_on_a_phone(page: Page) -> None:
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    try:
        expect(page.locator(".lesson .open").first).to_be_in_viewport()
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        for selector in (".open", "#new", "#make label"):
            box = page.locator(selector).first.bounding_box()
            assert box and box["height"] >= 32, f"{selector} is too small for a finger"
    finally:
        page.set_viewport_size(DESKTOP)


@pytest.mark.slow
def test_a_lesson_is_opened_and_ended_and_links_back(page: Page, browser: BrowserContext, failures: list[str]) -> None:
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
        assert len(browser.pages) == pages, "The link back opened a second start page."
        page.bring_to_front()
        card = page.locator(".lesson").first
        expect(card).to_contain_text("Running")
        lesson.evaluate("document.body.dataset.mark = 'still here'")
        card.get_by_role("link", name="Continue").click()
        page.wait_for_timeout(500)
        assert len(browser.pages) == pages, "An open lesson was opened a second time."
        assert lesson.evaluate("document.body.dataset.mark") == "still here", "An open lesson was loaded again."
        page.bring_to_front()
        card.get_by_role("button", name="End").click()
        expect(card).not_to_contain_text("Running")
        expect(card.get_by_role("button", name="End")).to_have_count(0)
        assert [it for it in failures[before:] if "/pictures/" not in it] == []
    finally:
        lesson.close()


@pytest.mark.slow
def test_a_lesson_says_that_its_kernel_stopped(page: Page, browser: BrowserContext, server: Server) -> None:
    with browser.expect_page() as opened:
        page.get_by_role("link", name="Start: Ten thousand").click()
    lesson = opened.value
    try:
        expect(lesson.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]")).to_be_visible()
        lesson.wait_for_timeout(3000)  # if the kernel dies in its first moments, Jupyter's page may not say so
        kill(server)
        expect(lesson.locator(".jp-Dialog-body")).to_contain_text("This lesson’s program stopped unexpectedly")
        lesson.locator(".jp-Dialog").get_by_role("button", name="Ok").click()
        page.bring_to_front()
        card = page.locator(".lesson").first
        expect(card.locator(".died")).to_contain_text("This lesson’s program stopped unexpectedly")
        card.get_by_role("button", name="End").click()
        expect(card.locator(".died")).to_have_count(0)
    finally:
        lesson.close()


def test_the_teachers_message_is_shown_until_it_is_removed(page: Page, pristine: Path) -> None:
    message = pristine / "message"
    message.write_text(json.dumps({"text": "Five more <b>minutes</b>", "minutes": 45}))
    os.utime(message, (time.time() - 200,) * 2)
    page.reload()
    expect(page.locator("#message-text")).to_have_text("Five more <b>minutes</b>")
    expect(page.locator("#message-when")).to_have_text("Your teacher, 3 min ago")
    message.unlink()
    page.reload()
    expect(page.locator(".lesson").first).to_be_visible()
    expect(page.locator("#message")).to_be_hidden()


@pytest.mark.slow
def test_an_open_lesson_shows_the_message_and_is_saved(
    page: Page, browser: BrowserContext, server: Server, pristine: Path
) -> None:
    """The Pi may be switched off next. The lesson is also saved when the student changes to another tab."""
    message, path = pristine / "message", server.home / "notebooks" / SECOND
    with browser.expect_page() as opened:
        page.get_by_role("link", name="Start: A network from nothing").click()
    lesson = opened.value
    try:
        expect(lesson.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]")).to_be_visible()
        cell = lesson.locator(".jp-CodeCell .cm-content").first
        cell.click()
        lesson.keyboard.type("# mine")
        message.write_text(json.dumps({"text": "Five more minutes", "minutes": 45}))
        expect(lesson.locator("#mynn-message")).to_have_text("Five more minutes")
        wait_until(lambda: "# mine" in path.read_text(), 30)
        lesson.locator("#mynn-message").click()
        expect(lesson.locator("#mynn-message")).to_be_hidden()
        cell.click()
        lesson.keyboard.type("# ours")
        lesson.evaluate(
            "Object.defineProperty(document, 'hidden', {value: true});"
            "document.dispatchEvent(new Event('visibilitychange'))"
        )
        wait_until(lambda: "# ours" in path.read_text(), 30)
    finally:
        message.unlink(missing_ok=True)
        lesson.close()
    page.bring_to_front()
    page.locator(".lesson", has_text="A network from nothing").get_by_role("button", name="End").click()


def wait_until(done: Callable[[], bool], seconds: float) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_one_click_puts_a_missing_lesson_back(page: Page, server: Server) -> None:
    card = page.locator(".lesson").nth(1)
    card.get_by_role("button", name="Put it back").click()
    expect(card.get_by_role("link", name="Start")).to_be_visible()
    (server.home / "notebooks" / THIRD).unlink()


def test_files_are_uploaded_and_never_overwritten(page: Page, server: Server, tmp_path: Path) -> None:
    """Also into a folder that nobody has changed for a month: a browser would like to keep such a folder's list."""
    name = "<b>&\" 'photo'#1.png"
    write(server, name, "the first")
    a_month_ago = time.time() - 30 * 24 * 3600
    os.utime(server.home / "notebooks", (a_month_ago, a_month_ago))
    page.reload()
    expect(page.locator("#files a", has_text=name)).to_be_visible()
    upload = tmp_path / name
    upload.write_bytes(bytes(range(256)))
    page.locator("#upload").set_input_files(upload)
    expect(page.locator("#told")).to_contain_text("is here, as <b>&\" 'photo'#1 (2).png.")
    expect(page.locator("#files a")).to_contain_text([name.replace(".png", " (2).png"), name])
    assert (server.home / "notebooks" / name).read_text() == "the first"
    assert (server.home / "notebooks" / name.replace(".png", " (2).png")).read_bytes() == bytes(range(256))
    expect(page.locator("#files a", has_text=FIRST)).to_have_count(0)


def test_a_late_answer_does_not_hide_an_upload(page: Page, tmp_path: Path) -> None:
    """A Pi is slow, and its answers to two questions may come in any order."""
    question = "**/api/contents?content=1"
    held: list[Route] = []
    page.route(question, lambda route: route.continue_() if held else held.append(route))

    def upload(name: str) -> None:
        (tmp_path / name).write_text(name)
        page.locator("#upload").set_input_files(tmp_path / name)
        expect(page.locator("#told")).to_contain_text(f"{name} is here.")

    with page.expect_request(question) as first:
        upload("early.txt")
    answer = page.request.get(first.value.url)
    upload("late.txt")
    expect(page.locator("#files a", has_text="late.txt")).to_be_visible()
    assert "early.txt" in answer.text()
    assert "late.txt" not in answer.text()
    with page.expect_response(question):
        held[0].fulfill(response=answer)
    page.wait_for_timeout(500)
    assert page.locator("#files a", has_text="late.txt").is_visible()  # now, and not after the page's next question


def test_files_are_asked_for_again_if_the_pi_did_not_answer(page: Page, tmp_path: Path) -> None:
    (tmp_path / "unanswered.txt").write_text("it is on the Pi")
    page.route("**/api/contents?content=1", lambda route: route.abort(), times=1)
    page.locator("#upload").set_input_files(tmp_path / "unanswered.txt")
    expect(page.locator("#told")).to_contain_text("unanswered.txt is here.")
    expect(page.locator("#files a", has_text="unanswered.txt")).to_be_visible(timeout=60_000)


def test_files_are_shown_even_if_the_first_question_of_the_page_fails(page: Page, server: Server) -> None:
    write(server, "found later.txt", "it is on the Pi")
    page.route("**/start/status", lambda route: route.abort(), times=1)
    page.reload()
    expect(page.locator("#trouble")).to_contain_text("The Pi does not answer.")
    expect(page.locator("#files a", has_text="found later.txt")).to_be_visible(timeout=60_000)
    expect(page.locator("#trouble")).to_be_hidden()


@pytest.mark.slow
def test_a_file_and_a_new_notebook_can_be_opened(page: Page, browser: BrowserContext, server: Server) -> None:
    write(server, "notes 100%.txt", "what I wrote")
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


def test_after_the_session_ends_the_page_asks_for_the_password(page: Page) -> None:
    page.context.clear_cookies()
    page.get_by_role("button", name="New notebook").click()
    expect(page.locator("input[name=password]")).to_be_visible()
