"""What serves packages to the Pis runs as long as a playbook that asked for it, and no longer."""

from __future__ import annotations

import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ports import free_port, free_server

PROJECT = Path(__file__).resolve().parents[2]
SERVE = PROJECT / "roles/apt_cache/files/serve.py"

pytestmark = pytest.mark.skipif(
    not shutil.which("apt-cacher-ng", path="/usr/bin:/usr/sbin"), reason="apt-cacher-ng is not installed"
)


class Playbook:
    """Something called ansible-playbook that asks to be served, and then goes on for a while."""

    def __init__(self, folder: Path, port: int, *options: str) -> None:
        script = folder.parent / "ansible-playbook"
        script.write_text('"$@"; exec sleep 60\n', encoding="utf-8")
        ask = [sys.executable, str(SERVE), str(folder), str(port), *options]
        self.process = subprocess.Popen(["sh", str(script), *ask], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout
        self.said: dict[str, str] = json.loads(self.process.stdout.readline())

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
    number = free_port()
    yield number
    assert closes(number)


def test_it_ends_with_the_last_playbook_however_that_ends(tmp_path: Path, port: int) -> None:
    folder = tmp_path / "apt"
    first = Playbook(folder, port)
    second = Playbook(folder, port)
    assert first.said == second.said == {"state": "online", "why": ""}
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
    playbook = Playbook(tmp_path / "apt", port)
    playbook.end()
    assert playbook.said["state"] == "offline"


def test_a_port_that_something_else_has_is_said(tmp_path: Path) -> None:
    with free_server() as other:
        playbook = Playbook(tmp_path / "apt", int(other.getsockname()[1]))
    playbook.end()
    assert playbook.said["state"] == "missing"
    assert re.fullmatch(r"port \d+ of this computer cannot be had: Address already in use", playbook.said["why"])


def test_two_folders_do_not_mix(tmp_path: Path, port: int) -> None:
    (tmp_path / "one").mkdir()
    first = Playbook(tmp_path / "one/apt", port)
    second = Playbook(tmp_path / "apt", port)
    first.end()
    second.end()
    assert second.said["why"] == f"another folder than {tmp_path / 'apt'} is served at port {port}"
