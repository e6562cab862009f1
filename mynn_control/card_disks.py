"""List this computer's disks with lsblk, and tell which of them may be an SD card."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ansible_collections.mynn.pi.plugins.module_utils.text import printable

GB = 10**9
COLUMNS = "PATH,TYPE,SIZE,RO,RM,TRAN,VENDOR,MODEL,MOUNTPOINTS"
# Where desktops mount removable disks. This computer uses disks that are mounted elsewhere.
DESKTOP = ("/media/", "/run/media/")


@dataclass(frozen=True)
class Disk:
    """A disk. problem: why it may not be written to, or ""; mounted: its mounted partitions."""

    path: str
    title: str
    problem: str
    mounted: tuple[str, ...]


def disks(largest: int) -> dict[str, Disk]:
    """Return the disks by path, without empty card readers. largest: a card's maximum size, in bytes."""
    command = ["lsblk", "--json", "--bytes", "--output", COLUMNS]
    output = subprocess.run(command, capture_output=True, check=True, timeout=60).stdout
    entries = [entry for entry in json.loads(output)["blockdevices"] if entry["type"] == "disk" and entry["size"]]
    return {
        entry["path"]: Disk(
            entry["path"],
            _title(entry),
            _problem(entry, largest),
            tuple(part["path"] for part in _parts(entry) if _mounts(part)),
        )
        for entry in entries
    }


def _problem(entry: dict[str, Any], largest: int) -> str:
    parts = list(_parts(entry))
    mounts = [mount for part in parts for mount in _mounts(part)]
    own = [mount for mount in mounts if not mount.startswith(DESKTOP)]
    if own:
        return f"this computer uses it: {printable(own[0])}"
    if any(part["type"] not in ("disk", "part") for part in parts):
        return "this computer uses it"
    if not (entry["rm"] or entry["tran"] == "mmc" or entry["path"].startswith("/dev/mmcblk")):
        return "it is a hard disk, or built into this computer"
    if entry["size"] > largest:
        return f"it is larger than {largest // GB} GB, as few cards are; see the setting cards_largest_gb"
    if entry["ro"]:
        return "it is write-protected: slide the switch at the side of the card or of its adapter"
    return ""


def _parts(entry: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield an entry of lsblk and all below it: partitions, and volumes in them."""
    yield entry
    for child in entry.get("children", []):
        yield from _parts(child)


def _mounts(part: dict[str, Any]) -> list[str]:
    return [mount for mount in part["mountpoints"] if mount]


def _title(entry: dict[str, Any]) -> str:
    words = [str(entry[key] or "").strip() for key in ("vendor", "model")]
    return printable(" ".join([*filter(None, words), f"{entry['size'] / GB:.0f} GB"]))
