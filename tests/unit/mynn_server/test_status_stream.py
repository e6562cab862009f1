"""What a Pi's program tells the desk of its students."""

import json
import os
import pwd
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from mynn.files import write_text
from mynn_server import status_stream
from mynn_server.credentials import status_socket_name
from mynn_server.talk import FROM_TEACHER, TO_TEACHER, talk
from tests.support.student import STUDENT, give_to_student

LARGEST = 1000
OUR_UID = os.geteuid()


@pytest.fixture
def home(open_folder: Path) -> Path:
    """A student's folder."""
    give_to_student(open_folder)
    return open_folder


class Student:
    """A student whom a Pi's program watches."""

    def __init__(self, folder: Path) -> None:
        asked = {"folder": str(folder), "hash_file": f"{folder}/hash"}
        self.poller = status_stream.Poller({"students": {STUDENT.pw_name: asked}, "file": "shown", "largest": LARGEST})

    def news(self, page: str = "wall") -> list[str | None]:
        """Return what is new on a page."""
        return [*self.poller.news()[page].values()]


def test_only_a_small_text_file_is_shown_and_read_again_once_it_has_changed(home: Path) -> None:
    path, secret, student = home / "shown", home / "secret", Student(home)
    assert student.news() == []
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
        assert student.news() == [None]
        path.rmdir() if path.is_dir() else path.unlink()
        path.write_text("mine")
        assert (student.news(), student.news()) == (["mine"], [])
        path.unlink()
        assert student.news() == [None]


def test_the_desk_may_look_at_notebooks_in_the_students_folder_only(home: Path) -> None:
    for name in ("mine.ipynb", ".hidden.ipynb", "mine.txt"):
        (home / name).write_text('{"cells": []}')
    (home / "link.ipynb").symlink_to(home / "mine.ipynb")
    (home / "none.ipynb").write_text("[]")
    for name in (f"../{home.name}/mine", ".hidden", "mine.txt", "link", "none", "mine.ipynb\n", "mine"):
        asked = name if "." in name[1:] and "/" not in name else f"{name}.ipynb"
        answer = Student(home).poller.answer({"look": [STUDENT.pw_name, asked]})
        assert answer == {"look": {f"{STUDENT.pw_name}/{asked}": "[]" if name == "mine" else None}}
    assert Student(home).poller.answer({"look": ["root", "mine.ipynb"]}) == {"look": {"root/mine.ipynb": None}}


@pytest.mark.root
def test_files_are_read_with_the_students_powers(home: Path) -> None:
    """A file of root's cannot be shown, even through a link in place of the student's folder."""
    roots = home / "roots"
    roots.mkdir(mode=0o700)
    (roots / "shown").write_text("secret")
    (home / "notebooks").symlink_to(roots)
    (home / "shown").write_text("secret")
    (home / "shown").chmod(0o600)
    assert Student(home / "notebooks").news() == Student(home).news() == [None]


@pytest.mark.root
def test_what_a_teacher_says_is_written_with_the_students_powers(home: Path) -> None:
    """A link in place of the student's folder leads nowhere."""
    roots = home / "roots"
    roots.mkdir(mode=0o700)
    (home / "notebooks").symlink_to(roots)
    for folder in (home, home / "notebooks"):
        Student(folder).poller.answer({"tell": {STUDENT.pw_name: '{"place": 1}', "stranger": "x"}})
    assert (
        json.loads((home / FROM_TEACHER).read_text())["place"] == 1 and (home / FROM_TEACHER).owner() == STUDENT.pw_name
    )
    assert [*roots.iterdir()] == []
    Student(home).poller.answer({"tell": {STUDENT.pw_name: ""}})
    assert not (home / FROM_TEACHER).exists()


def test_a_place_in_the_queue_goes_once_it_can_be_written_and_an_answered_call_is_not_opened_again(home: Path) -> None:
    """The teacher has helped while the card was full, and starts the desk again later."""
    student, told = Student(home), {"tell": {STUDENT.pw_name: json.dumps({"lines": [], "place": 1, "helped": 0})}}
    (home / TO_TEACHER).write_text('{"asked": 7}')
    student.poller.answer(told)
    assert (talk(home)["asked"], talk(home)["place"]) == (7, 1)
    with pytest.MonkeyPatch.context() as full:
        full.setattr(status_stream, "write_text", lambda *_: write_text(Path("/dev/full/x"), ""))
        student.poller.answer({"tell": {STUDENT.pw_name: json.dumps({"lines": [], "place": 0, "helped": 7})}})
        assert talk(home)["place"] == 1
    student.news()
    assert (talk(home)["asked"], talk(home)["place"]) == (0, 0)
    Student(home).poller.answer({"tell": {STUDENT.pw_name: ""}})
    assert talk(home)["asked"] == 0


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
    monkeypatch.setattr(status_stream, "ANSWER", 600)
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
        monkeypatch.setattr(status_stream, "socket_name", lambda path: (names | others)[path.name])
        students = {name: {"folder": "/none", "hash_file": name} for name in (*names, *others)}
        found = status_stream.Poller({"students": students, "file": "shown", "largest": LARGEST})
        uids = dict.fromkeys(names, OUR_UID) | dict.fromkeys(others, OUR_UID + 1)
        accounts = [pwd.struct_passwd((name, "x", uid, uid, "", "", "")) for name, uid in uids.items()]
        monkeypatch.setattr(pwd, "getpwall", lambda: accounts)
        bad = dict.fromkeys(("held", "endless"), "")
        assert found.news()["class"] == bad | {"good": "hello"} | dict.fromkeys(others, status_stream.STRANGER)
        assert told == [True]
    monkeypatch.setattr(status_stream, "ANSWER", 0.2)
    with run_server(lambda _: told.append(asked.wait(600))) as silent, run_server(drip) as slow:
        asked.clear()
        assert [status_stream.answer_of(OUR_UID, name, LARGEST) for name in (silent, slow)] == ["", ""]
    assert told == [True] and len(dripped) < LARGEST


def test_it_prints_what_is_new_until_nobody_listens(open_folder: Path) -> None:
    """A server that is set up meanwhile is asked, too."""
    me = pwd.getpwuid(OUR_UID).pw_name
    asked = {"students": {me: {"folder": str(open_folder), "hash_file": f"{open_folder}/hash"}}}
    (open_folder / "shown").write_text("first")
    with subprocess.Popen(
        [sys.executable, "-I", "-m", "mynn_server.status_stream"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as program:
        assert program.stdin and program.stdout
        lines = (json.loads(line) for line in program.stdout)
        assert next(lines) == {"mynn": status_stream.VERSION}
        print(json.dumps(asked | {"file": "shown", "largest": LARGEST}), file=program.stdin, flush=True)
        assert next(lines) == {"class": {}, "wall": {me: "first"}}
        (open_folder / "shown").unlink()
        assert next(lines) == {"class": {}, "wall": {me: None}}
        with run_server(lambda connection: connection.sendall(b"hello"), status_socket_name(b"a hash")):
            (open_folder / "hash").write_text("a hash\n")
            assert next(lines) == {"class": {me: "hello"}, "wall": {}}
        program.stdin.close()
        assert program.wait(600) == 0
