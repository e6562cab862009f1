"""What all virtual Pis have in common. Each is reached over SSH; those of a fleet have a number and a folder."""

import base64
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from . import raspios
from .shell import VirtualError
from .state import SSH_PORT, Settings, State, address_at, make_key, name_of, ssh_options


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

    def wait_for_ssh(self, patience: float = 90) -> None:
        """Wait until an SSH login succeeds."""
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            with suppress(subprocess.TimeoutExpired):
                if self._answers() and self.ssh("true").returncode == 0:
                    return
            if self.status() == "stopped" and self._has_ended():
                raise VirtualError(f"{self.name} stopped while booting: {self._last_log_line()}")
            time.sleep(0.1)
        raise VirtualError(
            f"{self.name} did not accept an SSH login at {self.address} port {SSH_PORT} "
            f"within {patience:.0f} s: {self._last_log_line()}"
        )

    def _answers(self) -> bool:
        try:
            with socket.create_connection((self.address, SSH_PORT), timeout=5) as connection:
                return connection.recv(4) == b"SSH-"
        except OSError:
            return False

    def _has_ended(self) -> bool:
        time.sleep(0.3)  # its process may have only just been spawned
        return self.status() == "stopped"

    def _last_log_line(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines() if self.log.exists() else []
        return f"{lines[-1] if lines else 'no output'} (see {self.log})."


class Member(Pi):
    """A virtual Pi in a fleet."""

    patience = 90.0  # boot timeout in seconds
    inventory_settings = ""  # more Ansible variables for this Pi's line

    def __init__(self, state: State, settings: Settings, number: int) -> None:
        self.state, self.settings, self.number = state, settings, number
        self.name = name_of(number)
        self.address = address_at(settings.address, number)
        self.folder = state.pis / self.name
        self.log = self.folder / "log"

    # -- what each kind implements ---------------------------------------------------------------------

    def start(self) -> None:
        """Switch the Pi on, with its existing disk or a fresh one. Does not wait for the boot."""
        raise NotImplementedError

    def stop(self) -> None:
        """Shut the Pi down cleanly, or kill it if that takes too long."""
        raise NotImplementedError

    def kill(self) -> None:
        """Cut the Pi's power; keep its disk."""
        raise NotImplementedError

    def reset(self) -> None:
        """Cut the Pi's power and delete the disk; the next start makes a fresh one."""
        raise NotImplementedError

    def freeze(self, frozen: bool) -> None:
        """Make the Pi hang (it accepts connections, but does not answer), or continue."""
        raise NotImplementedError

    def plug(self, plugged: bool) -> None:
        """Plug in the network cable, or unplug it; the Pi keeps running."""
        raise NotImplementedError

    # -- its identity ----------------------------------------------------------------------------------

    def ensure_folder(self) -> None:
        """Create the Pi's folder and SSH host key, which outlive its disk."""
        self.folder.mkdir(parents=True, exist_ok=True)
        make_key(self.folder / "ssh_host_ed25519_key", self.name)

    def identity(self) -> str:
        """Return this Pi's identity, as files that systemd-tmpfiles writes at each boot."""
        login = self.state.key.with_suffix(".pub").read_text()
        lines = []
        for name, owner in (("ssh_host_ed25519_key", "0600 root root"), ("ssh_host_ed25519_key.pub", "0644 root root")):
            lines.append(self.tmpfile("f+", f"/etc/ssh/{name}", (self.folder / name).read_text(), owner))
        if self.settings.os == "debian":
            lines += ["d /home/pi/.ssh 0700 pi pi\n"]
            lines += [self.tmpfile("f+", "/home/pi/.ssh/authorized_keys", login, "0600 pi pi")]
        else:  # cloud-init makes the account, at the first boot of a disk
            for name, text in raspios.seed(login, self.state.ensure_password()).items():
                lines.append(self.tmpfile("f", f"/var/lib/cloud/seed/nocloud/{name}", text))
        return "".join(lines)

    def tmpfile(self, kind: str, path: str, content: str, owner: str = "0600 root root") -> str:
        """Return a line for tmpfiles.d that writes a file."""
        return f"{kind}~ {path} {owner} - {base64.b64encode(content.encode()).decode()}\n"

    def check_address(self) -> None:
        """Raise VirtualError if something else listens at this Pi's address."""
        for port in (SSH_PORT, *self.settings.publish):
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((self.address, port))
                except OSError as error:
                    raise VirtualError(
                        f"{self.name} cannot use {self.address} port {port} ({error.strerror}); "
                        "if another fleet uses it, choose another block, such as --address 127.77.1.0."
                    ) from None


def ssh_command(state: State, address: str, command: str) -> list[str]:
    """Return the ssh command line that runs a command on a Pi."""
    options = ["-o", "BatchMode=yes", "-o", "ConnectTimeout=10", *ssh_options(state)]
    return ["ssh", "-n", "-i", str(state.key), "-p", str(SSH_PORT), *options, f"{state.account}@{address}", command]
