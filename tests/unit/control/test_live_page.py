"""What `make wall` and `make watch` have in common: the Pis are asked again and again, each by itself."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.errors import AnsibleConnectionFailure

from ansible_collections.mynn.pi.plugins.action import live_page as action
from ansible_collections.mynn.pi.plugins.modules import live_page as module
from tests.support.classroom import ROOT, until
from tests.support.student import STUDENT, as_root, give_to_student

LARGEST = 1000
OUR_UID = os.geteuid()


def digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


# On a Pi


def test_a_pi_answers_as_soon_as_something_changes_or_when_its_time_is_up() -> None:
    shown = [{"ada": "first"}] * 3 + [{"ada": "other"}]
    assert module.wait(lambda: shown[0], {}, 0.0, 30.0) == {"ada": "first"}  # once, at once
    began = time.monotonic()
    assert module.wait(lambda: shown.pop(0), {"ada": digest("first")}, 30.0, 0.05) == {"ada": "other"}
    assert time.monotonic() - began > 4 * 0.05  # and no more often than it is asked to look
    assert module.wait(lambda: {"ada": "first"}, {"ada": digest("first")}, 0.2, 0.05) == {"ada": "first"}


@pytest.fixture
def home(open_folder: Path) -> Path:
    """A student's folder."""
    give_to_student(open_folder)
    return open_folder


def files(home: Path) -> module.Look:
    return module.files({"ada": (STUDENT, home / "shown")}, LARGEST)


def test_only_a_small_text_file_is_shown_and_read_again_once_it_has_changed(home: Path) -> None:
    path, secret, look = home / "shown", home / "secret", files(home)
    assert look() == {}
    secret.write_text("secret")
    for make in (
        lambda: path.symlink_to(secret),
        path.mkdir,
        lambda: os.mkfifo(path),
        lambda: path.write_text("x" * (LARGEST + 1)),
        lambda: path.write_bytes(b"\xff\xfe"),
        lambda: path.symlink_to(path),
    ):
        make()
        assert look() == {}
        path.rmdir() if path.is_dir() else path.unlink()
        path.write_text("mine")
        assert look() == look() == {"ada": "mine"}
        path.unlink()


@as_root
def test_files_are_read_with_the_students_powers(home: Path) -> None:
    """A file of root's cannot be shown, even through a link in place of the student's folder."""
    roots = home / "roots"
    roots.mkdir(mode=0o700)
    (roots / "shown").write_text("secret")
    (home / "notebooks").symlink_to(roots)
    assert files(home / "notebooks")() == {}
    (home / "shown").write_text("secret")
    (home / "shown").chmod(0o600)
    assert files(home)() == {}


@contextmanager
def run_server(answer: Callable[[socket.socket], Any]) -> Iterator[str]:
    """A server at an abstract socket, whose name it yields. answer: what it does with the first connection."""
    name = uuid.uuid4().hex

    def serve() -> None:
        with suppress(OSError):
            answer(listening.accept()[0])

    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"\0{name}")
        listening.listen()
        threading.Thread(target=serve, daemon=True).start()
        yield name


def drip(connection: socket.socket) -> None:
    while True:
        connection.sendall(b"x")
        time.sleep(0.05)


@contextmanager
def take_name(kind: socket.SocketKind = socket.SOCK_STREAM, waiting: int | None = None) -> Iterator[str]:
    """Take a socket's name, and do not listen; or listen, with a queue of this length that is full."""
    name = uuid.uuid4().hex
    with ExitStack() as opened:
        opened.enter_context(taken := socket.socket(socket.AF_UNIX, kind)).bind(f"\0{name}")
        if waiting is not None:
            taken.listen(waiting)
            for _ in range(waiting + 1):
                opened.enter_context(socket.socket(socket.AF_UNIX)).connect(f"\0{name}")
        yield name


def test_each_server_is_asked_and_a_bad_one_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even one that is silent, endless, or so slow that it never ends. Another account's is told.

    So is one that takes no connections.
    """
    monkeypatch.setattr(module, "ANSWER", 0.5)
    began = time.monotonic()
    with (
        run_server(lambda _: time.sleep(60)) as silent,
        run_server(lambda connection: connection.sendall(b"x" * (LARGEST + 1))) as endless,
        run_server(drip) as slow,
        run_server(lambda connection: connection.sendall(b"hello")) as good,
        run_server(lambda connection: connection.sendall(b"imitated")) as imitated,
        take_name() as deaf,
        take_name(socket.SOCK_DGRAM) as datagrams,
        take_name(waiting=0) as full,
    ):
        names = {"silent": silent, "endless": endless, "slow": slow, "good": good, "off": "nobody's", "none": ""}
        others = {"other": imitated, "deaf": deaf, "datagrams": datagrams, "full": full}
        places = {student: (OUR_UID, name) for student, name in names.items()}
        places |= {student: (OUR_UID + 1, name) for student, name in others.items()}
        bad = dict.fromkeys(("silent", "endless", "slow"), "")
        assert module.servers(places, LARGEST)() == bad | {"good": "hello"} | dict.fromkeys(others, module.STRANGER)
    assert time.monotonic() - began < 10


# On the control node, for each Pi


class ActionRun:
    """A run of the action against a Pi that gives these answers, one after another. After the last, the run ends."""

    def __init__(self, answers: list[Any], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.requests: list[dict[str, Any]] = []
        self.slept: list[float] = []
        self.closed: list[str] = []
        # The parent process is another one when the run has ended.
        monkeypatch.setattr(action.os, "getppid", lambda: len(self.requests) > len(answers))
        monkeypatch.setattr(action, "time", SimpleNamespace(sleep=self.slept.append))
        task: Any = object.__new__(action.ActionModule)
        arguments = {"page": "wall", "students": {"ada": {}, "bo": {}}, "largest": LARGEST, "answers": str(folder)}
        task._task = SimpleNamespace(args=arguments, async_val=0)
        task._connection = SimpleNamespace(close=lambda: self.closed.append("closed"))
        answered = iter([*answers, {"shown": {}}])

        def execute(name: str, module_args: dict[str, Any], task_vars: Any) -> Any:
            self.requests.append(module_args)
            answer = next(answered)
            if isinstance(answer, Exception):
                raise answer
            return answer

        task._execute_module = execute
        monkeypatch.setattr(action.ActionBase, "run", lambda *_: {})
        self.result = task.run(None, {"inventory_hostname": "pi-01", "ansible_play_hosts_all": ["pi-02", "pi-01"]})
        self.written = json.loads((folder / "pi-01.json").read_text())


def test_each_request_says_what_is_known_from_the_last_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = ActionRun([{"shown": {"ada": "first"}}, {"shown": {"bo": "x"}}], tmp_path, monkeypatch)
    assert [request["known"] for request in run.requests] == [{}, {"ada": digest("first")}, {"bo": digest("x")}]
    assert [request["patience"] for request in run.requests] == [0, action.PATIENCE, action.PATIENCE]
    assert run.written == {"place": 1, "students": ["ada", "bo"], "shown": {"bo": "x"}, "lost": ""}
    assert (run.closed, run.slept) == ([], [])


def test_what_a_pi_that_is_off_has_shown_stays_and_it_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failure = AnsibleConnectionFailure("connect to port 22:\nno route\x1b[2J")
    run = ActionRun([{"shown": {"ada": "first"}}, failure], tmp_path, monkeypatch)
    assert (run.written["shown"], run.written["lost"]) == ({"ada": "first"}, r"no route\x1b[2J")
    assert (run.closed, run.slept) == (["closed"], [action.PAUSE])
    assert run.requests[-1]["patience"] == 0


@pytest.mark.parametrize("shown", ["x", {"../ada": "x"}, {"ada": 5}, {"ada": "x" * (LARGEST + 1)}])
def test_an_invalid_answer_is_not_shown(shown: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = ActionRun([{"shown": {"ada": "first"}}, {"shown": shown}], tmp_path, monkeypatch)
    assert run.written["shown"] == {"ada": "first"}
    assert run.written["lost"].startswith("its answer is invalid")


def test_a_missing_sudo_password_ends_the_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = ActionRun([AnsibleConnectionFailure("sudo password is required")], tmp_path, monkeypatch)
    assert run.result == {"failed": True, "msg": "sudo password is required"}


# The whole program, with a playbook that only writes an answer


PLAYBOOK = """
import json, pathlib, sys, time
extra = json.loads(sys.argv[sys.argv.index("--extra-vars") + 1])
answer = {"place": 0, "students": [], "shown": {"ada": sys.argv[1]}, "lost": ""}
pathlib.Path(extra["live_page_answers"], "pi-01.json").write_text(json.dumps(answer))
try:
    time.sleep(60)
except KeyboardInterrupt:
    time.sleep(1)
"""


def test_a_second_one_is_refused_and_a_killed_one_ends_its_playbook_and_leaves_the_page(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mynn_control.wall", str(tmp_path / "wall")]
    command += [sys.executable, "-c", PLAYBOOK, '{"version": 1, "name": "Ada", "score": 0.9}']
    page = tmp_path / "wall/index.html"
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    until(lambda: page.exists() and "<bdi>Ada</bdi>" in page.read_text())
    second = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=30)
    assert second.returncode == 1 and "already on, in another terminal" in second.stderr
    process.terminate()
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)  # an impatient teacher presses Ctrl-C, too
    output, _ = process.communicate(timeout=20)  # the playbook's end of the pipe is closed, too
    assert process.returncode == 0 and "The wall has ended." in output
    assert "<bdi>Ada</bdi>" in page.read_text()
