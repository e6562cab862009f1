"""Control groups: list a fleet's processes, limit a guest's memory, and kill them all.

A group has the same name in every hierarchy that matters: cgroup version 2 and, where version 1 is mounted too, version
1's memory (for the limit) and systemd's own (which systemd-nspawn needs). A process cannot leave its group, so a
fleet's processes are found even after their supervisor was killed.
"""

import os
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

from .mounts import read_mounts
from .shell import VirtualError


@cache
def unified() -> Path:
    """Return the mount point of cgroup version 2."""
    for mount in read_mounts():
        if mount.kind == "cgroup2" and mount.source_root == "/":
            return mount.point
    raise VirtualError(
        "The virtual Pis need cgroup version 2, which is not mounted on this host; "
        "a Debian 12 or 13 host mounts it at /sys/fs/cgroup."
    )


@cache
def memory_v1() -> Path | None:
    """Return the mount point of version 1's memory hierarchy, or None if version 2 controls memory."""
    return _version_1("memory")


@cache
def cpu_v1() -> Path | None:
    """Return the mount point of version 1's cpu hierarchy, or None if version 2 controls processors."""
    return _version_1("cpu")


@cache
def hierarchies() -> list[Path]:
    """Return the mount points of all hierarchies that a group is in, version 2 first."""
    others = [memory_v1(), _version_1("name=systemd")]
    return [unified(), *(path for path in others if path)]


def _version_1(option: str) -> Path | None:
    for mount in read_mounts():
        if mount.kind == "cgroup" and option in mount.options:
            return mount.point
    return None


class Group:
    """A control group. Its name is its path in each hierarchy, such as ``mynn-0a1b2c3d/pi-01/guest``."""

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
        """Create the group and its parents in every hierarchy."""
        for folder in self.folders:
            folder.mkdir(parents=True, exist_ok=True)

    def cap_memory(self, mebibytes: int) -> None:
        """Limit the memory of all processes in the group, and allow no swap."""
        size = str(mebibytes * 1024 * 1024)
        v1 = memory_v1()
        if v1:
            (v1 / self.name / "memory.limit_in_bytes").write_text(size)
            swap = v1 / self.name / "memory.memsw.limit_in_bytes"
            if swap.exists():  # only where the kernel counts swap
                swap.write_text(size)
            return
        self._delegate("memory")
        (self.v2 / "memory.max").write_text(size)
        swap = self.v2 / "memory.swap.max"
        if swap.exists():
            swap.write_text("0")

    def cap_processor(self, share: float) -> None:
        """Limit the processor time of the processes in the group, and of what they start: 0.5 is half a processor."""
        period = 100_000  # microseconds
        v1 = cpu_v1()
        if v1:
            folder = v1 / self.name
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "cpu.cfs_period_us").write_text(str(period))
            (folder / "cpu.cfs_quota_us").write_text(str(int(share * period)))
            for pid in self.members():
                with suppress(ProcessLookupError):  # it has ended
                    (folder / "cgroup.procs").write_text(str(pid))
            return
        self._delegate("cpu")
        (self.v2 / "cpu.max").write_text(f"{int(share * period)} {period}")

    def _delegate(self, controller: str) -> None:
        for parent in reversed(self.v2.relative_to(unified()).parents):
            (unified() / parent / "cgroup.subtree_control").write_text(f"+{controller}")

    def entering(self, argv: Sequence[str | Path]) -> list[str]:
        """Return a command that enters the group, then executes ``argv``."""
        files = [str(folder / "cgroup.procs") for folder in self.folders]
        script = 'set -e; n=$1; shift; while [ "$n" -gt 0 ]; do echo $$ > "$1"; shift; n=$((n-1)); done; exec "$@"'
        return ["/bin/sh", "-c", script, "enter", str(len(files)), *files, *(str(word) for word in argv)]

    def members(self) -> set[int]:
        """Return the ids of the processes in this group and its children, in any hierarchy."""
        pids: set[int] = set()
        for folder in self.folders:
            for inner, _, _ in os.walk(folder):
                try:
                    pids.update(int(word) for word in Path(inner, "cgroup.procs").read_text().split())
                except OSError:  # the group is gone, or is a threaded one
                    continue
        pids.discard(0)  # stands for processes outside our pid namespace
        return pids

    def kill(self, patience: float = 20) -> None:
        """Kill every process in the group, and wait until they are gone."""
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
                    f"The processes {sorted(members)} of {self.name} were killed, but are still there; "
                    "see the kernel's log (dmesg)."
                )
            time.sleep(0.02)

    def freeze(self, frozen: bool) -> None:
        """Freeze the group's processes, or thaw them."""
        (self.v2 / "cgroup.freeze").write_text("1" if frozen else "0")

    def is_frozen(self) -> bool:
        """Return whether the group is frozen."""
        file = self.v2 / "cgroup.freeze"
        return file.exists() and file.read_text().strip() == "1"

    def remove(self) -> bool:
        """Remove the group and its children, which must have no processes. Return whether there was one."""
        found = False
        v1 = cpu_v1()
        for folder in [*self.folders, *([v1 / self.name] if v1 else [])]:  # the last is there if a processor was capped
            for inner, _, _ in os.walk(folder, topdown=False):
                found = _remove_group(Path(inner)) or found
        return found


def _remove_group(folder: Path) -> bool:
    for _ in range(100):
        try:
            folder.rmdir()
        except FileNotFoundError:
            return False
        except OSError:  # the last process may not be reaped yet
            time.sleep(0.02)
        else:
            return True
    raise VirtualError(f"The control group {folder} cannot be removed: something is still running in it.")
