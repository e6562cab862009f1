"""Find what a power cut has interrupted or damaged in dpkg's and apt's files on a Pi."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

FIELDS = ("binary:Package", "Package", "db:Status-Want", "db:Status-Eflag", "db:Status-Status")
FORMAT = " ".join(f"${{{field}}}" for field in FIELDS) + "\n"
UNFINISHED = ("unpacked", "half-configured", "triggers-awaited", "triggers-pending")


class Package(NamedTuple):
    """A package in dpkg's database. full_name: with the architecture if several may be installed side by side."""

    full_name: str
    name: str
    wanted: str
    flag: str
    state: str

    @property
    def installed(self) -> bool:
        """Return whether the package is fully installed."""
        return (self.flag, self.state) == ("ok", "installed")


def packages_in(folder: Path) -> list[Package]:
    """Return the packages in a dpkg database; empty if dpkg cannot read it or is not in it."""
    query = ["dpkg-query", f"--admindir={folder}", "--show", f"--showformat={FORMAT}"]
    done = subprocess.run(query, capture_output=True, text=True, errors="replace", check=False)
    lines = [line.split(" ") for line in done.stdout.splitlines()] if done.returncode == 0 else []
    packages = [Package(*line) for line in lines if len(line) == len(FIELDS)]
    return packages if any(package.name == "dpkg" for package in packages) else []


def has_damaged_lists(lists: Path) -> bool:
    """Return whether one of apt's lists is cut off, or has another size than its signed Release file states.

    apt itself does not check: it fetches a list again only when the mirror has a new one.
    """
    for release in lists.glob("*Release"):
        text = release.read_bytes()
        prefix = release.name.removesuffix("Release").removesuffix("In")
        for index in lists.glob(f"{prefix}*"):
            name = re.escape(index.name.removeprefix(prefix).replace("_", "/"))
            signed = re.search(rf" (\d+) {name}\n".encode(), text)
            if signed and (index.stat().st_size != int(signed[1]) or last_byte(index) not in (b"\n", b"")):
                return True
        if not text.endswith(b"\n"):
            return True
    return False


def last_byte(path: Path) -> bytes:
    """Return a file's last byte; empty for an empty file."""
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size - 1, 0))
        return file.read(1)


def faults(packages: list[Package], root: Path = Path("/")) -> Iterator[str]:
    """Yield a short description of each fault that must be repaired."""
    if not packages:
        yield "dpkg's database is damaged"
        return
    if any(root.glob("var/lib/dpkg/updates/*")):  # dpkg's journal since it last wrote `status`
        yield "dpkg was interrupted"
    if any(root.glob("var/cache/apt/archives/*.deb")):  # apt would use a damaged one if its size is right
        yield "apt was interrupted"
    if has_damaged_lists(root / "var/lib/apt/lists"):
        yield "the lists of packages are damaged"  # the role `system` looks for these words
    for package in packages:
        if package.flag == "reinstreq" or package.state == "half-installed":
            yield f"{package.full_name} must be reinstalled"
        elif package.state in UNFINISHED:
            yield f"{package.full_name} is {package.state}"
