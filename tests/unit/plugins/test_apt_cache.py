"""The package cache: it runs only while a playbook needs it, and fetches only from mirrors."""

import json
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection, RemoteDisconnected
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from tests.support.classroom import until
from tests.support.ports import free_port, free_server

pytestmark = pytest.mark.skipif(
    not shutil.which("apt-cacher-ng", path="/usr/bin:/usr/sbin"), reason="apt-cacher-ng is not installed"
)


class Playbook:
    """A stand-in for ansible-playbook that starts the cache, or joins it, and then keeps running."""

    def __init__(self, folder: Path, port: int, *options: str) -> None:
        script = folder.parent / "ansible-playbook"
        script.write_text('"$@"; exec sleep 3600\n', encoding="utf-8")
        serve = [sys.executable, "-m", "mynn_control.apt_cache", str(folder), str(port), *options]
        self.process = subprocess.Popen(["sh", str(script), *serve], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout
        self.answer: dict[str, Any] = json.loads(self.process.stdout.readline())

    def kill(self) -> None:
        """Kill the playbook, as Linux does when memory runs out."""
        self.process.kill()
        self.process.wait()


def is_open(port: int) -> bool:
    """Whether a server accepts connections at this port."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def waited_for(process: int) -> bool:
    """Whether the cache still waits for this playbook's end."""
    return subprocess.run(["pgrep", "--full", f"^tail --pid={process} "], check=False).returncode == 0


@pytest.fixture
def port() -> Iterator[int]:
    """A free loopback port, at which nothing may be left after the test."""
    number = free_port()
    yield number
    until(lambda: not is_open(number))


def test_it_listens_on_the_loopback_until_the_last_playbook_ends(tmp_path: Path, port: int) -> None:
    """Even if that is killed."""
    folder = tmp_path / "apt"
    first, second = Playbook(folder, port), Playbook(folder, port)
    assert first.answer == second.answer == {"state": "online", "why": ""}
    listening = subprocess.run(["ss", "-Hltn", f"sport = :{port}"], capture_output=True, text=True, check=True).stdout
    assert [line.split()[3] for line in listening.splitlines()] == [f"127.0.0.1:{port}"]
    first.kill()
    until(lambda: not waited_for(first.process.pid))
    assert is_open(port)
    second.kill()  # the port closes, as after every test


@pytest.mark.slow
def test_a_port_that_serves_something_else_is_reported(tmp_path: Path, port: int) -> None:
    with free_server() as other:
        playbook = Playbook(tmp_path / "apt", int(other.getsockname()[1]))
    playbook.kill()
    assert re.fullmatch(r"port \d+ of this computer cannot be used: Address already in use", playbook.answer["why"])
    (tmp_path / "one").mkdir()
    first = Playbook(tmp_path / "one/apt", port)
    second = Playbook(tmp_path / "apt", port)
    first.kill()
    second.kill()
    assert second.answer["why"] == f"port {port} already serves another folder, not {tmp_path / 'apt'}"


class Web(BaseHTTPRequestHandler):
    """A web server that gives the same text for any path; /to/ADDRESS redirects to http://ADDRESS.

    When /lost/... is first asked for, it closes the connection without an answer. It answers /held/... when it may.
    """

    def do_GET(self) -> None:
        server: Any = self.server
        server.seen.append(self.path)
        if self.path.startswith("/lost/") and server.seen.count(self.path) == 1:
            self.close_connection = True
            return
        if self.path.startswith("/held/"):
            server.may.wait(600)
        body = server.text.encode()
        _, redirected, target = unquote(self.path).partition("/to/")
        self.send_response(302 if redirected else 200)
        if redirected:
            self.send_header("Location", f"http://{target}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


@contextmanager
def web(text: str) -> Iterator[Any]:
    """Run a web server on the loopback; the port suits apt-cacher-ng, which knows none from 32768 up."""
    server: Any = ThreadingHTTPServer(("127.0.0.1", free_port()), Web)
    server.text, server.seen, server.may = text, [], threading.Event()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def mirror(tmp_path: Path, port: int) -> Iterator[Any]:
    """A mirror that the cache, which runs, may ask."""
    with web("a mirror") as server:
        playbook = Playbook(tmp_path / "apt", port, f"127.0.0.1:{server.server_port}")
        yield server
        playbook.kill()


def begin(port: int, request: str) -> Any:
    """Send the cache a request, given as `METHOD ADDRESS`; return the answer as a file."""
    with socket.create_connection(("127.0.0.1", port), timeout=600) as client:
        client.sendall(f"{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        return client.makefile(encoding="latin-1", newline="")


# M is the port of a configured mirror, S that of another server on this computer. The file is one that apt asks for.
FILE = "debian/dists/trixie/InRelease"
BYPASSES = [
    f"GET http://127.0.0.1:S/{FILE}",
    f"GET http://localhost:S/{FILE}",
    f"GET http://0x7f000001:S/{FILE}",
    f"GET http://[::ffff:127.0.0.1]:S/{FILE}",
    f"GET http://127.0.0.1:M@127.0.0.1:S/{FILE}",
    f"GET http://127.0.0.1:S/{FILE}?http://127.0.0.1:M/",
    f"GET /127.0.0.1:S/{FILE}",
    f"GET http://HTTPS///127.0.0.1:S/{FILE}",
    f"GET https://127.0.0.1:S/{FILE}",
    "CONNECT 127.0.0.1:S",
    "POST http://bugs.debian.org:80/",
]


def test_only_mirrors_can_be_reached_through_it(mirror: Any, port: int) -> None:
    with web("another server") as other:
        for request in BYPASSES:
            sent = request.replace(":S", f":{other.server_port}").replace(":M", f":{mirror.server_port}")
            answer = begin(port, sent).read()
            assert other.seen == [], f"{sent}: {answer}"
            assert " 200 " not in answer.partition("\r\n")[0], f"{sent}: {answer}"
    assert begin(port, f"GET http://mirror.invalid/{FILE}").read().startswith("HTTP/1.1 403 Forbidden")
    here = f"127.0.0.1:{mirror.server_port}"
    for address in (f"{here}/{FILE}", f"{here}/to/{here}/new/{FILE}"):
        assert begin(port, f"GET http://{address}").read().endswith("\r\na mirror")


def test_a_file_whose_connection_was_lost_is_asked_for_again(mirror: Any, port: int) -> None:
    """However many are: apt asks for hundreds of packages over one connection."""
    with closing(HTTPConnection("127.0.0.1", port, timeout=600)) as client:
        for number in range(12):
            address = f"http://127.0.0.1:{mirror.server_port}/lost/pool/main/a/a/a_{number}.deb"
            client.request("GET", address)
            try:
                answer = client.getresponse()
            except RemoteDisconnected:  # the cache ends a connection now and then; like apt, we make another
                client.request("GET", address)
                answer = client.getresponse()
            assert (number, answer.status, answer.read()) == (number, 200, b"a mirror")


def test_pis_that_ask_for_the_same_list_at_once_all_get_it(mirror: Any, port: int) -> None:
    """A Pi's first question to the cache, which all Pis ask in the same second."""
    pis = [begin(port, f"GET http://127.0.0.1:{mirror.server_port}/held/{FILE}") for _ in range(30)]
    mirror.may.set()
    assert [answer for answer in (pi.read() for pi in pis) if not answer.endswith("\r\na mirror")] == []
