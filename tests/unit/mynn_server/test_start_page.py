"""What the server answers to the start page, and to the teacher's computer."""

import asyncio
import json
import os
import socket
import subprocess
import time
from pathlib import Path

import pytest

from ansible_collections.mynn.pi.plugins.module_utils.schema import misfit
from mynn import tasks
from mynn.outline import outline
from mynn_control.desk.class_now import ANSWER
from mynn_server import kernel_manager
from mynn_server.credentials import status_socket_name
from mynn_server.start_page import message, own_files, progress
from mynn_server.status_socket import tasks_of
from tests.support.jupyter_server import PASSWORD, Server
from tests.support.student import STUDENT
from tests.unit.mynn_server.conftest import FIRST, THIRD, notebook


def test_only_its_own_files_are_shown_and_only_after_signing_in(server: Server) -> None:
    client = server.client()
    for path in ("/start/", "/start/status", "/start/page.js", "/manual/"):
        assert client.ask("GET", path).headers["Location"].startswith("/login"), path
    assert client.ask("POST", "/start/lesson", json={"name": FIRST}).status_code in (302, 403)
    client.sign_in(PASSWORD)
    assert client.ask("GET", "/start/").headers["Content-Security-Policy"].startswith("default-src 'none'")
    for path in ("/start/..%2fserve.py", "/start/missing.svg", "/start//etc/passwd"):
        assert client.ask("GET", path).status_code == 404, path


def test_a_lesson_that_has_changed_is_read_again(tmp_path: Path) -> None:
    for time_, title in enumerate(("before", "after")):
        (tmp_path / FIRST).write_text(notebook(title))
        os.utime(tmp_path / FIRST, (time_, time_))
        assert [lesson.title for lesson in outline(tmp_path).values()] == [title]


def test_files_are_listed_without_the_lessons(tmp_path: Path) -> None:
    for name in (FIRST, "Zebra.txt", "my own.ipynb", "on_the_wall.json", ".hidden", os.fsdecode(b"\xff.txt")):
        (tmp_path / name).touch()
    (tmp_path / "a folder").mkdir()
    listed = [(file["name"], file["kind"]) for file in own_files(tmp_path, {FIRST})]
    assert listed == [("a folder", "folder"), ("my own.ipynb", "notebook"), ("Zebra.txt", "ordinary")]


def test_a_progress_file_of_any_size_or_kind_is_no_trouble(tmp_path: Path) -> None:
    """It neither fills the memory nor hangs the server."""
    record, nothing = tasks.Record(tasks={"fours": tasks.Answer(True, "counts[4]")}), tasks.Record()
    (tmp_path / "whole").write_text(record.text())
    (tmp_path / "long").write_text(record.text() + " " * tasks.LARGEST)
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("/dev/zero")
    assert progress(tmp_path / "whole") == record
    for name in ("long", "fifo", "link", "missing"):
        assert progress(tmp_path / name) == nothing


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
    assert student.ask("POST", "/start/lesson", data=b"\xff").status_code == 400
    without = {"X-XSRFToken": "none"}
    assert student.ask("POST", "/start/lesson", json={"name": THIRD}, headers=without).status_code == 403
    assert not path.exists()


@pytest.mark.root
def test_another_account_is_told_nothing(server: Server) -> None:
    name = status_socket_name(server.hashed)
    ask = f"import socket; it = socket.socket(socket.AF_UNIX); it.connect('\\x00{name}'); print(it.recv(1000))"
    for account, answer in ((STUDENT.pw_uid, "running"), (STUDENT.pw_uid - 1, "b''")):
        command = ["/usr/bin/python3", "-c", ask]
        done = subprocess.run(command, capture_output=True, text=True, user=account, timeout=600)
        assert answer in done.stdout, done.stderr


def test_the_teacher_is_told_which_tasks_are_right_and_since_when(tmp_path: Path) -> None:
    """The file is read again when it has changed; it may be anything."""
    path = tmp_path / tasks.FILE
    assert tasks_of(path) == {"tasks": {}, "typed": {}, "answered": 0}
    for right, when in ((False, 100), (True, 200)):
        path.write_text(tasks.Record(tasks={"fours": tasks.Answer(right, "counts[4]")}).text())
        os.utime(path, (when, when))
        assert tasks_of(path) == {"tasks": {"fours": right}, "typed": {"fours": "counts[4]"}, "answered": when}
    path.write_text("[")
    os.utime(path, (-5, -5))
    assert tasks_of(path) == {"tasks": {}, "typed": {}, "answered": 0}


def test_the_teacher_is_told_when_a_lesson_was_opened(server: Server) -> None:
    began = time.time()
    client = server.student()
    opened = client.open_notebook(FIRST)
    with socket.socket(socket.AF_UNIX) as teacher:
        teacher.connect(f"\0{status_socket_name(server.hashed)}")
        answer = json.loads(teacher.makefile().read())
    assert misfit(answer, ANSWER) == ""
    assert began - 1 < answer["running"][0]["began"] < time.time() + 1
    client.delete(f"/api/sessions/{opened['id']}")  # other tests have this server, too


def test_lack_of_memory_is_told_apart_from_other_reasons() -> None:
    """By the signal, and by Linux's count of the processes that it has killed for lack of memory."""
    assert kernel_manager.reason_for(-9, 1) == kernel_manager.OUT_OF_MEMORY
    assert {kernel_manager.reason_for(*case) for case in ((-9, 0), (1, 1), (None, 1))} == {kernel_manager.STOPPED}


def test_a_messages_time_is_over(tmp_path: Path) -> None:
    file = tmp_path / "message"
    assert message(file) is None
    file.write_text(json.dumps({"text": "Five more minutes", "minutes": 45}))
    for minutes, shown in ((0, 0), (3, 3), (-500, 0), (44, 44), (45, None)):
        os.utime(file, (time.time() - 60 * minutes - 5,) * 2)
        assert message(file) == (None if shown is None else {"text": "Five more minutes", "minutes": shown})
    file.write_text("[]")
    assert message(file) is None


def test_unused_programs_are_ended_ever_sooner_while_memory_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    kernels = kernel_manager.Kernels(cull_idle_timeout=3600)
    seconds = []
    for free in (59, 59, 59, 59, 500):
        monkeypatch.setattr(kernel_manager, "memory", lambda free=free: {"free": free})
        asyncio.run(kernels.cull_kernels())
        seconds.append(kernels.cull_idle_timeout)
    assert seconds == [1800, 900, 600, 600, 3600]
