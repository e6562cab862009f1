"""What the teacher sees of a lesson: asked from the notebook servers with care, and shown as text."""

from __future__ import annotations

import base64
import json
import os
import re
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import watch_page
from playwright.sync_api import Page, expect
from watch_page import Seat, heard
from watch_server import Watch

from ansible_collections.mynn.pi.plugins.module_utils.lessons import outline
from ansible_collections.mynn.pi.plugins.module_utils.live_page import Server
from ansible_collections.mynn.pi.plugins.modules import watch as module

ROOT = Path(__file__).resolve().parents[3]
LESSONS = {"part2_mnist_data_set": "Part 2: the MNIST data set", "part2_neural_network": "Part 2: a network"}
PHONE = {"width": 390, "height": 844}


def program(path: str = "part2_mnist_data_set.ipynb", **more: Any) -> dict[str, Any]:
    return {"path": path, "busy": False, "quiet": 0, "died": ""} | more


def said(*programs: dict[str, Any], free: int = 200, total: int = 427) -> str:
    return json.dumps({"running": programs, "free": free, "total": total})


def seat(pi: str = "pi-01", text: str | None = None, student: str = "", lost: str | None = "") -> Seat:
    return Seat(pi, student, lost, heard(text))


# On a Pi


@contextmanager
def speaking(answer: Callable[[socket.socket], Any]) -> Iterator[str]:
    """A server at an abstract socket, whose name it yields. answer: what it does with each connection."""
    name = uuid.uuid4().hex
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(f"\0{name}")
    listening.listen()

    def serve() -> None:
        with ExitStack() as held:  # what is neither answered nor closed stays open
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                held.callback(connection.close)
                answer(connection)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield name
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join(5)


def tell(text: bytes) -> Callable[[socket.socket], None]:
    def answer(connection: socket.socket) -> None:
        with suppress(BrokenPipeError):  # whoever asked has hung up
            connection.sendall(text)
        connection.close()

    return answer


OURS = os.geteuid()


def test_a_silent_server_holds_up_no_other() -> None:
    began = time.monotonic()
    with speaking(lambda _: None) as ada, speaking(tell(b"hello")) as bo:
        servers = {"ada": (OURS, ada), "bo": (OURS, bo), "cy": (OURS, "nobody's"), "dee": (OURS, "")}
        assert module.ask(servers, 0.5) == {"ada": "", "bo": "hello"}
    assert time.monotonic() - began < 5


def test_what_another_account_says_in_its_place_is_not_heard() -> None:
    with speaking(tell(b"imitated")) as name:
        assert module.ask({"ada": (OURS + 1, name)}, 5.0) == {}


def test_an_endless_answer_counts_as_none() -> None:
    def endless(connection: socket.socket) -> None:
        connection.settimeout(5)
        try:
            while True:
                connection.sendall(b"x" * 10_000)
        except OSError:
            pass

    with speaking(endless) as name:
        assert module.ask({"ada": (OURS, name)}, 5.0) == {"ada": ""}


def test_it_answers_once_something_is_new() -> None:
    words = [b"first", b"first", b"other", b"other"]
    with speaking(lambda connection: tell(words.pop(0))(connection)) as name:
        servers = {"ada": (OURS, name)}
        began = time.monotonic()
        assert module.look(servers, {}, 0.0, 5.0) == {"ada": "first"}  # at once
        known = {"ada": sha256(b"first").hexdigest()}
        assert module.look(servers, known, 30.0, 0.1) == {"ada": "other"}
        assert 0.2 <= time.monotonic() - began < 5
    assert words == [b"other"]


def test_it_answers_when_patience_ends() -> None:
    began = time.monotonic()
    assert module.look({"ada": (OURS, "nobody's")}, {}, 0.3, 0.1) == {}
    assert 0.3 <= time.monotonic() - began < 5


def test_a_socket_has_a_name_that_only_the_server_and_root_know(tmp_path: Path) -> None:
    (tmp_path / "password").write_bytes(b"argon2:x\ncertificate")
    assert module.name_of(tmp_path / "password") == sha256(b"teacherargon2:x").hexdigest()
    assert module.name_of(tmp_path / "missing") == ""


# The page


def test_the_page_asks_nobody_for_anything_and_runs_only_our_script() -> None:
    page = watch_page.page([seat(text=said(program()))], LESSONS)
    assert set(re.findall(r"(?:src|href|url)\s*[=(]\s*[\"']?([a-z]+:)", page)) == {"data:"}
    [script] = re.findall(r"<script>(.*?)</script>", page, re.S)
    digest = base64.b64encode(sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page
    assert "default-src 'none'" in page


def test_a_notebooks_name_is_text() -> None:
    wicked = "<script>alert(1)</script>\u202e\x1b.ipynb"
    page = watch_page.page([seat(text=said(program(wicked))), seat("pi-02", lost="<b>no route</b>")], LESSONS)
    assert "<script>alert" not in page and "<b>" not in page
    assert "\u202e" not in page and "\x1b" not in page


@pytest.mark.parametrize(
    "lie",
    [
        "[" * 30_000,
        "5",
        "null",
        "{}",
        "{" * 5,
        said(total=0),
        said(free=-1),
        json.dumps({"running": [], "free": 1, "total": 2, "more": 3}),
        said(*[program()] * 51),
        *(said(program(**wrong)) for wrong in ({"path": 5}, {"path": "x" * 301}, {"busy": "yes"}, {"died": "<b>"})),
        *(said(program(**wrong)) for wrong in ({"quiet": 1e99}, {"quiet": None}, {"more": 1})),
        said(program()).replace("200", "NaN"),
    ],
)
def test_a_server_that_lies_is_not_shown(lie: str) -> None:
    answer = heard(lie)
    assert answer and answer.wrong and not answer.running
    assert "what no notebook server says" in watch_page.page([seat(text=lie)], LESSONS)


def test_a_lesson_has_its_title_and_another_notebook_its_name() -> None:
    assert watch_page.titled("part2_mnist_data_set.ipynb", LESSONS) == ("The MNIST data set", True)
    assert watch_page.titled("old/part2_neural_network.ipynb", LESSONS) == ("A network", True)
    assert watch_page.titled("mine/try.ipynb", LESSONS) == ("try.ipynb", False)
    assert watch_page.titled("part2_neural_network.txt", LESSONS) == ("part2_neural_network.txt", False)
    assert watch_page.titled("", LESSONS) == ("?", False)


@pytest.mark.parametrize(
    ("one", "words", "faults"),
    [
        (seat(text=said()), "Nothing open", 0),
        (seat(text=said(program())), "Open", 0),
        (seat(text=said(program(), program(busy=True))), "Working", 0),
        (seat(text=said(program(died="memory"))), "It ran out of memory.", 1),
        (seat(text=said(program(), free=50)), "Memory is short", 1),
        (seat(text=""), "Wait for a minute", 1),
        (seat(text=None), "No notebook server yet", 0),
        (seat(text=None, student="ada"), "Not signed in", 0),
        (seat(text=None, lost=None), "Asking", 0),
        (seat(text=said(program()), lost="no route"), "Does not answer", 1),
        (seat(text=said(program(quiet=15))), "Quiet for 15 min", 0),
    ],
)
def test_what_is_said_of_a_seat(one: Seat, words: str, faults: int) -> None:
    page = watch_page.page([one], LESSONS)
    assert words in page
    assert page.count("1</strong> to look at") == faults


class Room:
    """The page while it is served, and the Pis' answers."""

    def __init__(self, answers: Path) -> None:
        self.answers = answers
        self.watch = Watch(answers, LESSONS)
        self.watch.look()
        self.server = Server(self.watch, 0)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def begin(self, **pis: list[str]) -> None:
        (self.answers / ".pis").write_text(json.dumps({pi.replace("_", "-"): names for pi, names in pis.items()}))
        self.watch.look()

    def answer(self, pi: str, lost: str = "", **texts: str) -> None:
        path = self.answers / f"{pi}.json"
        path.write_text(json.dumps({"shown": texts, "lost": lost}))
        os.utime(path, ns=(time.time_ns(),) * 2)
        self.watch.look()


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    room = Room(tmp_path)
    yield room
    room.server.shutdown()
    room.server.server_close()


def test_the_page_follows_by_itself(room: Room, browser_page: Page) -> None:
    """Each Pi has its place from the beginning, in the inventory's order."""
    page = browser_page
    page.goto(room.server.url)
    expect(page.get_by_text("Asking the Pis …")).to_be_visible()
    room.begin(pi_02=["student"], pi_01=["ada", "bo"])
    expect(page.locator("article h2 bdi")).to_have_text(["pi-02", "pi-01", "pi-01"])
    room.answer("pi-01", ada=said(program(busy=True)))
    expect(page.locator("article").nth(1)).to_contain_text("The MNIST data set")
    expect(page.locator("article .word")).to_have_text(["Asking …", "Working", "Not signed in"])
    expect(page.locator("header li")).to_have_text(
        ["1 of 2 Pis answer", "1 with a lesson open", "1 working now"], use_inner_text=True
    )
    room.answer("pi-02", lost="no route")
    expect(page.locator("article").first).to_contain_text("Does not answer")
    expect(page.locator("header .faulty")).to_have_text("1 to look at")
    room.answer("pi-02", student=said())
    expect(page.locator("article .word").first).to_have_text("Nothing open")
    room.server.shutdown()
    room.server.server_close()
    expect(page.get_by_text("The watch has ended. This is what it last showed.")).to_be_visible()


def a_class() -> list[Seat]:
    """Thirty Pis in a lesson, as they might be."""
    seats = []
    for number in range(1, 31):
        pi = f"pi{number:02}.local"
        lesson = "part2_neural_network_mnist_improved" if number % 5 else "part2_neural_network_mnist_data"
        here = program(f"{lesson}.ipynb", busy=number % 4 == 1, quiet=5 * (number % 7 == 3))
        special = {
            7: seat(pi, lost="connect to host pi07.local port 22: No route to host"),
            12: seat(pi, ""),
            18: seat(pi, said(program(died="memory"), free=210)),
            21: seat(pi, said(here, program(quiet=25), program("my own try.ipynb", quiet=40), free=40)),
            25: seat(pi, said(free=270)),
            26: seat(pi, None, lost=None),
        }
        seats.append(special.get(number) or seat(pi, said(here, free=150 + 10 * (number % 5))))
    return seats


@pytest.mark.parametrize("size", [{"width": 1280, "height": 800}, PHONE])
def test_a_class_of_thirty_fits(size: Any, browser_page: Page, tmp_path: Path) -> None:
    """On a laptop without scrolling; on a phone without scrolling sideways."""
    titles = {name: lesson.title for name, lesson in outline(ROOT / "notebooks").items()}
    (tmp_path / "index.html").write_text(watch_page.page(a_class(), titles), encoding="utf-8")
    browser_page.set_viewport_size(size)
    browser_page.goto(f"file://{tmp_path}/index.html")
    assert browser_page.locator("article").count() == 30
    assert browser_page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    if size["width"] > 1000:
        assert browser_page.evaluate("document.documentElement.scrollHeight") <= size["height"]
        (ROOT / "dist/screenshots").mkdir(parents=True, exist_ok=True)
        browser_page.screenshot(path=ROOT / "dist/screenshots/watch.png")
