"""What the server answers to the start page, and to the teacher's computer."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from hypothesis import given

from mynn_server import programs
from mynn_server.credentials import teacher_socket
from mynn_server.start_page import message, progress
from tests.support.json_values import JSON
from tests.support.jupyter_server import PASSWORD, Server
from tests.support.student import STUDENT, as_root
from tests.unit.mynn_server.conftest import FIRST, HOSTILE, SECOND, THIRD, notebook, wait_until, write


def status(server: Server) -> Any:
    """Return the data that the start page shows."""
    return server.student().get("/start/status")


def test_it_is_shown_after_signing_in(server: Server) -> None:
    """Without signing in, nothing of it can be seen."""
    client = server.client()
    for path in ("/start/", "/start/status", "/start/page.js", "/manual/"):
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
    for path in ("/start/..%2fserve.py", "/start/missing.svg", "/start//etc/passwd"):
        assert client.ask("GET", path).status_code == 404, path


def test_lessons_describe_themselves(server: Server, pristine: Path) -> None:
    """In the order that they give; those that give none come last. One that has changed is read again."""
    (pristine / SECOND).write_text(notebook("Part 2: changed"))
    lessons = status(server)["lessons"]
    assert [lesson["name"] for lesson in lessons] == [FIRST, THIRD, SECOND, "part9_damaged.ipynb"]
    learn = "How a computer sees a picture"
    expected = {"title": "Part 2: ten thousand", "minutes": 10, "learn": learn, "there": True, "finished": None}
    assert expected.items() <= lessons[0].items()
    assert {"title": f"Part 2: {HOSTILE}", "minutes": None, "there": False}.items() <= lessons[1].items()
    assert [lesson["title"] for lesson in lessons[2:]] == ["Part 2: changed", "part9 damaged"]
    (pristine / SECOND).write_text(notebook("Part 2: a network from nothing"))


def test_files_are_listed_without_the_lessons(server: Server) -> None:
    for name in ("Zebra.txt", "my own.ipynb", "on_the_wall.json", ".hidden"):
        write(server, name, "1234")
    (server.home / "notebooks/a folder").mkdir()
    (server.home / "notebooks" / os.fsdecode(b"\xff.txt")).touch()
    names = [(file["name"], file["kind"]) for file in status(server)["files"] if not file["name"].endswith(".py")]
    assert [pair for pair in names if pair[0] in ("a folder", "my own.ipynb", "Zebra.txt")] == [
        ("a folder", "folder"), ("my own.ipynb", "notebook"), ("Zebra.txt", "ordinary")
    ]  # fmt: skip
    assert not {FIRST, "on_the_wall.json", ".hidden"} & {name for name, _ in names}
    (server.home / "notebooks/my own.ipynb").unlink()


def progress_of(content: str) -> dict[str, Any]:
    with tempfile.NamedTemporaryFile("w") as file:
        file.write(content)
        file.flush()
        return progress(Path(file.name))


@given(JSON)
def test_progress_is_checked_before_it_is_shown(anything: Any) -> None:
    """The file is the student's, so anything may be in it."""
    assert progress_of(json.dumps(anything)) == {}
    shown = progress_of(json.dumps({"version": 1, "lessons": {"a": {"finished": "now", "score": anything}}}))
    assert shown["a"]["score"] is None or 0 <= shown["a"]["score"] <= 1
    lessons = progress_of(json.dumps({"version": 1, "lessons": anything}))
    assert not lessons or lessons.keys() <= anything.keys()


def test_finished_lessons_are_shown(server: Server, tmp_path: Path) -> None:
    """A progress file that is too large, or no file at all, neither fills the memory nor hangs the server."""
    done = json.dumps({"version": 1, "lessons": {FIRST[:-6]: {"finished": "2026-11-27T10:00:00", "score": 0.953}}})
    path = write(server, "my_progress.json", done)
    assert status(server)["lessons"][0]["finished"] == {"score": 0.953}
    path.unlink()
    assert progress_of(done) and not progress_of(done + " " * 64_000) and not progress_of("[" * 60_000)
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("/dev/zero")
    for name in ("fifo", "link", "missing"):
        assert progress(tmp_path / name) == {}


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
    for name in ("../x.ipynb", "message", "", None, 3, [THIRD]):
        assert student.ask("POST", "/start/lesson", json={"name": name}).status_code == 404, name
    without = {"X-XSRFToken": "none"}
    assert student.ask("POST", "/start/lesson", json={"name": THIRD}, headers=without).status_code == 403
    assert not path.exists()


def test_the_student_sees_what_runs_and_what_died(server: Server) -> None:
    student = server.student()
    before = student.get("/start/status")
    assert before["running"] == []
    assert 0 < before["memory"]["free"] <= before["memory"]["total"]
    session = student.open_notebook(FIRST)
    [running] = student.get("/start/status")["running"]
    assert (running["path"], running["session"], running["died"]) == (FIRST, session["id"], "")
    if not os.geteuid():  # the server runs as the student, so it may read the memory of the student's kernels
        memory = wait_until(lambda: student.get("/start/status")["running"][0]["memory"])  # once it has a process
        assert 5 <= memory <= 300
    subprocess.run(["pkill", "-KILL", "--parent", str(server.process.pid)], check=True)
    wait_until(lambda: student.get("/start/status")["running"][0]["died"] == programs.STOPPED)
    path = f"/api/sessions/{session['id']}"
    wait_until(lambda: student.ask("DELETE", path).status_code in (204, 404))  # once it is not being restarted
    assert student.get("/start/status")["running"] == []


@as_root
def test_another_account_is_told_nothing(server: Server) -> None:
    name = teacher_socket(server.hashed)
    ask = f"import socket; it = socket.socket(socket.AF_UNIX); it.connect('\\x00{name}'); print(it.recv(1000))"
    for account, answer in ((STUDENT.pw_uid, "running"), (STUDENT.pw_uid - 1, "b''")):
        done = subprocess.run(["/usr/bin/python3", "-c", ask], capture_output=True, text=True, user=account, timeout=60)
        assert answer in done.stdout, done.stderr


def test_lack_of_memory_is_told_apart_from_other_reasons() -> None:
    """By the signal, and by Linux's count of the processes that it has killed for lack of memory."""
    assert programs.reason_for(-9, 1) == programs.OUT_OF_MEMORY
    assert {programs.reason_for(*case) for case in ((-9, 0), (1, 1), (None, 1))} == {programs.STOPPED}


def test_a_messages_time_is_over(tmp_path: Path) -> None:
    file = tmp_path / "message"
    assert message(file) is None
    file.write_text(json.dumps({"text": "Five more minutes", "minutes": 45}))
    for minutes, shown in ((0, 0), (3, 3), (-500, 0), (44, 44), (45, None)):
        os.utime(file, (time.time() - 60 * minutes - 5,) * 2)
        assert message(file) == (None if shown is None else {"text": "Five more minutes", "minutes": shown})
    file.write_text("[]")
    assert message(file) is None
