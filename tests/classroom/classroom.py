"""A classroom of virtual Pis: what a teacher would type, for the tests, the demo and the benchmarks."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.virtual import Fleet

ROOT = Path(__file__).resolve().parents[2]
ANSIBLE = Path(sys.executable).with_name("ansible-playbook")


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


class Room:
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
class Classroom(Room):
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
