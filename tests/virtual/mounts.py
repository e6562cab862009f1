"""List mounts, as the kernel reports them, and unmount them."""

import re
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from .shell import VirtualError


@dataclass(frozen=True)
class Mount:
    """One line of /proc/self/mountinfo."""

    source_root: str
    point: Path
    kind: str
    options: frozenset[str]  # of the file system, such as lowerdir=... of an overlay


def read_mounts() -> list[Mount]:
    """Return all mounts, oldest first."""
    mounts = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, right = line.split(" - ", 1)
        fields, more = left.split(), right.split()
        mounts.append(Mount(_plain(fields[3]), Path(_plain(fields[4])), more[0], frozenset(_plain(more[2]).split(","))))
    return mounts


def mounts_below(folder: Path) -> list[Path]:
    """Return the mount points at or below a folder, innermost first."""
    points = [mount.point for mount in read_mounts() if mount.point.is_relative_to(folder)]
    return points[::-1]


def unmount_below(folder: Path) -> int:
    """Unmount everything at or below a folder. Return the number of mounts."""
    count = 0
    for point in mounts_below(folder):
        _unmount(point)
        count += 1
    if mounts_below(folder):
        raise VirtualError(f"{mounts_below(folder)[0]} cannot be unmounted; `fuser -vm` shows what uses it.")
    return count


def _unmount(point: Path) -> None:
    for _ in range(25):
        if subprocess.run(["umount", point], stderr=subprocess.DEVNULL, check=False).returncode == 0:
            return
        time.sleep(0.1)  # a process that was just killed may still have a file open
    # Still in use: detach it now; the kernel removes it when its last user leaves.
    subprocess.run(["umount", "--lazy", point], stderr=subprocess.DEVNULL, check=False)


def _plain(text: str) -> str:
    r"""Undo the kernel's escapes, such as \040 for a space."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
