"""A classroom of virtual Pis: what a teacher would type, for the tests, the demo and the benchmarks."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.virtual import Board, Fleet

ROOT = Path(__file__).resolve().parents[2]
ANSIBLE = Path(sys.executable).with_name("ansible-playbook")
PATIENTLY = {"ANSIBLE_TIMEOUT": "180"}  # on a busy host, a board takes a minute to let somebody in, or to start sudo
HOST_SEEN_FROM_BOARD = "10.0.2.2"  # by QEMU's network, whatever the board's own address is


@dataclass(frozen=True)
class Recap:
    """What Ansible counted for one host."""

    ok: int
    changed: int
    unreachable: int
    failed: int


def recap(output: str) -> dict[str, Recap]:
    """Return the hosts' counts from a run's last lines."""
    line = re.compile(r"^(\S+)\s*: ok=(\d+)\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)", re.M)
    return {name: Recap(*map(int, counts)) for name, *counts in line.findall(output)}


class BaseClassroom:
    """An inventory, the playbooks that are run against it, and one Pi of it that is looked at: `host`."""

    host: str
    root = ROOT

    @property
    def inventory(self) -> Path:
        """The inventory."""
        raise NotImplementedError

    @property
    def address(self) -> str:
        """The Pi's address."""
        raise NotImplementedError

    def ssh(self, command: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Run a command on the Pi, as `pi`, who may sudo."""
        raise NotImplementedError

    @property
    def password(self) -> str:
        """The Pi's password."""
        return self.password_of(self.host)

    def password_of(self, name: str) -> str:
        """Return a Pi's password, from where a teacher reads it."""
        return (ROOT / "dist/passwords" / name).read_text(encoding="utf-8").strip()

    def command(self, name: str, *arguments: str) -> list[str]:
        """Return the command line that runs playbooks/NAME.yml."""
        return [str(ANSIBLE), "-i", str(self.inventory), str(ROOT / f"playbooks/{name}.yml"), *arguments]

    def playbook(
        self, name: str, *arguments: str, env: Mapping[str, str] | None = None, timeout: float = 1800
    ) -> subprocess.CompletedProcess[str]:
        """Run playbooks/NAME.yml against the inventory; its output and exit code are in what is returned."""
        done = subprocess.run(
            self.command(name, *arguments),
            cwd=ROOT,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        print(done.stdout[-20000:], done.stderr[-5000:])  # pytest shows it when the test fails
        return done


@dataclass(frozen=True)
class Classroom(BaseClassroom):
    """A fleet of containers."""

    fleet: Fleet
    host: str = "pi-01"

    @property
    def inventory(self) -> Path:
        """The fleet's inventory."""
        return self.fleet.inventory

    @property
    def address(self) -> str:
        """The first Pi's address."""
        return next(str(pi["address"]) for pi in self.fleet.list() if pi["name"] == self.host)

    def ssh(self, command: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Run a command on the first Pi, as `pi`, who may sudo."""
        return self.fleet.ssh(self.host, command, timeout=timeout)


def on(classroom: Classroom, name: str) -> Classroom:
    """Return the classroom with another Pi to be looked at."""
    return replace(classroom, host=name)


def root(classroom: Classroom, script: str, *arguments: str, timeout: float = 300) -> str:
    """Run a script as root on the Pi, with arguments; return what it printed."""
    words = " ".join("'" + word.replace("'", "'\\''") + "'" for word in (script, "test", *arguments))
    done = classroom.ssh(f"sudo sh -c {words}", timeout=timeout)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


class BoardClassroom(BaseClassroom):
    """A board. Before its first boot it has no name, and before site.yml no password of the control node's."""

    def __init__(self, board: Board) -> None:
        self.board = board

    @property
    def host(self) -> str:  # type: ignore[override]
        """The board's own name."""
        return self.board.name

    @property
    def inventory(self) -> Path:
        """The board's inventory."""
        return self.board.inventory

    @property
    def address(self) -> str:
        """The board's address."""
        return self.board.address

    @property
    def password(self) -> str:
        """The password: until site.yml sets another, it is the one that the Pi made and wrote onto its card."""
        recorded = self.board.facts()["password"]
        return self.password_of(self.host) if recorded.startswith("was changed") else recorded

    def ssh(self, command: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Run a command on the board, as `pi`, who may sudo."""
        return self.board.ssh(command, timeout=timeout)

    def playbook(self, name: str, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run playbooks/NAME.yml against the board, patiently."""
        options.setdefault("env", os.environ | PATIENTLY)
        return super().playbook(name, *arguments, **options)

    def output_of(self, command: str, timeout: float = 300) -> str:
        """Return what a command on the board prints; AssertionError: it failed."""
        done = self.ssh(command, timeout)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout


def newest_image() -> Path:
    """Return the newest image in dist; FileNotFoundError: there is none."""
    images = sorted((ROOT / "dist").glob("*.img.xz"), key=lambda path: path.stat().st_mtime)
    if not images:
        raise FileNotFoundError("There is no image in dist; `make image` makes one.")
    return images[-1]


def use_apt_sources(classroom: BoardClassroom) -> None:
    """Let the board's apt ask where the image's did (IMAGE_APT_SOURCES), as in a school with a mirror of its own."""
    lines = os.environ.get("IMAGE_APT_SOURCES", "").replace("127.0.0.1", HOST_SEEN_FROM_BOARD).split("|")
    if not any(lines):
        return
    text = "\n".join(lines)
    classroom.output_of(
        f"echo '{text}' | sudo tee /etc/apt/sources.list >/dev/null; "
        "for file in /etc/apt/sources.list.d/*.sources; do [ -e $file ] && sudo mv $file $file.off; done; true"
    )
