"""A fleet as a test sees it: each method is one of the commands, run as a person would run it."""

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

    Two fleets at once need two folders and two blocks. Without root, each method that needs it goes through
    sudo. A method that fails raises VirtualError with the command's sentence.
    """

    def __init__(self, state: Path = PROJECT / "build/virtual", *, address: str = "127.77.0.0") -> None:
        self.state = State(state)
        self.address = address

    @property
    def inventory(self) -> Path:
        """Ansible's inventory of this fleet, with the group ``pis``."""
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
        """Have so many Pis running, each of which has let somebody log in over SSH."""
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
        """Remove the fleet, its disks, and all that it may have left behind."""
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
        """Shut a Pi down in order."""
        self._do("stop", name)

    def kill(self, name: str) -> None:
        """End a Pi at once; it stays in the inventory, and its disk is kept."""
        self._do("kill", name)

    def reset(self, name: str) -> None:
        """Start a Pi with a fresh disk; its SSH host key stays."""
        self._do("reset", name)

    def save(self, name: str, folder: Path) -> None:
        """Save the disk of a Pi that is off; fresh Pis of another fleet can begin with it (``base``)."""
        self._do("save", name, str(folder))

    def freeze(self, name: str) -> None:
        """Let a Pi hang: connections are taken, nothing is answered."""
        self._do("freeze", name)

    def thaw(self, name: str) -> None:
        """Let a frozen Pi go on."""
        self._do("thaw", name)

    def unplug(self, name: str) -> None:
        """Pull a Pi's network cable: it works on, but nothing arrives or leaves."""
        self._do("unplug", name)

    def plug(self, name: str) -> None:
        """Put the cable in again."""
        self._do("plug", name)

    def ssh(self, name: str, command: str, *, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """Run a command on a Pi, as the account that Ansible logs in with; return its output and exit code."""
        argv = ssh_command(self.state, address_at(self.address, int(name.removeprefix("pi-"))), command)
        return subprocess.run(argv, capture_output=True, text=True, timeout=timeout, check=False)

    def _do(self, *arguments: str, quiet: bool = False) -> str:
        argv = [PYTHON, "-m", "tests.virtual", *arguments, "--state", str(self.state.folder)]
        done = subprocess.run(argv, cwd=PROJECT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if not quiet:
            print(done.stdout, end="")  # pytest shows it when the test fails
        if done.returncode != 0:
            raise VirtualError(done.stderr.strip() or f"{arguments[0]} ended with {done.returncode}.")
        return done.stdout
