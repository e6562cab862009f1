"""What virtual Pis have in common: each is reached over SSH, and those of a fleet have a number and a folder."""

import json
import socket
import subprocess
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from .shell import VirtualError, run
from .state import SSH_PORT, Settings, State, address_at, name_of, ssh_options

MEMORY_MIB = 512


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
            f"{self.name} accepts no SSH login at {self.address} port {SSH_PORT} "
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


class Member(Pi):
    """A virtual Pi of a fleet. Its disk lies over ``lower``, which the fleet shares."""

    patience = 90.0  # the seconds that a boot may take
    inventory_settings = ""  # of Ansible, on this Pi's line

    def __init__(self, state: State, settings: Settings, lower: Path, number: int) -> None:
        self.state, self.settings, self.lower, self.number = state, settings, lower, number
        self.name = name_of(number)
        self.address = address_at(settings.address, number)
        self.folder = state.pis / self.name
        self.log = self.folder / "log"

    # -- what each kind does in its own way ------------------------------------------------------------

    def start(self) -> None:
        """Switch the Pi on, with the disk it has or a fresh one. It may still be booting on return."""
        raise NotImplementedError

    def stop(self, patience: float = 30) -> None:
        """Shut the Pi down as its own poweroff would; kill it when it takes too long."""
        raise NotImplementedError

    def clean_up(self) -> None:
        """End all that belongs to this Pi, at once; keep its disk."""
        raise NotImplementedError

    def reset(self) -> None:
        """Throw the disk away; the next start has a fresh one."""
        raise NotImplementedError

    def freeze(self, frozen: bool) -> None:
        """Let the Pi hang (connections are accepted, nothing answers), or go on."""
        raise NotImplementedError

    def plug(self, plugged: bool) -> None:
        """Put the network's cable in, or pull it: nothing is refused, nothing arrives, the Pi works on."""
        raise NotImplementedError

    # -- what is there ---------------------------------------------------------------------------------

    def was_started_with(self) -> dict[str, object]:
        """Return the settings of the last start."""
        try:
            loaded = json.loads((self.folder / "started.json").read_text())
        except (FileNotFoundError, ValueError):
            return {}
        return dict(loaded)

    def settings_changed(self) -> bool:
        """Tell whether the fleet's settings are others now than at this Pi's start."""
        return bool(self.was_started_with() != json.loads(json.dumps(asdict(self.settings))))

    # -- steps of a start ------------------------------------------------------------------------------

    def ensure_identity(self) -> None:
        """Have the folder and the SSH host key, which stay the Pi's when its disk is made anew."""
        self.folder.mkdir(parents=True, exist_ok=True)
        key = self.folder / "ssh_host_ed25519_key"
        if not key.with_suffix(".pub").exists():
            key.unlink(missing_ok=True)
            run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", self.name, "-f", key],
                doing=f"Making the SSH host key of {self.name}",
            )

    def remember_settings(self) -> None:
        """Write down the settings of this start."""
        (self.folder / "started.json").write_text(json.dumps(asdict(self.settings)) + "\n")

    def check_address(self) -> None:
        """Raise a sentence when something else listens at this Pi's address."""
        for port in (SSH_PORT, *self.settings.publish):
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((self.address, port))
                except OSError as error:
                    raise VirtualError(
                        f"{self.name} cannot use {self.address} port {port} ({error.strerror}); "
                        "if another fleet uses it, give this one another block, "
                        "such as --address 127.77.1.0."
                    ) from None


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
