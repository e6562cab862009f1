"""dpkg's and apt's databases on a Pi, and what a power cut has damaged in them."""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

GZIP = zlib.MAX_WBITS | 16  # the form; gzip itself would be one more module to load
# A line of a stanza begins a field or continues it. dpkg writes no NUL bytes and only UTF-8, but a file that had not
# reached the card when the power failed may have its length and other contents.
_LINE = r"[^\n\0\ud800-\udfff]*\n"
WHOLE = re.compile(rf"Package: [a-z0-9][a-z0-9+.-]*\n(?:(?:[!-9;-~]+:|[ \t]){_LINE})*")
STATUS = re.compile(
    r"(?:unknown|install|hold|deinstall|purge) (?:ok|reinstreq) (?:not-installed|config-files|half-installed|unpacked"
    r"|half-configured|triggers-awaited|triggers-pending|installed)"
)
# Files that dpkg reads first, and fails on if they do not look like this. They may be missing.
FORMS = {
    "arch": rb"(?:[a-z0-9-]+\n)*",
    "diversions": rb"(?:/[^\n\0]*\n/[^\n\0]*\n[^\n\0]+\n)*",
    "info/format": rb"1\n",
    "statoverride": rb"(?:[^\s\0]+ [^\s\0]+ [0-7]+ /[^\n\0]*\n)*",
    "triggers/File": rb"(?:/[^\n\0]* [a-z0-9][a-z0-9+.:/-]*\n)*",
    "triggers/Unincorp": rb"(?:[^\s\0]+(?: [^\s\0]+)+\n)*",
}


class Package:
    """A package, from its stanza in dpkg's database."""

    def __init__(self, stanza: str) -> None:
        self.stanza = stanza
        self.name = stanza[len("Package: ") : stanza.index("\n")]

    def field(self, name: str) -> str:
        """A field's first line; empty if there is none."""
        begin = self.stanza.find(f"\n{name}: ") + len(name) + 3
        return self.stanza[begin : self.stanza.index("\n", begin)] if begin >= len(name) + 3 else ""

    @property
    def key(self) -> str:
        """The name of its files in info/: with the architecture if several may be installed side by side."""
        same = "\nMulti-Arch: same\n" in self.stanza
        return f"{self.name}:{self.field('Architecture')}" if same else self.name

    @property
    def status(self) -> list[str]:
        """The wanted state, whether it must be reinstalled (reinstreq), and its state."""
        return self.field("Status").split()

    @property
    def installed(self) -> bool:
        """Whether it is fully installed."""
        return "\nStatus: install ok installed\n" in self.stanza or self.status[1:] == ["ok", "installed"]

    @property
    def absent(self) -> bool:
        """Whether nothing but its settings is left."""
        return self.status[1:] in (["ok", "not-installed"], ["ok", "config-files"])

    def with_status(self, status: str) -> Package:
        """Return the package with another status."""
        return Package(re.sub(r"(?m)^Status: .*", f"Status: {status}", self.stanza, count=1))


def read(path: Path) -> bytes:
    """Return a file's contents, unpacked; nothing if it is missing or damaged."""
    try:
        data = path.read_bytes()
        return zlib.decompress(data, GZIP) if path.suffix == ".gz" else data
    except (OSError, EOFError, zlib.error):
        return b""


def stanzas(data: bytes) -> tuple[list[str], bool]:
    """Return a file's stanzas, and whether they look whole at a glance."""
    *found, rest = data.decode(errors="surrogateescape").split("\n\n")
    found = [f"{stanza}\n" for stanza in found]
    try:
        data.decode()
    except UnicodeDecodeError:
        return found, False
    whole = all(stanza.startswith("Package: ") for stanza in found)
    return found, whole and not rest and b"\0" not in data


def parse(data: bytes) -> tuple[dict[str, Package], bool]:
    """Return the packages by their keys, and whether the file is whole. A full check: a second on a Pi Zero."""
    found, whole = stanzas(data)
    packages = [Package(stanza) for stanza in found if WHOLE.fullmatch(stanza)]
    known = {package.key: package for package in packages if STATUS.fullmatch(package.field("Status"))}
    return known, whole and len(known) == len(found)


class Database:
    """dpkg's and apt's files below a root folder."""

    def __init__(self, root: Path = Path("/")) -> None:
        self.dpkg, self.apt = root / "var/lib/dpkg", root / "var/lib/apt"
        self.archives = root / "var/cache/apt/archives"
        self.backups = root / "var/backups"

    def copies(self, name: str) -> list[Path]:
        """Return Debian's daily copies of a file, the newest first."""
        found = (
            path for path in self.backups.glob(f"{name}.*") if re.fullmatch(r"\.\d+(\.gz)?", path.name[len(name) :])
        )
        return sorted(found, key=lambda path: int(path.name.removeprefix(f"{name}.").removesuffix(".gz")))

    def updates(self) -> list[Path]:
        """Return dpkg's journal since it last wrote `status`: files are left if it was interrupted."""
        return sorted(self.dpkg.glob("updates/*"))

    def file_lists(self) -> dict[str, bytes]:
        """Return the first and last byte of each package's list of files, which show whether it is whole.

        The list of a removed package that has left only a script is empty.
        """
        found = {}
        with os.scandir(self.dpkg / "info") as entries:
            for entry in entries:
                if entry.name.endswith(".list"):
                    found[entry.name.removesuffix(".list")] = ends(entry.path)
        return found

    def malformed(self) -> Iterator[str]:
        """Yield the small files that dpkg would fail on."""
        forms = FORMS | {f"triggers/{name}": rb"(?:[a-z0-9][a-z0-9+.:/-]*\n)*" for name in self.named_triggers()}
        for name, form in forms.items():
            path = self.dpkg / name
            if path.exists() and not re.fullmatch(form, path.read_bytes()):
                yield name

    def named_triggers(self) -> list[str]:
        """Return the triggers that are not paths: each has a file that lists the packages interested in it."""
        others = {"File", "Unincorp", "Lock"}
        return [path.name for path in self.dpkg.glob("triggers/*") if path.name not in others]

    def damaged_indexes(self) -> list[Path]:
        """Return apt's lists that are not text, or differ in size from what the mirror signed.

        apt itself does not check: it fetches an index again only when the mirror has a new one.
        """
        damaged = []
        for release in self.apt.glob("lists/*Release"):
            text = release.read_bytes()
            signed = release.name.endswith("_InRelease")
            if not text or b"\0" in text or (signed and not text.endswith(b"-----END PGP SIGNATURE-----\n")):
                damaged.append(release)
                continue
            prefix = release.name.removesuffix("InRelease").removesuffix("Release")
            for index in self.apt.glob(f"lists/{prefix}*"):
                path = index.name.removeprefix(prefix).replace("_", "/").encode()
                listed = re.search(rb" (\d+) " + re.escape(path) + rb"\n", text)
                if listed and (index.stat().st_size != int(listed[1]) or ends(index)[1:] in (b"\0", b"")):
                    damaged.append(index)
        return damaged

    def broken_marks(self) -> bool:
        """Return whether apt's record of automatically installed packages is damaged."""
        data = read(self.apt / "extended_states")
        return bool(data) and not stanzas(data)[1]


def ends(path: str | Path) -> bytes:
    """Return a file's first and last byte, without pathlib and buffers: a Pi Zero reads hundreds in each run."""
    try:
        file = os.open(path, os.O_RDONLY)
    except OSError:
        return b""
    try:
        return os.pread(file, 1, 0) + os.pread(file, 1, max(os.fstat(file).st_size - 1, 0))
    finally:
        os.close(file)


def faults(database: Database, packages: Iterable[Package], whole: bool) -> Iterator[str]:
    """Yield what must be repaired, each in a few words."""
    if not whole:
        yield "dpkg's status file is damaged"
    if database.updates():
        yield "dpkg was interrupted"
    known = set()
    lists = database.file_lists()
    for package in packages:
        known.add(package.key)
        if package.installed:
            if lists.get(package.key) != b"/\n":
                yield f"the list of files of {package.key} is damaged"
        elif not package.absent:
            must = "reinstreq" in package.status
            yield f"{package.key} {'must be reinstalled' if must else f'is {package.status[-1]}'}"
        elif lists.get(package.key, b"") not in (b"/\n", b""):
            yield f"the list of files of {package.key} is damaged"
    yield from (f"dpkg does not know {key}, whose files are there" for key in lists.keys() - known)
    yield from (f"dpkg's file {name} is damaged" for name in database.malformed())
    yield from (f"apt's list {path.name} is damaged" for path in database.damaged_indexes())
    if database.broken_marks():
        yield "apt's extended_states is damaged"


def look(database: Database) -> tuple[list[Package], list[str]]:
    """Return the packages that dpkg knows, and what must be repaired."""
    found, whole = stanzas(read(database.dpkg / "status"))
    whole = whole and bool(found) and all("\nStatus: " in stanza for stanza in found)
    packages = [Package(stanza) for stanza in found if stanza.startswith("Package: ") and "\nStatus: " in stanza]
    return packages, sorted(faults(database, packages, whole))
