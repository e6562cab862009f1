"""What containers and boards have in common: a virtual Pi that is reached over SSH."""

import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from .errors import VirtualError
from .state import SSH_PORT, State, ssh_options


class Pi:
    """A virtual Pi with a name, at an address of the host's loopback, and a log of what it said."""

    name: str
    state: State
    address: str
    log: Path

    def status(self) -> str:
        """Return running, stopped, or what else it can be."""
        raise NotImplementedError

    def ssh(self, command: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """Run a command on the Pi over SSH, as the account that Ansible logs in with."""
        return subprocess.run(
            ssh_command(self.state, self.address, command), capture_output=True, text=True, timeout=timeout, check=False
        )

    def wait_for_ssh(self, patience: float = 90) -> None:
        """Return when somebody has really logged in over SSH."""
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            with suppress(subprocess.TimeoutExpired):
                if self._answers() and self.ssh("true").returncode == 0:
                    return
            if self.status() == "stopped" and self._has_ended():
                raise VirtualError(f"{self.name} ended while it was booting: {self._last_words()}")
            time.sleep(0.1)
        raise VirtualError(
            f"{self.name} gives no login over SSH at {self.address} port {SSH_PORT} "
            f"within {patience:.0f} s: {self._last_words()}"
        )

    def _answers(self) -> bool:
        try:
            with socket.create_connection((self.address, SSH_PORT), timeout=5) as connection:
                return connection.recv(4) == b"SSH-"
        except OSError:
            return False

    def _has_ended(self) -> bool:
        time.sleep(0.3)  # what runs it may only just have been started
        return self.status() == "stopped"

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines() if self.log.exists() else []
        return f"{lines[-1] if lines else 'it said nothing'} (all of it is in {self.log})."


def ssh_command(state: State, address: str, command: str) -> list[str]:
    """Return the words that run a command on the Pi at that address."""
    return [
        "ssh",
        "-n",
        "-i",
        str(state.key),
        "-p",
        str(SSH_PORT),
        "-o",
        "BatchMode=yes",
        "-o",
        "ConnectTimeout=10",
        *ssh_options(state),
        f"{state.account}@{address}",
        command,
    ]
