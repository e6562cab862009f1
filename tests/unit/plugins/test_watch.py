"""The watch: what the notebook servers say is checked, and shown to the teacher as text."""

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
def run_server(answer: Callable[[socket.socket], Any]) -> Iterator[str]:
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


def reply(text: bytes) -> Callable[[socket.socket], None]:
    def answer(connection: socket.socket) -> None:
        with suppress(BrokenPipeError):  # whoever asked has hung up
            connection.sendall(text)
        connection.close()

    return answer


OUR_UID = os.geteuid()


def test_a_silent_server_holds_up_no_other() -> None:
    began = time.monotonic()
    with run_server(lambda _: None) as ada, run_server(reply(b"hello")) as bo:
        servers = {"ada": (OUR_UID, ada), "bo": (OUR_UID, bo), "cy": (OUR_UID, "nobody's"), "dee": (OUR_UID, "")}
        assert module.ask(servers, 0.5) == {"ada": "", "bo": "hello"}
    assert time.monotonic() - began < 5


def test_another_accounts_answer_is_ignored() -> None:
    with run_server(reply(b"imitated")) as name:
        assert module.ask({"ada": (OUR_UID + 1, name)}, 5.0) == {}


def test_an_endless_answer_counts_as_none() -> None:
    def endless(connection: socket.socket) -> None:
        connection.settimeout(5)
        try:
            while True:
                connection.sendall(b"x" * 10_000)
        except OSError:
            pass

    with run_server(endless) as name:
        assert module.ask({"ada": (OUR_UID, name)}, 5.0) == {"ada": ""}


def test_it_answers_as_soon_as_something_changes() -> None:
    answers = [b"first", b"first", b"other", b"other"]
    with run_server(lambda connection: reply(answers.pop(0))(connection)) as name:
        servers = {"ada": (OUR_UID, name)}
        began = time.monotonic()
        assert module.look(servers, {}, 0.0, 5.0) == {"ada": "first"}  # at once
        known = {"ada": sha256(b"first").hexdigest()}
        assert module.look(servers, known, 30.0, 0.1) == {"ada": "other"}
        assert 0.2 <= time.monotonic() - began < 5
    assert answers == [b"other"]


def test_it_answers_when_its_time_is_up() -> None:
    began = time.monotonic()
    assert module.look({"ada": (OUR_UID, "nobody's")}, {}, 0.3, 0.1) == {}
    assert 0.3 <= time.monotonic() - began < 5


def test_a_sockets_name_comes_from_the_passwords_hash(tmp_path: Path) -> None:
    (tmp_path / "password").write_bytes(b"argon2:x\ncertificate")
    assert module.name_of(tmp_path / "password") == sha256(b"teacherargon2:x").hexdigest()
    assert module.name_of(tmp_path / "missing") == ""


# The page


def test_the_page_loads_nothing_and_runs_only_our_script() -> None:
    page = watch_page.page([seat(text=said(program()))], LESSONS)
    assert set(re.findall(r"(?:src|href|url)\s*[=(]\s*[\"']?([a-z]+:)", page)) == {"data:"}
    [script] = re.findall(r"<script>(.*?)</script>", page, re.S)
    digest = base64.b64encode(sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page
    assert "default-src 'none'" in page


def test_a_notebooks_name_is_text() -> None:
    hostile = "<script>alert(1)</script>\u202e\x1b.ipynb"
    page = watch_page.page([seat(text=said(program(hostile))), seat("pi-02", lost="<b>no route</b>")], LESSONS)
    assert "<script>alert" not in page and "<b>" not in page
    assert "\u202e" not in page and "\x1b" not in page


@pytest.mark.parametrize(
    "answer",
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
def test_an_invalid_answer_is_not_shown(answer: str) -> None:
    checked = heard(answer)
    assert checked and checked.wrong and not checked.running
    assert "Its answer is invalid." in watch_page.page([seat(text=answer)], LESSONS)


def test_a_lesson_has_its_title_and_another_notebook_its_name() -> None:
    assert watch_page.titled("part2_mnist_data_set.ipynb", LESSONS) == ("The MNIST data set", True)
    assert watch_page.titled("old/part2_neural_network.ipynb", LESSONS) == ("A network", True)
    assert watch_page.titled("mine/try.ipynb", LESSONS) == ("try.ipynb", False)
    assert watch_page.titled("part2_neural_network.txt", LESSONS) == ("part2_neural_network.txt", False)
    assert watch_page.titled("", LESSONS) == ("?", False)


@pytest.mark.parametrize(
    ("seat", "words", "faults"),
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
def test_a_card_says_how_a_seat_is(seat: Seat, words: str, faults: int) -> None:
    page = watch_page.page([seat], LESSONS)
    assert words in page
    assert page.count("1</strong> to look at") == faults


class RunningWatch:
    """The page of `make watch` while it is served, and the Pis' answers."""

    def __init__(self, answers: Path) -> None:
        self.answers = answers
        self.page = Watch(answers, LESSONS)
        self.page.look()
        self.server = Server(self.page, 0)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def name_pis(self, **pis: list[str]) -> None:
        """Write which Pis and students there are, as the playbook does."""
        (self.answers / ".pis").write_text(json.dumps({pi.replace("_", "-"): names for pi, names in pis.items()}))
        self.page.look()

    def answer(self, pi: str, lost: str = "", **texts: str) -> None:
        path = self.answers / f"{pi}.json"
        path.write_text(json.dumps({"shown": texts, "lost": lost}))
        os.utime(path, ns=(time.time_ns(),) * 2)
        self.page.look()


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[RunningWatch]:
    watch = RunningWatch(tmp_path)
    yield watch
    watch.stop()


def test_the_page_updates_itself(watch: RunningWatch, browser_page: Page) -> None:
    """Each Pi has its place from the beginning, in the inventory's order."""
    page = browser_page
    page.goto(watch.server.url)
    expect(page.get_by_text("Asking the Pis …")).to_be_visible()
    watch.name_pis(pi_02=["student"], pi_01=["ada", "bo"])
    expect(page.locator("article h2 bdi")).to_have_text(["pi-02", "pi-01", "pi-01"])
    watch.answer("pi-01", ada=said(program(busy=True)))
    expect(page.locator("article").nth(1)).to_contain_text("The MNIST data set")
    expect(page.locator("article .word")).to_have_text(["Asking …", "Working", "Not signed in"])
    expect(page.locator("header li")).to_have_text(
        ["1 of 2 Pis answer", "1 with a lesson open", "1 working now"], use_inner_text=True
    )
    watch.answer("pi-02", lost="no route")
    expect(page.locator("article").first).to_contain_text("Does not answer")
    expect(page.locator("header .faulty")).to_have_text("1 to look at")
    watch.answer("pi-02", student=said())
    expect(page.locator("article .word").first).to_have_text("Nothing open")
    watch.stop()
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
