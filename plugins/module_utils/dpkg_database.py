"""dpkg's and apt's databases on a Pi, and what a power cut has damaged in them."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

FIELDS = ("binary:Package", "Package", "Architecture", "db:Status-Want", "db:Status-Eflag", "db:Status-Status")
FORMAT = " ".join(f"${{{field}}}" for field in FIELDS) + "\n"


class Package(NamedTuple):
    """A package that dpkg knows. full_name: with the architecture, where several may be installed side by side."""

    full_name: str
    name: str
    architecture: str
    wanted: str
    flag: str
    state: str

    @property
    def installed(self) -> bool:
        """Whether it is fully installed."""
        return (self.flag, self.state) == ("ok", "installed")

    @property
    def half_installed(self) -> bool:
        """Whether dpkg was installing or removing it, and more than configuring is left to do."""
        return self.flag == "reinstreq" or self.state == "half-installed"


class Database:
    """dpkg's and apt's files below a root folder."""

    def __init__(self, root: Path = Path("/")) -> None:
        self.dpkg, self.apt = root / "var/lib/dpkg", root / "var/lib/apt"
        self.archives = root / "var/cache/apt/archives"
        self.backups = root / "var/backups"

    def file_lists(self) -> dict[str, bytes]:
        """Return the last byte of each package's list of files; nothing for an empty one."""
        with os.scandir(self.dpkg / "info") as entries:
            return {entry.name: last_byte(entry.path) for entry in entries if entry.name.endswith(".list")}

    def damaged_indexes(self) -> list[Path]:
        """Return apt's lists that are cut off, or differ in size from what the mirror signed.

        apt itself does not check: it fetches a list again only when the mirror has a new one.
        """
        damaged = []
        for release in self.apt.glob("lists/*Release"):
            text = read(release)
            if not text.endswith(b"\n"):
                damaged.append(release)
            prefix = release.name.removesuffix("Release").removesuffix("In")
            for index in self.apt.glob(f"lists/{prefix}*"):
                name = re.escape(index.name.removeprefix(prefix).replace("_", "/"))
                signed = re.search(rf" (\d+) {name}\n".encode(), text)
                if signed and (index.stat().st_size != int(signed[1]) or last_byte(index) not in (b"\n", b"")):
                    damaged.append(index)
        return damaged

    def copied_files(self) -> dict[Path, str]:
        """Return the other files that Debian keeps daily copies of, and the copies' name."""
        dpkg = {self.dpkg / name: f"dpkg.{name}" for name in ("diversions", "statoverride")}
        return {**dpkg, self.apt / "extended_states": "apt.extended_states"}

    def updates(self) -> list[Path]:
        """Return dpkg's journal since it last wrote `status`: files are left if it was interrupted."""
        return sorted(self.dpkg.glob("updates/*"))


def last_byte(path: str | Path) -> bytes:
    """Return a file's last byte, without pathlib and buffers: a Pi Zero asks for hundreds in each run."""
    try:
        file = os.open(path, os.O_RDONLY)
    except OSError:
        return b""
    try:
        return os.pread(file, 1, max(os.fstat(file).st_size - 1, 0))
    finally:
        os.close(file)


def is_text(data: bytes) -> bool:
    """Return whether a file is empty, or may be as it was written: what did not reach the card is zeros or cut off."""
    return not data or (data.endswith(b"\n") and b"\0" not in data)


def packages_in(folder: Path) -> list[Package]:
    """Return the packages in a folder with dpkg's database; none if dpkg cannot read it, or has forgotten itself."""
    query = ["dpkg-query", f"--admindir={folder}", "--show", f"--showformat={FORMAT}"]
    done = subprocess.run(query, capture_output=True, text=True, errors="replace", check=False)
    lines = [line.split(" ") for line in done.stdout.splitlines()] if done.returncode == 0 else []
    packages = [Package(*line) for line in lines if len(line) == len(FIELDS)]
    return packages if any(package.name == "dpkg" for package in packages) else []


def to_reinstall(packages: list[Package], lists: dict[str, bytes]) -> list[str]:
    """Return what is half installed, what has lost its list of files, and whose list dpkg does not know.

    These are apt-get's names; one that ends in - is a package whose removal was interrupted.
    """
    names = {file.removesuffix(".list") for file in lists}
    for package in packages:
        names -= {package.full_name, package.name}
        # dpkg does not remove what must be reinstalled.
        removal = package.wanted in ("deinstall", "purge") and package.flag == "ok"
        last = lists.get(f"{package.full_name}.list", lists.get(f"{package.name}.list"))
        if package.half_installed or (package.installed and last != b"\n"):
            names.add(package.full_name + ("-" if removal and package.half_installed else ""))
    return sorted(names)


def faults(database: Database, packages: list[Package]) -> Iterator[str]:
    """Yield what must be repaired, each in a few words."""
    if not packages:
        yield "dpkg's database is damaged"
        return
    if database.updates():
        yield "dpkg was interrupted"
    lists = database.file_lists()
    yield from (f"{name} must be reinstalled" for name in to_reinstall(packages, lists))
    for package in packages:
        if package.state in ("unpacked", "half-configured", "triggers-awaited", "triggers-pending"):
            yield f"{package.full_name} is {package.state}"
    yield from (f"{name} is damaged" for name, last in lists.items() if last not in (b"\n", b""))
    yield from (f"{path.name} is damaged" for path in database.copied_files() if not is_text(read(path)))
    yield from (f"apt's list {path.name} is damaged" for path in database.damaged_indexes())
    if any(database.archives.glob("*.deb")):
        yield "apt was interrupted"


def read(path: Path) -> bytes:
    """Return a file's contents; nothing if it is missing."""
    return path.read_bytes() if path.is_file() else b""
