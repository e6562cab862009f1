"""Control groups: who belongs to a fleet, how much memory a guest has, and an end to all of them.

A group exists under the same name in each hierarchy that matters: on a host with cgroup version 2 that is
one; where version 1 is still mounted beside it, also version 1's memory (the cap) and systemd's own
(systemd-nspawn needs it). A process cannot leave its group, so the group tells who belongs to a fleet even
when every process that knew it has been killed.
"""

import os
import signal
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from .mounts import read_mounts
from .shell import VirtualError


@cache
def unified() -> Path:
    """Return where cgroup version 2 is mounted."""
    for mount in read_mounts():
        if mount.kind == "cgroup2" and mount.source_root == "/":
            return mount.point
    raise VirtualError(
        "The virtual Pis need cgroup version 2, which is not mounted on this host; "
        "a Debian 12 or 13 host mounts it at /sys/fs/cgroup."
    )


@cache
def memory_v1() -> Path | None:
    """Return where version 1's memory hierarchy is mounted, or None when version 2 rules memory."""
    return _version_1("memory")


@cache
def hierarchies() -> list[Path]:
    """Return where each hierarchy that a group lives in is mounted, version 2 first."""
    others = [memory_v1(), _version_1("name=systemd")]
    return [unified(), *(path for path in others if path)]


def _version_1(option: str) -> Path | None:
    for mount in read_mounts():
        if mount.kind == "cgroup" and option in mount.options:
            return mount.point
    return None


class Group:
    """A control group, named by its path below each hierarchy, such as ``mynn-0a1b2c3d/pi-01/guest``."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __truediv__(self, name: str) -> "Group":
        return Group(f"{self.name}/{name}")

    @property
    def folders(self) -> list[Path]:
        return [hierarchy / self.name for hierarchy in hierarchies()]

    @property
    def v2(self) -> Path:
        return unified() / self.name

    def make(self) -> None:
        """Make the group, and those above it, in every hierarchy."""
        for folder in self.folders:
            folder.mkdir(parents=True, exist_ok=True)

    def cap_memory(self, mebibytes: int) -> None:
        """Let the group's processes have so much memory together, and no swap beyond it."""
        size = str(mebibytes * 1024 * 1024)
        v1 = memory_v1()
        if v1:
            (v1 / self.name / "memory.limit_in_bytes").write_text(size)
            swap = v1 / self.name / "memory.memsw.limit_in_bytes"
            if swap.exists():  # only where the kernel counts swap
                swap.write_text(size)
            return
        for parent in reversed(self.v2.relative_to(unified()).parents):
            (unified() / parent / "cgroup.subtree_control").write_text("+memory")
        (self.v2 / "memory.max").write_text(size)
        swap = self.v2 / "memory.swap.max"
        if swap.exists():
            swap.write_text("0")

    def entering(self, argv: Sequence[str | Path]) -> list[str]:
        """Return a command that enters the group first and then becomes ``argv``."""
        files = [str(folder / "cgroup.procs") for folder in self.folders]
        script = 'set -e; n=$1; shift; while [ "$n" -gt 0 ]; do echo $$ > "$1"; shift; n=$((n-1)); done; exec "$@"'
        return ["/bin/sh", "-c", script, "enter", str(len(files)), *files, *(str(word) for word in argv)]

    def members(self) -> set[int]:
        """Return the process ids in this group and the groups below it, in any hierarchy."""
        pids: set[int] = set()
        for folder in self.folders:
            for inner, _, _ in os.walk(folder):
                try:
                    pids.update(int(word) for word in Path(inner, "cgroup.procs").read_text().split())
                except OSError:  # the group went away, or is a threaded one without processes
                    continue
        pids.discard(0)  # processes of another pid namespace than ours
        return pids

    def kill(self, patience: float = 20) -> None:
        """End every process in the group at once, and wait until they are gone."""
        deadline = time.monotonic() + patience
        while True:
            kill_file = self.v2 / "cgroup.kill"
            if kill_file.exists():
                kill_file.write_text("1")
            members = self.members() - {os.getpid()}
            if not members:
                return
            for pid in members:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            if time.monotonic() > deadline:
                raise VirtualError(
                    f"The processes {sorted(members)} of {self.name} do not end, even when killed; "
                    "see the kernel's log (dmesg)."
                )
            time.sleep(0.02)

    def freeze(self, frozen: bool) -> None:
        """Stop the group's processes where they stand, or let them go on."""
        (self.v2 / "cgroup.freeze").write_text("1" if frozen else "0")

    def is_frozen(self) -> bool:
        """Tell whether the group is stopped where it stands."""
        file = self.v2 / "cgroup.freeze"
        return file.exists() and file.read_text().strip() == "1"

    def remove(self) -> bool:
        """Remove the group and those below it, which must be empty; tell whether there was one."""
        found = False
        for folder in self.folders:
            for inner, _, _ in os.walk(folder, topdown=False):
                found = _remove_group(Path(inner)) or found
        return found


def _remove_group(folder: Path) -> bool:
    for _ in range(100):
        try:
            folder.rmdir()
        except FileNotFoundError:
            return False
        except OSError:  # the last process was only just reaped
            time.sleep(0.02)
        else:
            return True
    raise VirtualError(f"The control group {folder} cannot be removed: something is still running in it.")
