"""What serves packages to the Pis runs as long as a playbook that asked for it, and no longer."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import mirrors
import proxy
import pytest

from tests.support.ports import free_port, free_server

PROJECT = Path(__file__).resolve().parents[3]
SERVE = PROJECT / "roles/apt_cache/files/serve.py"


class Playbook:
    """Something called ansible-playbook that asks to be served, and then goes on for a while."""

    def __init__(self, folder: Path, port: int, *options: str) -> None:
        script = folder.parent / "ansible-playbook"
        script.write_text('"$@"; exec sleep 60\n', encoding="utf-8")
        ask = [sys.executable, str(SERVE), str(folder), str(port), *options]
        self.process = subprocess.Popen(["sh", str(script), *ask], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout
        self.said: dict[str, Any] = json.loads(self.process.stdout.readline())

    def end(self) -> None:
        """As when the computer's memory is full."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def is_open(port: int) -> bool:
    """Whether something takes connections there."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def closes(port: int) -> bool:
    """Whether nothing takes connections there any longer, soon."""
    deadline = time.monotonic() + 20
    while is_open(port) and time.monotonic() < deadline:
        time.sleep(0.1)
    return not is_open(port)


@pytest.fixture
def port() -> Iterator[int]:
    """A port of the loopback; nothing is there after the test either."""
    if not shutil.which("apt-cacher-ng", path="/usr/bin:/usr/sbin"):
        pytest.skip("apt-cacher-ng is not installed")
    number = free_port()
    yield number
    assert closes(number)


def test_it_ends_with_the_last_playbook_however_that_ends(tmp_path: Path, port: int) -> None:
    folder = tmp_path / "apt"
    first = Playbook(folder, port)
    second = Playbook(folder, port)
    assert first.said == second.said
    assert (first.said["state"], first.said["why"]) == ("online", "")
    first.end()
    time.sleep(2.5)
    assert is_open(port)
    second.end()
    assert closes(port)
    third = Playbook(folder, port)
    assert third.said["state"] == "online"
    third.end()


def test_it_listens_on_the_loopback_only(tmp_path: Path, port: int) -> None:
    playbook = Playbook(tmp_path / "apt", port)
    listening = subprocess.run(["ss", "-Hltn", f"sport = :{port}"], capture_output=True, text=True, check=True).stdout
    playbook.end()
    assert [line.split()[3] for line in listening.splitlines()] == [f"127.0.0.1:{port}"]


def test_without_any_mirror_it_serves_what_was_kept(tmp_path: Path, port: int) -> None:
    (tmp_path / "apt/kept/192.0.2.1.invalid").mkdir(parents=True)  # was fetched from once, and does not answer
    playbook = Playbook(tmp_path / "apt", port, "192.0.2.1.invalid")
    playbook.end()
    assert playbook.said["state"] == "offline"


@pytest.mark.skipif(not shutil.which("apt-cacher-ng", path="/usr/bin:/usr/sbin"), reason="apt-cacher-ng is missing")
def test_a_port_that_something_else_has_is_said(tmp_path: Path) -> None:
    with free_server() as other:
        playbook = Playbook(tmp_path / "apt", int(other.getsockname()[1]))
    playbook.end()
    assert playbook.said["state"] == "missing"
    assert re.fullmatch(r"port \d+ of this computer cannot be used: Address already in use", playbook.said["why"])


def test_two_folders_do_not_mix(tmp_path: Path, port: int) -> None:
    (tmp_path / "one").mkdir()
    first = Playbook(tmp_path / "one/apt", port)
    second = Playbook(tmp_path / "apt", port)
    first.end()
    second.end()
    assert second.said["why"] == f"port {port} serves another folder than {tmp_path / 'apt'}"


def test_another_version_that_uses_the_folder_is_said(tmp_path: Path, port: int) -> None:
    first = Playbook(tmp_path / "apt", port)
    (tmp_path / "apt/state").write_text("online")  # as it was before mirrors stood there
    second = Playbook(tmp_path / "apt", port)
    first.end()
    second.end()
    assert (second.said["state"], second.said["why"].split(" is ")[0]) == ("missing", "another version of mynn-pi")


class Web(BaseHTTPRequestHandler):
    """Something with files for apt, or at least called so; below /to/ it redirects to what follows."""

    def do_GET(self) -> None:
        server: Any = self.server
        server.seen.append(self.path)
        body = server.text.encode()
        _, redirected, target = unquote(self.path).partition("/to/")
        self.send_response(302 if redirected else 200)
        if redirected:
            self.send_header("Location", f"http://{target}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, *_: Any) -> None:
        """Be quiet."""


@contextmanager
def web(text: str, address: str = "127.0.0.1", port: int = 0) -> Iterator[Any]:
    """Have a server on the loopback, at a port that apt-cacher-ng can know."""
    server: Any = ThreadingHTTPServer((address, port or free_port()), Web)
    server.text, server.seen = text, []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def asked(port: int, request: str) -> str:
    """Return all that the cache answers to a request, given as `METHOD ADDRESS`."""
    with closing(socket.create_connection(("127.0.0.1", port), timeout=30)) as client:
        client.sendall(f"{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while part := client.recv(65536):
            answer += part
    return answer.decode("latin-1")


# Where M is a mirror that is configured, and S something else on this computer. (Only such files are asked for by apt.)
FILE = "debian/dists/trixie/InRelease"
ROUND_ABOUT = [
    f"GET http://127.0.0.1:S/{FILE}",
    f"GET http://127.0.0.1:S/{FILE}/",
    f"HEAD http://127.0.0.1:S/{FILE}",
    f"GET http://localhost:S/{FILE}",
    f"GET http://127.1:S/{FILE}",
    f"GET http://0x7f000001:S/{FILE}",
    f"GET http://0.0.0.0:S/{FILE}",
    f"GET http://[::ffff:127.0.0.1]:S/{FILE}",
    f"GET http://127.0.0.1:M@127.0.0.1:S/{FILE}",
    f"GET http://127.0.0.1:S/{FILE}?http://127.0.0.1:M/",
    f"GET /127.0.0.1:S/{FILE}",
    f"GET http://HTTPS///127.0.0.1:S/{FILE}",
    f"GET https://127.0.0.1:S/{FILE}",
    "CONNECT 127.0.0.1:S",
    "POST http://bugs.debian.org:80/",
    # sent there by the mirror
    f"GET http://127.0.0.1:M/to/127.0.0.1:S/{FILE}",
    f"GET http://127.0.0.1:M/to/localhost:S/{FILE}",
    f"GET http://127.0.0.1:M/to/127.0.0.1:M/to/127.0.0.1:S/{FILE}",
    f"GET http://127.0.0.1:M/to/x@127.0.0.1:S/{FILE}",
]


def test_only_mirrors_are_asked(tmp_path: Path, port: int) -> None:
    with web("a mirror") as mirror, web("no mirror") as other:
        playbook = Playbook(tmp_path / "apt", port, f"127.0.0.1:{mirror.server_port}")
        try:
            assert f"127.0.0.1:{mirror.server_port}" in playbook.said["mirrors"]
            for request in ROUND_ABOUT:
                words = request.replace(":S", f":{other.server_port}").replace(":M", f":{mirror.server_port}")
                answer = asked(port, words)
                assert other.seen == [], f"{words}: {answer}"
                assert " 200 " not in answer.partition("\r\n")[0], f"{words}: {answer}"
            assert asked(port, f"GET http://mirror.invalid/{FILE}").startswith("HTTP/1.1 403 Forbidden")
            answer = asked(port, f"GET http://127.0.0.1:{mirror.server_port}/{FILE}")
            assert answer.endswith("\r\na mirror"), answer
            again = f"GET http://127.0.0.1:{mirror.server_port}/to/127.0.0.1:{mirror.server_port}/new/{FILE}"
            assert asked(port, again).endswith("\r\na mirror")
        finally:
            playbook.end()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, who may have port 80")
def test_this_computers_own_pages_stay_its_own(tmp_path: Path, port: int) -> None:
    """At the one port that apt-cacher-ng hands on by itself; also where a mirror redirects there."""
    own = "127.88.0.1"
    with web("a mirror") as mirror, web("this computer's own", own, 80) as other:
        playbook = Playbook(tmp_path / "apt", port, f"127.0.0.1:{mirror.server_port}")
        try:
            asked(port, f"GET http://{own}/{FILE}")
            asked(port, f"GET http://127.0.0.1:{mirror.server_port}/to/{own}/{FILE}")
        finally:
            playbook.end()
    assert mirror.seen == [f"/to/{own}/{FILE}"]
    assert other.seen == []


def test_a_mirror_is_a_host_and_a_port() -> None:
    assert mirrors.mirror("Deb.Debian.org") == mirrors.Mirror("deb.debian.org", 80)
    assert str(mirrors.mirror("mirror.school:8080")) == "mirror.school:8080"
    for text in (
        "",
        "a b",
        "a/b",
        "http://a",
        "a:",
        "a:0",
        "a:70000",
        "u@a",
        "a\nProxy: b",
        "a\n",
        "-a",
        "a..b",
        "[::1]",
    ):
        with pytest.raises(ValueError, match="not a mirror"):
            mirrors.mirror(text)


MIRRORS = {mirrors.Mirror("deb.debian.org"), mirrors.Mirror("mirror.school", 8080), mirrors.Mirror("127.0.0.1", 8088)}


@pytest.mark.parametrize(
    ("address", "asked_for", "allowed"),
    [
        ("151.101.130.132", "deb.debian.org", True),
        ("10.0.0.5", "deb.debian.org", True),  # a school may have a mirror of its own under that name
        ("10.0.0.5", "mirror.school:8080", True),
        ("10.0.0.5", "mirror.school", False),
        ("127.0.0.1", "127.0.0.1:8088", True),
        ("127.0.0.1", "127.0.0.1", False),
        ("127.0.0.1", "deb.debian.org", False),  # a name server that lies
        ("::ffff:127.0.0.1", "deb.debian.org", False),
        ("151.101.130.132", "nearby.example", True),  # a mirror redirects there
        ("151.101.130.132", "nearby.example:22", False),
        *(
            (address, "nearby.example", False)
            for address in ("127.0.0.1", "10.0.0.5", "192.168.1.1", "169.254.169.254")
        ),
        *((address, "nearby.example", False) for address in ("::1", "fe80::1%eth0", "fd00::1", "0.0.0.0", "224.0.0.1")),
    ],
)
def test_the_address_decides_and_not_the_name(address: str, asked_for: str, allowed: bool) -> None:
    assert proxy.is_allowed(address, mirrors.mirror(asked_for), MIRRORS) == allowed
