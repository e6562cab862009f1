"""dpkg's and apt's files on a Pi, what a power cut has damaged in them, and what repairs that."""

from __future__ import annotations

import gzip
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

FIELDS = ("binary:Package", "Package", "db:Status-Want", "db:Status-Eflag", "db:Status-Status")
FORMAT = " ".join(f"${{{field}}}" for field in FIELDS) + "\n"
UNFINISHED = ("unpacked", "half-configured", "triggers-awaited", "triggers-pending")
Files = dict[Path, bytes | None]  # contents to write; None: to delete


class LostError(Exception):
    """The database cannot be restored; the message says why."""


class Package(NamedTuple):
    """A package that dpkg knows. full_name: with the architecture, where several may be installed side by side."""

    full_name: str
    name: str
    wanted: str
    flag: str
    state: str

    @property
    def installed(self) -> bool:
        """Whether it is fully installed."""
        return (self.flag, self.state) == ("ok", "installed")


class Database:
    """dpkg's and apt's files below a root folder."""

    def __init__(self, root: Path = Path("/")) -> None:
        self.dpkg, self.lists = root / "var/lib/dpkg", root / "var/lib/apt/lists"
        self.archives, self.backups = root / "var/cache/apt/archives", root / "var/backups"
        # Other files that Debian keeps daily copies of.
        self.copied = [self.dpkg / "diversions", self.dpkg / "statoverride", self.lists.with_name("extended_states")]

    def file_lists(self) -> dict[str, bytes]:
        """Return the last byte of each package's list of files; nothing for an empty one."""
        with os.scandir(self.dpkg / "info") as entries:
            return {entry.name: last_byte(entry.path) for entry in entries if entry.name.endswith(".list")}

    def updates(self) -> list[Path]:
        """Return dpkg's journal since it last wrote `status`: files are left if it was interrupted."""
        return sorted(self.dpkg.glob("updates/*"))

    def has_damaged_lists(self) -> bool:
        """Return whether one of apt's lists is cut off, or differs in size from what the mirror signed.

        apt itself does not check: it fetches a list again only when the mirror has a new one.
        """
        for release in self.lists.glob("*Release"):
            text = read(release)
            prefix = release.name.removesuffix("Release").removesuffix("In")
            for index in self.lists.glob(f"{prefix}*"):
                name = re.escape(index.name.removeprefix(prefix).replace("_", "/"))
                signed = re.search(rf" (\d+) {name}\n".encode(), text)
                if signed and (index.stat().st_size != int(signed[1]) or last_byte(index) not in (b"\n", b"")):
                    return True
            if not text.endswith(b"\n"):
                return True
        return False

    def copies(self, path: Path) -> Iterator[bytes]:
        """Yield the copies of a file, the newest first: dpkg's own, and Debian's daily ones."""
        yield read(path.with_name(f"{path.name}-old"))
        daily = self.backups / f"{path.parent.name}.{path.name}"
        for number in range(7):
            yield read(Path(f"{daily}.{number}"))
            with suppress(OSError, EOFError):
                yield gzip.decompress(read(Path(f"{daily}.{number}.gz")))


def read(path: Path) -> bytes:
    """Return a file's contents; nothing if it is missing."""
    return path.read_bytes() if path.is_file() else b""


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


def is_readable(status: bytes) -> bool:
    """Return whether dpkg can read this file `status`, without its journal."""
    with tempfile.TemporaryDirectory() as name:
        for folder in ("info", "updates"):
            Path(name, folder).mkdir()
        Path(name, "status").write_bytes(status)
        return bool(packages_in(Path(name)))


def plan(database: Database, packages: list[Package]) -> Files:
    """Return the files to write and to delete. LostError: there is no copy of `status` to restore."""
    files: Files = {path: None for path in database.updates() if not is_text(read(path))}
    status = database.dpkg / "status"
    if not packages and not is_readable(read(status)):
        # What came after the copy, apt installs once more.
        files[status] = next(filter(is_readable, database.copies(status)), None)
        if files[status] is None:
            raise LostError("dpkg's database is lost: neither its file status nor a copy of it can be read")
    for path in database.copied:
        if not is_text(read(path)):
            files[path] = next((data for data in database.copies(path) if data and is_text(data)), b"")
    for name, last in database.file_lists().items():
        if last not in (b"\n", b""):  # dpkg fails on it, but not if there is none
            files[database.dpkg / "info" / name] = None
    if database.has_damaged_lists():
        files |= dict.fromkeys(filter(Path.is_file, database.lists.glob("*_*")))
    return files | dict.fromkeys(database.archives.glob("*.deb"))


def to_reinstall(packages: list[Package], lists: dict[str, bytes]) -> list[str]:
    """Return what is half installed, what has lost its list of files, and whose list dpkg does not know.

    These are apt-get's names; one that ends in - is a package whose removal was interrupted.
    """
    names = {file.removesuffix(".list") for file in lists}
    for package in packages:
        names -= {package.full_name, package.name}
        half = package.flag == "reinstreq" or package.state == "half-installed"
        # dpkg does not remove what must be reinstalled.
        removal = half and package.wanted in ("deinstall", "purge") and package.flag == "ok"
        last = lists.get(f"{package.full_name}.list", lists.get(f"{package.name}.list"))
        if half or (package.installed and last != b"\n"):
            names.add(package.full_name + ("-" if removal else ""))
    return sorted(names)


def faults(database: Database, packages: list[Package]) -> Iterator[str]:
    """Yield what must be repaired, each in a few words."""
    if not packages:
        yield "dpkg's database is damaged"
        return
    if database.updates():
        yield "dpkg was interrupted"
    yield from (f"{name} must be reinstalled" for name in to_reinstall(packages, database.file_lists()))
    yield from (f"{package.full_name} is {package.state}" for package in packages if package.state in UNFINISHED)
    yield from (f"{path.name} is damaged" for path in plan(database, packages))
