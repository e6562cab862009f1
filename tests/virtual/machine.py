"""A virtual Pi that is a container: its disk, its start and end, and what can befall it."""

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

# Debian's AppArmor profiles let pasta open a network namespace in a user's run folder and nowhere else. That of
# nobody it is, for nobody logs in, and so nothing is ever mounted over it.
_NETWORKS = Path("/run/user/65534/netns")
# What a machine has outside its state folder, under its name; after a kill -9 systemd-nspawn's stay behind too.
_OUTSIDE = (_NETWORKS, Path("/run/systemd/nspawn/unix-export"), Path("/run/systemd/nspawn/propagate"))


class Machine(Member):
    """A container that boots systemd. Its disk is an overlay over the suite's root."""

    def __init__(self, state: State, settings: Settings, root: Path, number: int) -> None:
        super().__init__(state, settings, root, number)
        # Inside, the Pi is 10.x.y.N: an address of its own, with a gateway in its network.
        _, x, y, _ = self.address.split(".")
        self.inner_address, self.gateway = f"10.{x}.{y}.{number}", f"10.{x}.{y}.254"
        self.root = self.folder / "root"
        self.group = state.group / self.name
        self.host_group, self.guest_group = self.group / "host", self.group / "guest"
        self.machine_name = f"{state.prefix}-{self.name}"
        self.network = _NETWORKS / self.machine_name

    # -- what is there ---------------------------------------------------------------------------------

    def status(self) -> str:
        """Return running, frozen, stopped, or broken (a part of what keeps it running was killed)."""
        members = self.group.members()
        if not members:
            return "stopped"
        programs = {_program(pid) for pid in self.host_group.members()}
        needed = {"supervise", "pasta"} | ({"delay"} if self.settings.delay_ms else set())
        if not needed <= programs:
            return "broken"
        return "frozen" if self.guest_group.is_frozen() else "running"

    # -- start and end ---------------------------------------------------------------------------------

    def start(self) -> None:
        """Switch the Pi on, with the disk it has or a fresh one. It may still be booting on return."""
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
        """Shut the Pi down as its own poweroff would; kill it when it takes too long."""
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
        """Throw the disk away; the next start has a fresh one. The Pi must not be running."""
        self.clean_up()
        for part in ("upper", "work"):
            shutil.rmtree(self.folder / part, ignore_errors=True)

    def save(self, folder: Path) -> None:
        """Copy the disk, as far as it differs from a fresh Debian. The Pi must not be running."""
        copy: list[str | Path] = ["cp", "--archive", "--reflink=auto", f"{self.folder / 'upper'}/.", folder]
        run(copy, doing=f"Saving the disk of {self.name}")

    # -- what can befall it ----------------------------------------------------------------------------

    def freeze(self, frozen: bool) -> None:
        """Let the Pi hang (connections are accepted, nothing answers), or go on."""
        self.guest_group.freeze(frozen)

    def plug(self, plugged: bool) -> None:
        """Put the network's cable in, or pull it: nothing is refused, nothing arrives, the Pi works on."""
        for pid in self.host_group.members():
            if _program(pid) == "pasta":
                os.kill(pid, signal.SIGCONT if plugged else signal.SIGSTOP)

    # -- steps -----------------------------------------------------------------------------------------

    def _mount_disk(self) -> None:
        if not self.lower.is_dir():
            raise VirtualError(
                f"The root {self.lower} under {self.name}'s disk is missing; "
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
        """Write what makes this Pi itself; once for a disk, but for the name server."""
        servers = name_servers() or [self.gateway]  # which pasta then maps to the host's own
        (self.root / "etc/resolv.conf").write_text("".join(f"nameserver {server}\n" for server in servers))
        identity = "etc/machine-id"
        if (self.folder / "upper" / identity).exists():  # what lies below has another Pi's, or none
            return
        for key in self.folder.glob("ssh_host_*"):
            shutil.copy(key, self.root / "etc/ssh" / key.name)
        if self.settings.os == "raspios":
            public_key = self.state.key.with_suffix(".pub").read_text()
            raspios.seed(self.root / "var/lib/cloud/seed/nocloud", public_key, self.state.ensure_password())
        else:
            self._let_in()
        (self.root / identity).write_text(uuid.uuid4().hex + "\n")  # at the end: with it, all is there

    def _let_in(self) -> None:
        """Give the account its SSH key; in Raspberry Pi OS, cloud-init does that."""
        home = self.root / "home" / self.state.account
        ssh = home / ".ssh"
        ssh.mkdir(mode=0o700, exist_ok=True)
        shutil.copy(self.state.key.with_suffix(".pub"), ssh / "authorized_keys")
        owner = home.stat()
        for path in (ssh, ssh / "authorized_keys"):
            os.chown(path, owner.st_uid, owner.st_gid)


def remove_outside(names: str) -> int:
    """Remove what machines have outside their state folder; ``names`` is a glob pattern. Return how many mounts."""
    count = 0
    for left in [path for folder in _OUTSIDE for path in folder.glob(names)]:
        count += unmount_below(left)
        if left.is_dir():
            shutil.rmtree(left)
        else:
            left.unlink()
    for folder in (_NETWORKS, _NETWORKS.parent):
        with suppress(OSError):  # another fleet's are there, or it is gone
            folder.rmdir()
    return count


def _program(pid: int) -> str:
    """Return the program of a process that keeps a Pi running: supervise, delay, pasta, sleep, ..."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return ""
    for module in ("supervise", "delay"):
        if f"tests.virtual.{module}".encode() in words:
            return module
    return os.fsdecode(words[0]).rpartition("/")[2].partition(".")[0]
