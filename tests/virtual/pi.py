"""What all virtual Pis have in common. Each is reached over SSH; those of a fleet have a number and a folder."""

import base64
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from . import raspios
from .shell import VirtualError
from .state import SSH_PORT, Settings, State, address_at, make_key, ssh_options


class Pi:
    """A virtual Pi with a name, a loopback address and a log."""

    name: str
    state: State
    address: str
    log: Path

    def status(self) -> str:
        """Return running, frozen or stopped."""
        raise NotImplementedError

    def ssh(self, command: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """Run a command on the Pi over SSH, as Ansible's account."""
        return subprocess.run(
            ssh_command(self.state, self.address, command), capture_output=True, text=True, timeout=timeout, check=False
        )

    def wait_for_ssh(self, patience: float) -> None:
        """Wait until an SSH login succeeds."""
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            with suppress(subprocess.TimeoutExpired):
                if self.ssh("true").returncode == 0:
                    return
            if self.status() == "stopped":
                raise VirtualError(f"{self.name} stopped while booting; see {self.log}.")
            time.sleep(0.1)
        raise VirtualError(
            f"{self.name} did not accept an SSH login at {self.address} port {SSH_PORT} "
            f"within {patience:.0f} s; see {self.log}."
        )


class Member(Pi):
    """A virtual Pi in a fleet: pi-01, pi-02, ..."""

    patience = 90.0  # boot timeout in seconds
    inventory_settings = ""  # more Ansible variables for this Pi's line

    def __init__(self, state: State, settings: Settings, number: int) -> None:
        self.state, self.settings, self.number = state, settings, number
        self.name = f"pi-{number:02d}"
        self.address = address_at(settings.address, number)
        self.folder = state.pis / self.name
        self.log = self.folder / "log"

    def ensure_folder(self) -> None:
        """Create the Pi's folder and SSH host key, which outlive its disk."""
        self.folder.mkdir(parents=True, exist_ok=True)
        make_key(self.folder / "ssh_host_ed25519_key", self.name)

    def known_host(self) -> str:
        """Return the Pi's line in known_hosts."""
        key = (self.folder / "ssh_host_ed25519_key.pub").read_text()
        return f"[{self.address}]:{SSH_PORT} {key}"

    def identity(self) -> str:
        """Return this Pi's identity, as files that systemd-tmpfiles writes at each boot."""
        login = self.state.key.with_suffix(".pub").read_text()
        lines = []
        for name, owner in (("ssh_host_ed25519_key", "0600 root root"), ("ssh_host_ed25519_key.pub", "0644 root root")):
            lines.append(tmpfile("f+", f"/etc/ssh/{name}", (self.folder / name).read_text(), owner))
        if self.settings.os == "debian":
            lines += ["d /home/pi/.ssh 0700 pi pi\n"]
            lines += [tmpfile("f+", "/home/pi/.ssh/authorized_keys", login, "0600 pi pi")]
        else:  # cloud-init makes the account, at the first boot of a disk
            for name, text in raspios.seed(login, self.state.ensure_password()).items():
                lines.append(tmpfile("f", f"/var/lib/cloud/seed/nocloud/{name}", text))
        return "".join(lines)

    def check_address(self) -> None:
        """Raise VirtualError if something else listens at this Pi's address."""
        if reason := why_taken(self.address):
            raise VirtualError(
                f"{self.name} cannot use {self.address} port {SSH_PORT} ({reason}); "
                "if another fleet uses it, remove that, with `make demo-stop` in its folder."
            )


def why_taken(address: str) -> str:
    """Return why no Pi can listen at an address; empty if one can."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, SSH_PORT))
        except OSError as error:
            return str(error.strerror)
    return ""


def tmpfile(kind: str, path: str, content: str, owner: str = "0600 root root") -> str:
    """Return a line for tmpfiles.d that writes a file."""
    return f"{kind}~ {path} {owner} - {base64.b64encode(content.encode()).decode()}\n"


def ssh_command(state: State, address: str, command: str) -> list[str]:
    """Return the ssh command line that runs a command on a Pi."""
    options = ["-o", "BatchMode=yes", "-o", "ConnectTimeout=10", *ssh_options(state)]
    return ["ssh", "-n", "-i", str(state.key), "-p", str(SSH_PORT), *options, f"{state.account}@{address}", command]
