"""The Pis are asked again and again, each by itself, for what the desk's live pages show."""

import json
import os
import pwd
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.errors import AnsibleConnectionFailure

from ansible_collections.mynn.pi.plugins.action import live_page as action
from ansible_collections.mynn.pi.plugins.modules import live_page as module
from tests.support.classroom import until
from tests.support.student import STUDENT, as_root, give_to_student

LARGEST = 1000
OUR_UID = os.geteuid()


# On a Pi


def test_a_pi_answers_as_soon_as_something_changes_or_when_its_time_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    looks, slept = list[str](), list[float]()
    monkeypatch.setattr(module, "time", SimpleNamespace(sleep=slept.append, monotonic=lambda: sum(slept)))

    def look(page: str, times: int) -> module.Look:
        """A page of which something new is there only after so many looks."""

        def look(known: dict[str, str]) -> dict[str, tuple[str, str | None]]:
            looks.append(page)
            return {} if looks.count(page) < times else {"ada": ("2", "other")}

        return look

    pages = {"wall": look("wall", 5), "class": look("class", 99)}
    intervals, since = {"wall": 5.0, "class": 12.0}, {"wall": 0.0, "class": 0.0}
    # In a while: no more often than each page is to be looked at, and each as often as that.
    assert module.wait(pages, intervals, {}, since, 300.0) == {"wall": {"ada": ("2", "other")}, "class": {}}
    assert sum(slept) == 25.0 and looks.count("class") == 2
    assert module.wait({"class": pages["class"]}, intervals, {}, since, 20.0) == {"class": {}} and sum(slept) == 45.0
    looks.clear()
    assert module.wait(pages, intervals, {}, {}, 0.0) == {"wall": {}, "class": {}}  # once, at once
    assert looks == ["wall", "class"]


@pytest.fixture
def home(open_folder: Path) -> Path:
    """A student's folder."""
    give_to_student(open_folder)
    return open_folder


def shown(home: Path, known: str = "") -> Any:
    """Return what a student shows, who had shown what has the version `known`; None if nothing else is there."""
    return module.files(lambda: {"ada": (STUDENT, home / "shown")}, LARGEST)({"ada": known}).get("ada")


def test_only_a_small_text_file_is_shown_and_read_again_once_it_has_changed(home: Path) -> None:
    path, secret = home / "shown", home / "secret"
    assert shown(home) is None
    assert shown(home, "1 2 3 4") == ("", None)
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
        assert shown(home)[1] is None
        path.rmdir() if path.is_dir() else path.unlink()
        path.write_text("mine")
        version, text = shown(home)
        assert text == "mine" and len(version) < 100
        assert shown(home, version) is None
        path.unlink()


@as_root
def test_files_are_read_with_the_students_powers(home: Path) -> None:
    """A file of root's cannot be shown, even through a link in place of the student's folder."""
    roots = home / "roots"
    roots.mkdir(mode=0o700)
    (roots / "shown").write_text("secret")
    (home / "notebooks").symlink_to(roots)
    assert shown(home / "notebooks")[1] is None
    (home / "shown").write_text("secret")
    (home / "shown").chmod(0o600)
    assert shown(home)[1] is None


@contextmanager
def run_server(answer: Callable[[socket.socket], Any], name: str = "") -> Iterator[str]:
    """A server at an abstract socket, whose name it yields. answer: what it does with the first connection."""
    name = name or uuid.uuid4().hex

    def serve() -> None:
        with suppress(OSError):
            answer(listening.accept()[0])

    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"\0{name}")
        listening.listen()
        threading.Thread(target=serve, daemon=True).start()
        yield name


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
    monkeypatch.setattr(module, "ANSWER", 600)
    asked, told, dripped = threading.Event(), list[bool](), list[int]()

    def be_good(connection: socket.socket) -> None:
        asked.set()
        connection.sendall(b"hello")

    def drip(connection: socket.socket) -> None:
        while True:
            dripped.append(connection.send(b"x"))
            time.sleep(0.05)

    with (
        run_server(lambda _: told.append(asked.wait(600))) as held,  # until the next one is asked
        run_server(lambda connection: connection.sendall(b"x" * (LARGEST + 1))) as endless,
        run_server(be_good) as good,
        run_server(lambda connection: connection.sendall(b"imitated")) as imitated,
        take_name() as deaf,
        take_name(socket.SOCK_DGRAM) as datagrams,
        take_name(waiting=0) as full,
    ):
        names = {"held": held, "endless": endless, "good": good, "off": "nobody's", "none": ""}
        others = {"other": imitated, "deaf": deaf, "datagrams": datagrams, "full": full}
        places = {student: (OUR_UID, name) for student, name in names.items()}
        places |= {student: (OUR_UID + 1, name) for student, name in others.items()}
        bad = dict.fromkeys(("held", "endless"), "")
        look = module.servers(lambda: places, LARGEST)
        answers = {name: text for name, (_, text) in look(dict.fromkeys(places, "other")).items()}
        asleep = {"off": None, "none": None}
        assert answers == bad | asleep | {"good": "hello"} | dict.fromkeys(others, module.STRANGER) and told == [True]
    monkeypatch.setattr(module, "ANSWER", 0.2)
    with run_server(lambda _: told.append(asked.wait(600))) as silent, run_server(drip) as slow:
        asked.clear()
        assert [module.answer_of(OUR_UID, name, LARGEST) for name in (silent, slow)] == ["", ""]
    assert told == [True] and len(dripped) < LARGEST


def test_a_server_that_is_set_up_while_the_pi_waits_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    account = pwd.getpwuid(OUR_UID)
    student = {"folder": str(tmp_path), "hash_file": f"{tmp_path}/hash"}
    params = {"pages": {"class": 0.05}, "students": {"ada": student}, "file": "", "largest": LARGEST}
    params |= {"known": {}, "since": {}, "patience": 120}
    answers: list[Any] = []
    looks: list[object] = []

    def accounts() -> list[pwd.struct_passwd]:
        looks.append(None)  # the second look finds the account
        return [pwd.struct_passwd(("ada", *account[1:]))] if len(looks) > 1 else []

    fake = SimpleNamespace(params=params, exit_json=lambda **answer: answers.append(answer["shown"]))
    monkeypatch.setattr(module, "AnsibleModule", lambda *_, **__: fake)
    monkeypatch.setattr(module, "pwd", SimpleNamespace(getpwall=accounts, struct_passwd=pwd.struct_passwd))
    waiting = threading.Thread(target=module.main)
    waiting.start()
    until(lambda: len(looks) > 3)
    (tmp_path / "new").write_text("a hash")
    with run_server(lambda connection: connection.sendall(b"hello"), module.socket_name(tmp_path / "new")):
        (tmp_path / "new").rename(tmp_path / "hash")
        waiting.join(60)
    assert [text for _, text in (shown["class"]["ada"] for shown in answers)] == ["hello"]


# On the control node, for each Pi


class ActionRun:
    """A run of the action against a Pi that gives these answers, one after another. After the last, the run ends."""

    def __init__(self, answers: list[Any], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.requests: list[dict[str, Any]] = []
        self.known: list[dict[str, str]] = []
        self.slept: list[float] = []
        self.closed: list[str] = []
        # The parent process is another one when the run has ended.
        monkeypatch.setattr(action.os, "getppid", lambda: len(self.requests) > len(answers))
        monkeypatch.setattr(action, "time", SimpleNamespace(sleep=self.slept.append, monotonic=lambda: 5.0))
        task: Any = object.__new__(action.ActionModule)
        arguments = {
            "pages": {"wall": 2},
            "students": {name: {"url": name} for name in ("ada", "bo")},
            "largest": LARGEST,
        }
        arguments["answers"] = str(folder)
        task._task = SimpleNamespace(args=arguments, async_val=0)
        task._connection = SimpleNamespace(close=lambda: self.closed.append("closed"))
        answered = iter([*answers, {"shown": {}}])

        def execute(name: str, module_args: dict[str, Any], task_vars: Any) -> Any:
            self.requests.append(module_args)
            self.known.append(dict(module_args["known"]["wall"]))
            answer = next(answered)
            if isinstance(answer, Exception):
                raise answer
            return answer

        task._execute_module = execute
        monkeypatch.setattr(action.ActionBase, "run", lambda *_: {})
        self.result = task.run(None, {"inventory_hostname": "pi-01", "ansible_play_hosts_all": ["pi-02", "pi-01"]})
        self.written = json.loads((folder / "pi-01.json").read_text())


def news(**shown: Any) -> dict[str, Any]:
    """Return a Pi's answer."""
    return {"shown": {"wall": {name: [f"version of {text}", text] for name, text in shown.items()}}}


def test_each_request_says_what_is_known_from_the_last_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = ActionRun([news(ada="first"), news(bo="x"), news(ada=None)], tmp_path, monkeypatch)
    first = {"ada": "version of first"}
    assert [request["patience"] for request in run.requests] == [0, *[action.PATIENCE] * 3]
    assert [request["since"] for request in run.requests] == [{}, *[{"wall": 0.0}] * 3]
    assert run.known == [{}, first, first | {"bo": "version of x"}, {"ada": "version of None", "bo": "version of x"}]
    assert run.written == {
        "place": 1,
        "students": {"ada": "ada", "bo": "bo"},
        "shown": {"wall": {"bo": "x"}},
        "lost": "",
    }
    assert (run.closed, run.slept) == ([], [action.AGAIN] * 4)


@pytest.mark.parametrize(
    "failure",
    [AnsibleConnectionFailure("connect to port 22:\nno route\x1b[2J"), AttributeError("no route\x1b[2J\n  File x")],
    ids=["off", "going"],
)
def test_what_a_pi_that_is_off_has_shown_stays_and_it_is_asked_again(
    failure: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = ActionRun([news(ada="first"), failure], tmp_path, monkeypatch)
    assert (run.written["shown"], run.written["lost"]) == ({"wall": {"ada": "first"}}, r"no route\x1b[2J")
    assert (run.closed, run.slept) == (["closed"], [action.AGAIN, action.PAUSE, action.AGAIN])
    assert (run.requests[-1]["patience"], run.requests[-1]["since"]) == (0, {})


@pytest.mark.parametrize(
    "shown",
    [
        "x",
        {"other": {}},
        *({"wall": wall} for wall in ("x", {"../ada": ["1", "x"]}, {"ada": "x"}, {"ada": ["1"]}, {"ada": ["1", 5]})),
        *(
            {"wall": {"ada": pair}}
            for pair in (["1", "x" * (LARGEST + 1)], ["1" * 101, "x"], ["1", "x", "x"], ["1", "\ud800"])
        ),
    ],
)
def test_an_invalid_answer_is_not_shown(shown: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = ActionRun([news(ada="first"), {"shown": shown}], tmp_path, monkeypatch)
    assert run.written["shown"] == {"wall": {"ada": "first"}}
    assert run.written["lost"].startswith("its answer is invalid")


def test_a_missing_sudo_password_ends_the_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = ActionRun([AnsibleConnectionFailure("sudo password is required")], tmp_path, monkeypatch)
    assert run.result == {"failed": True, "msg": "sudo password is required"}
