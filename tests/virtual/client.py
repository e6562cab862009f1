"""A fleet for tests: each method runs one of the commands."""

import json
import subprocess
from collections.abc import Iterable
from pathlib import Path

from .host import PROJECT, PYTHON
from .pi import ssh_command
from .shell import VirtualError
from .state import State, address_at


class Fleet:
    """The virtual Pis of one state folder, at one block of loopback addresses.

    Fleets that run at the same time need different folders and blocks. Methods that need root use sudo. A method that
    fails raises VirtualError with the command's error message.
    """

    def __init__(self, state: Path = PROJECT / "build/virtual", *, address: str = "127.77.0.0") -> None:
        self.state = State(state)
        self.address = address

    @property
    def inventory(self) -> Path:
        """The Ansible inventory of this fleet, with the group ``pis``."""
        return self.state.inventory

    def up(
        self,
        size: int = 1,
        *,
        suite: str = "trixie",
        publish: Iterable[int] = (8888,),
        delay_ms: float = 0,
        system: str = "debian",
        base: Path | None = None,
        kind: str = "container",
        accel: str = "auto",
        clock: str = "",
    ) -> None:
        """Start ``size`` Pis, and wait until each accepts an SSH login."""
        options = {
            "fleet": size,
            "suite": suite,
            "os": system,
            "publish": ",".join(map(str, publish)),
            "delay-ms": delay_ms,
            "base": base or "",
            "kind": kind,
            "accel": accel,
            "clock": clock,
            "address": self.address,
        }
        self._do("up", *(f"--{name}={value}" for name, value in options.items()))

    def down(self) -> None:
        """Remove the fleet and its disks."""
        self._do("down")

    def list(self) -> list[dict[str, object]]:
        """Return name, status, address, ssh_port, ports, kind, suite, os and delay_ms of each Pi."""
        listed: list[dict[str, object]] = json.loads(self._do("list", "--json", quiet=True))
        return listed

    def status(self, name: str) -> str:
        """Return running, frozen, stopped or broken."""
        return next(str(row["status"]) for row in self.list() if row["name"] == name)

    def start(self, name: str) -> None:
        """Switch a Pi on, with the disk it has."""
        self._do("start", name)

    def stop(self, name: str) -> None:
        """Shut a Pi down cleanly."""
        self._do("stop", name)

    def kill(self, name: str) -> None:
        """Cut a Pi's power; it stays in the inventory, and its disk is kept."""
        self._do("kill", name)

    def reset(self, name: str) -> None:
        """Start a Pi with a fresh disk and the same SSH host key."""
        self._do("reset", name)

    def save(self, name: str, folder: Path) -> None:
        """Save the disk of a stopped Pi, for another fleet to start from (``base``)."""
        self._do("save", name, str(folder))

    def freeze(self, name: str) -> None:
        """Make a Pi hang: it accepts connections, but does not answer."""
        self._do("freeze", name)

    def thaw(self, name: str) -> None:
        """Let a frozen Pi continue."""
        self._do("thaw", name)

    def unplug(self, name: str) -> None:
        """Unplug a Pi's network cable; the Pi keeps running."""
        self._do("unplug", name)

    def plug(self, name: str) -> None:
        """Plug the network cable back in."""
        self._do("plug", name)

    def ssh(self, name: str, command: str, *, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """Run a command on a Pi over SSH, as Ansible's account."""
        argv = ssh_command(self.state, address_at(self.address, int(name.removeprefix("pi-"))), command)
        return subprocess.run(argv, capture_output=True, text=True, timeout=timeout, check=False)

    def _do(self, *arguments: str, quiet: bool = False) -> str:
        argv = [PYTHON, "-m", "tests.virtual", *arguments, "--state", str(self.state.folder)]
        done = subprocess.run(argv, cwd=PROJECT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if not quiet:
            print(done.stdout, end="")  # pytest shows it if the test fails
        if done.returncode != 0:
            raise VirtualError(done.stderr.strip() or f"{arguments[0]} exited with {done.returncode}.")
        return done.stdout
