"""A virtual Pi in a container: its disk, start and stop, and faults to inject."""

import os
import shutil
import signal
import time
import uuid
from contextlib import suppress
from pathlib import Path

from . import raspios
from .host import PROJECT, PYTHON, name_servers
from .mounts import unmount_below
from .pi import MEMORY_MIB, Member
from .shell import VirtualError, run, spawn
from .state import Settings, State

# Debian's AppArmor profiles let pasta open network namespaces only in a user's runtime folder. We use that of `nobody`
# (65534): `nobody` never logs in, so nothing is ever mounted over it.
_NETWORKS = Path("/run/user/65534/netns")
# Where a machine leaves files outside its state folder; systemd-nspawn's remain after a kill -9.
_OUTSIDE = (_NETWORKS, Path("/run/systemd/nspawn/unix-export"), Path("/run/systemd/nspawn/propagate"))


class Machine(Member):
    """A container that boots systemd. Its disk is an overlay over the suite's root."""

    def __init__(self, state: State, settings: Settings, root: Path, number: int) -> None:
        super().__init__(state, settings, root, number)
        # Inside, the Pi's address is 10.x.y.N.
        _, x, y, _ = self.address.split(".")
        self.inner_address, self.gateway = f"10.{x}.{y}.{number}", f"10.{x}.{y}.254"
        self.root = self.folder / "root"
        self.group = state.group / self.name
        self.host_group, self.guest_group = self.group / "host", self.group / "guest"
        self.machine_name = f"{state.prefix}-{self.name}"
        self.network = _NETWORKS / self.machine_name

    # -- state -----------------------------------------------------------------------------------------

    def status(self) -> str:
        """Return running, frozen, stopped, or broken (a helper process was killed)."""
        members = self.group.members()
        if not members:
            return "stopped"
        programs = {_program(pid) for pid in self.host_group.members()}
        needed = {"supervise", "pasta"} | ({"delay"} if self.settings.delay_ms else set())
        if not needed <= programs:
            return "broken"
        return "frozen" if self.guest_group.is_frozen() else "running"

    # -- start and stop --------------------------------------------------------------------------------

    def start(self) -> None:
        """Switch the Pi on, with its existing disk or a fresh one. Does not wait for the boot."""
        self.clean_up()
        self.check_address()
        self._mount_disk()
        self._seed_disk()
        self.host_group.make()
        self.guest_group.make()
        self.guest_group.cap_memory(MEMORY_MIB)
        self.remember_settings()
        supervisor: list[str | Path] = [PYTHON, "-m", "tests.virtual.supervise", self.state.folder, self.name]
        spawn(self.host_group.entering(supervisor), log=self.log, cwd=PROJECT)

    def stop(self, patience: float = 30) -> None:
        """Shut the Pi down cleanly, or kill it after ``patience`` seconds."""
        if self.guest_group.is_frozen():
            self.guest_group.freeze(False)
        for pid in self.host_group.members():
            if _program(pid) == "supervise":
                os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + patience
        while self.group.members() and self.status() != "broken" and time.monotonic() < deadline:
            time.sleep(0.05)
        self.clean_up()

    def clean_up(self) -> None:
        self.group.kill()
        unmount_below(self.folder)
        remove_outside(self.machine_name)
        self.group.remove()

    def reset(self) -> None:
        """Delete the disk; the next start makes a fresh one. The Pi must not be running."""
        self.clean_up()
        for part in ("upper", "work"):
            shutil.rmtree(self.folder / part, ignore_errors=True)

    def save(self, folder: Path) -> None:
        """Copy the disk's differences from a fresh Debian. The Pi must not be running."""
        copy: list[str | Path] = ["cp", "--archive", "--reflink=auto", f"{self.folder / 'upper'}/.", folder]
        run(copy, doing=f"Saving the disk of {self.name}")

    # -- faults ----------------------------------------------------------------------------------------

    def freeze(self, frozen: bool) -> None:
        """Make the Pi hang (it accepts connections, but does not answer), or continue."""
        self.guest_group.freeze(frozen)

    def plug(self, plugged: bool) -> None:
        """Plug in the network cable, or unplug it: packets are dropped, not rejected, and the Pi keeps running."""
        for pid in self.host_group.members():
            if _program(pid) == "pasta":
                os.kill(pid, signal.SIGCONT if plugged else signal.SIGSTOP)

    # -- steps -----------------------------------------------------------------------------------------

    def _mount_disk(self) -> None:
        if not self.lower.is_dir():
            raise VirtualError(
                f"The root {self.lower} that {self.name} is based on is missing; "
                "run `make demo-stop` first, then start again."
            )
        for part in ("upper", "work", "root"):
            (self.folder / part).mkdir(exist_ok=True)
        lowers = ":".join(filter(None, [self.settings.base, str(self.lower)]))
        options = f"lowerdir={lowers},upperdir={self.folder / 'upper'},workdir={self.folder / 'work'}"
        run(
            ["mount", "-t", "overlay", "-o", options, self.machine_name, self.root],
            doing=f"Mounting the disk of {self.name}",
        )

    def _seed_disk(self) -> None:
        """Write this Pi's identity, once per disk, and its name servers, at each start."""
        servers = name_servers() or [self.gateway]  # pasta maps the gateway to the host
        (self.root / "etc/resolv.conf").write_text("".join(f"nameserver {server}\n" for server in servers))
        identity = "etc/machine-id"
        if (self.folder / "upper" / identity).exists():  # only in our own layer: a saved disk has another Pi's
            return
        for key in self.folder.glob("ssh_host_*"):
            shutil.copy(key, self.root / "etc/ssh" / key.name)
        if self.settings.os == "raspios":
            public_key = self.state.key.with_suffix(".pub").read_text()
            raspios.seed(self.root / "var/lib/cloud/seed/nocloud", public_key, self.state.ensure_password())
        else:
            self._authorize_key()
        (self.root / identity).write_text(uuid.uuid4().hex + "\n")  # last: it marks the disk as complete

    def _authorize_key(self) -> None:
        """Let the fleet's SSH key log in. In Raspberry Pi OS, cloud-init does this."""
        home = self.root / "home" / self.state.account
        ssh = home / ".ssh"
        ssh.mkdir(mode=0o700, exist_ok=True)
        shutil.copy(self.state.key.with_suffix(".pub"), ssh / "authorized_keys")
        owner = home.stat()
        for path in (ssh, ssh / "authorized_keys"):
            os.chown(path, owner.st_uid, owner.st_gid)


def remove_outside(names: str) -> int:
    """Remove files outside the state folder whose names match a glob pattern. Return the number of mounts removed."""
    count = 0
    for left in [path for folder in _OUTSIDE for path in folder.glob(names)]:
        count += unmount_below(left)
        if left.is_dir():
            shutil.rmtree(left)
        else:
            left.unlink()
    for folder in (_NETWORKS, _NETWORKS.parent):
        with suppress(OSError):  # used by another fleet, or gone
            folder.rmdir()
    return count


def _program(pid: int) -> str:
    """Return a helper process's program: supervise, delay, pasta, ..."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return ""
    for module in ("supervise", "delay"):
        if f"tests.virtual.{module}".encode() in words:
            return module
    return os.fsdecode(words[0]).rpartition("/")[2].partition(".")[0]
