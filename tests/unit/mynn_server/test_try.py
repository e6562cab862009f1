"""What the page /try/ is sent, and what it can keep."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mynn import NeuralNetwork, read_csv, rows
from mynn.checkpoint import for_browser, from_browser
from tests.provisioned.notebook_server import NotebookServer
from tests.support.jupyter_server import Server, run_server
from tests.support.programs import ROOT
from tests.unit.mynn_server.conftest import write

CLIENTS = 30  # a class
LARGE = 8_000_000  # bytes: more than Linux keeps for a client that does not read


def test_a_script_imports_only_what_it_uses() -> None:
    for path in ROOT.glob("mynn*/**/*.js"):
        text = path.read_text(encoding="utf-8")
        imported = re.findall(r"[\w$]+", " ".join(re.findall(r"^import \{(.*?)\} from", text, re.M | re.S)))
        assert not [name for name in imported if re.findall(r"[\w$]+", text).count(name) < 2], path


@pytest.fixture(scope="module")
def ready(networks: Path) -> Iterator[Path]:
    """What is ready for the page, as links that a test may replace."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "try")
        for made in (folder.parent, folder):
            made.mkdir(exist_ok=True)
            made.chmod(0o755)
        for file in (networks / "try").iterdir():
            (folder / file.name).symlink_to(file)
        yield folder


@pytest.fixture(scope="module")
def server(venv: Path, mnist: Path, ready: Path) -> Iterator[Server]:
    """A server that has all that a Pi has."""
    for package in venv.glob("lib/python*/site-packages/mynn"):
        (package / "network.js").touch()
    with run_server(venv, environment={"MNIST_DIR": str(mnist), "NETWORKS_DIR": str(ready.parent)}) as running:
        yield running


@pytest.fixture
def student(server: Server) -> NotebookServer:
    """A student who has signed in, with nothing kept yet."""
    for name in ("my_network.npz", "my_digits.csv", "my_signs.csv"):
        (server.home / "notebooks" / name).unlink(missing_ok=True)
    student = server.student()
    assert student.ask("GET", "/try/keep").status_code == 204
    return student


def memory_of(server: Server) -> int:
    """Return how many kB the server has."""
    return int(Path(f"/proc/{server.process.pid}/status").read_text().partition("VmRSS:")[2].split()[0])


def test_anybody_gets_the_page_and_the_digits_and_nothing_else(server: Server) -> None:
    """A second visit costs nothing: what the browser has is not sent again."""
    stranger = server.client()
    assert stranger.ask("GET", "/try").headers["Location"] == "/try/"
    for name in ("", "index.html", "network.js", "page.css", "network.bin", "digits.bin", "test.bin"):
        answer = stranger.ask("GET", f"/try/{name}")
        assert answer.status_code == 200, name
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; script-src 'self';") and "unsafe" not in policy
        again = stranger.ask("GET", f"/try/{name}", headers={"If-None-Match": answer.headers["Etag"]})
        assert (again.status_code, again.content) == (304, b"")
    for name in ("..%2fpage.js", "page.js", "%2fetc/passwd", "network.bin/", "digits.bin.gz", "__init__.py"):
        assert stranger.ask("GET", f"/try/{name}").status_code == 404, name


def test_the_digits_are_mnists_and_the_network_reads_them(server: Server, mnist: Path) -> None:
    stranger, testing = server.client(), read_csv(mnist / "mnist_test.csv", limit=1000)
    sent = {name: stranger.ask("GET", f"/try/{name}") for name in ("digits.bin", "test.bin", "network.bin")}
    assert (sent["digits.bin"].headers["Content-Encoding"], len(sent["digits.bin"].content)) == ("gzip", 7_850_000)
    digits = np.frombuffer(sent["test.bin"].content, np.uint8).reshape(-1, 785)
    assert (digits[:, 0] == testing.labels).all() and (digits[:, 1:] == testing.pixels).all()
    assert int(sent["network.bin"].headers["Content-Length"]) < 100_000
    network = NeuralNetwork(784, 50, 10, 0.1)
    network.wih, network.who = from_browser(sent["network.bin"].content)
    assert network.score(testing) > 0.93


def test_a_class_that_loads_all_digits_at_once_takes_little_memory(server: Server, ready: Path) -> None:
    """Thirty tablets that read nothing yet, one that leaves, and somebody who signs in meanwhile."""
    large = ready / "digits.bin.gz"
    large.rename(ready / "small")
    large.touch()
    os.truncate(large, LARGE)
    before = memory_of(server)
    with contextlib.ExitStack() as opened:
        tablets = [opened.enter_context(socket.socket()) for _ in range(CLIENTS + 1)]
        for tablet in tablets:
            tablet.connect(("127.0.0.1", server.port))
            tablet.sendall(b"GET /try/digits.bin HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert {tablet.recv(15) for tablet in tablets} == {b"HTTP/1.1 200 OK"}
        tablets.pop().close()
        assert server.client().ask("GET", "/login").status_code == 200
        assert memory_of(server) - before < 12_000  # kB; all their answers are 240,000
        for tablet in tablets:
            answer = b"".join(iter(functools.partial(tablet.recv, 1 << 20), b""))
            assert len(answer.partition(b"\r\n\r\n")[2]) == LARGE
    assert "Traceback" not in (server.home.parent / "log").read_text()
    (ready / "small").rename(large)


def sent(hidden_nodes: int = 5, answer: int = 7) -> bytes:
    """Return a network that always gives one answer, as a browser sends it."""
    who = np.full((10, hidden_nodes), -5.0)
    who[answer] = 5
    return for_browser(np.zeros((hidden_nodes, 784)), who)


def keep(student: NotebookServer, weights: bytes, about: str = "rate=0.2&rule=gradient") -> Any:
    """Send a network; return the answer."""
    return student.ask("POST", f"/try/network?{about}", data=weights)


def test_a_network_is_kept_unless_a_better_one_is_there(server: Server, student: NotebookServer) -> None:
    """Of the page's 1,000 test digits, 126 are a 1, and 85 a 0."""
    answers = [keep(student, sent(nodes, answer)).json() for nodes, answer in ((5, 0), (6, 1), (7, 0))]
    assert [answer["kept"] for answer in answers] == [True, True, False]
    assert answers[1]["message"].endswith("with 6 hidden nodes, which recognises 12.6% of 1,000 digits.")
    assert "stays as it is: the network in it recognises 12.6%, and this one 8.5%" in answers[2]["message"]
    kept = NeuralNetwork.load(server.home / "notebooks/my_network.npz")
    assert (len(kept.wih), kept.learning_rate, kept.rule) == (6, 0.2, "gradient")


def test_what_is_no_network_for_digits_is_refused_by_a_sentence(server: Server, student: NotebookServer) -> None:
    nan = for_browser(np.full((5, 784), np.nan), np.zeros((10, 5)))
    for weights, about, why in (
        (b"a poem", "rate=0.1&rule=book", "these are not the weights of a network for digits"),
        (b"", "rate=0.1&rule=book", "these are not the weights of a network for digits"),
        (sent()[:-4], "rate=0.1&rule=book", "these are not the weights of a network for digits"),
        (nan, "rate=0.1&rule=book", "some of its weights are not numbers"),
        (sent(), "rate=nan&rule=book", "a learning rate of nan makes no sense"),
        (sent(), "rate=0.1&rule=--help", "there is no rule '--help'"),
    ):
        answer = keep(student, weights, about)
        assert answer.status_code == 400 and answer.json()["message"].startswith(f"Not kept: {why}"), answer.text
    assert not (server.home / "notebooks/my_network.npz").exists()


def line(label: int, seed: int) -> bytes:
    """Return a drawing as a line."""
    return b",".join(b"%d" % number for number in (label, *np.random.default_rng(seed).integers(0, 256, 784).tolist()))


def test_drawings_are_added_once_with_their_last_label(server: Server, student: NotebookServer) -> None:
    place = server.home / "notebooks/my_digits.csv"
    for labels in ((1, 2), (3, 4, 5)):
        body = b"".join(line(label, seed) + b"\n" for seed, label in enumerate(labels))
        answer = student.ask("POST", "/try/drawings", data=body).json()
        assert answer == {"kept": True, "message": f"Kept in my_digits.csv, which has {len(labels)} drawings now."}
    assert read_csv(place).labels.tolist() == [3, 4, 5]
    assert list(place.parent.glob("*.part")) == []
    for body in (b"", b"1,2,3", b"a" + line(1, 1)[1:], line(1, 1) + b",0", b"\n".join([line(1, 1)] * 501)):
        answer = student.ask("POST", "/try/drawings", data=body)
        assert (answer.status_code, answer.json()["message"][:32]) == (400, "These are not 1 to 500 drawings,")
    assert student.ask("POST", "/try/drawings", data=bytes(rows.LONGEST * 501)).status_code == 413
    place.unlink()
    os.mkfifo(place, 0o666)
    assert "rename it" in student.ask("POST", "/try/drawings", data=line(1, 1)).json()["message"]


def test_drawings_for_own_classes_are_kept_taken_away_and_sent_back(server: Server, student: NotebookServer) -> None:
    place = server.home / "notebooks/my_signs.csv"
    assert student.ask("GET", "/try/signs").content == b""
    one, two = (line(0, seed)[1:] for seed in (1, 2))
    for sent, count in (
        (b"\xf0\x9f\x98\x80" + one + b"\nsad" + two, "2 drawings"),
        (one + b"\nSad" + two, "1 drawing"),
    ):
        answer = student.ask("POST", "/try/signs", data=sent)
        assert answer.json() == {"kept": True, "message": f"Kept in my_signs.csv, which has {count} now."}
    assert student.ask("GET", "/try/signs").content == b"Sad" + two
    for sent in (b"", b"a,1,2", b"a,b" + one, b"\n".join([b"a" + one] * 501)):
        answer = student.ask("POST", "/try/signs", data=sent)
        assert (answer.status_code, answer.json()["message"][:32]) == (400, "These are not 1 to 500 drawings ")
    assert place.read_bytes() == b"Sad" + two + b"\n"
    write(server, "my_signs.csv", "a poem")
    for answer in (student.ask("GET", "/try/signs"), student.ask("POST", "/try/signs", data=b"a" + one)):
        assert answer.status_code == 400 and "something other than drawings" in answer.json()["message"]
    assert place.read_text() == "a poem"


def test_only_the_student_keeps_things_and_no_other_site_does(server: Server, student: NotebookServer) -> None:
    stranger, drawing = server.client(), line(1, 1)
    stranger.ask("GET", "/login")  # has the cookie, too
    assert stranger.ask("GET", "/try/keep").status_code == 403
    assert stranger.ask("GET", "/try/signs").status_code == 403
    for path in ("network", "drawings", "signs"):
        assert stranger.ask("POST", f"/try/{path}", data=drawing).status_code == 403
        assert student.ask("POST", f"/try/{path}", data=drawing, headers={"X-XSRFToken": "none"}).status_code == 403
        answer = stranger.ask("POST", f"/try/{path}", data=bytes(100_000))
        assert answer.status_code == 413 and answer.json()["message"].startswith("You are not signed in.")
    assert not (server.home / "notebooks/my_digits.csv").exists()


def test_the_server_does_not_load_numpy() -> None:
    """It would keep those 22 MB for good."""
    loaded = "import sys, mynn_server.extension; print('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True).stdout == "False\n"
