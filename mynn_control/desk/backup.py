"""Back up what a desk keeps as one file, and put a backup in its place."""

from __future__ import annotations

import gzip
import os
import re
import shutil
import sqlite3
import tarfile
import tempfile
import time
import zlib
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ansible_collections.mynn.pi.plugins.module_utils.text import printable
from mynn_control.desk import runs
from mynn_control.desk.memory import Memory
from mynn_control.own_files import beside
from mynn_control.words import _

LARGEST = 4 << 30  # bytes of a backup, and of all that is in it
AT_ONCE = 64 << 10  # bytes; tarfile copies a file in pieces of 16 kB
MOST = 200_000  # files
SETTINGS = str(runs.SETTINGS.relative_to(runs.PROJECT))
DATABASE = "dist/desk/memory.sqlite"
UNFINISHED = ".download-"  # begins the names of what is being packed
# What a backup may have: no hidden file of the desk's, and no way out of its folders.
NAME = re.compile(
    rf"inventory(\.ini|\.desk\.yml)|{SETTINGS[:-4]}(\.desk)?\.yml|ssh(/(id_ed25519(\.pub)?|known_hosts))?|(handout|dist/(ca|desk|passwords|work))(/.+)?",
    re.S,
)


class BackupError(Exception):
    """What is wrong with a backup, in words."""


@dataclass(frozen=True)
class Kept:
    """What a desk keeps: its inventory, and the folder of its memory, in dist/.

    home: of its own account, if it is on a card of its own: the SSH key there is the desk's.
    """

    inventory: Path
    desk: Path
    home: Path | None = None

    @property
    def dist(self) -> Path:
        """The folder of all that a teacher's computer keeps."""
        return self.desk.parent

    @property
    def places(self) -> dict[str, Path]:
        """Where it is, by its name in a backup, which is its place in the project of a desk's card."""
        places = {"inventory.ini": self.inventory, SETTINGS: runs.SETTINGS}
        places |= {str(beside(Path(place))): beside(path) for place, path in places.items()}
        places["handout"] = self.dist.parent / "handout"
        places |= {f"dist/{name}": self.dist / name for name in ("ca", "passwords", "work")}
        return places | {"dist/desk": self.desk} | ({"ssh": self.home / ".ssh"} if self.home else {})

    @property
    def key(self) -> str:
        """The public SSH key, of a desk on a card of its own."""
        public = self.home / ".ssh/id_ed25519.pub" if self.home else None
        return public.read_text(encoding="utf-8").strip() if public and public.exists() else ""

    @property
    def waiting(self) -> Path:
        """A backup that is put in place when the desk starts."""
        return self.dist / "restore.tar.gz"


def write(kept: Kept) -> Path:
    """Write a backup into a new file in dist/, and return its path."""
    descriptor, made = tempfile.mkstemp(prefix=UNFINISHED, dir=kept.dist)
    with os.fdopen(descriptor, "wb") as file, tarfile.open(fileobj=file, mode="w:gz", compresslevel=1) as tar:
        for place, path in kept.places.items():
            if path.exists():
                tar.add(path, place, filter=_wanted)
        with tempfile.TemporaryDirectory(dir=kept.dist, prefix=".memory-") as folder:
            copy = f"{folder}/memory.sqlite"
            with closing(sqlite3.connect(kept.desk / "memory.sqlite")) as memory:
                memory.execute("VACUUM INTO ?", (copy,))
            tar.add(copy, DATABASE)
    return Path(made)


def _wanted(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    is_plain = (member.isfile() or member.isdir()) and not member.name.startswith(DATABASE)
    return member if is_plain and NAME.fullmatch(member.name) else None


class _Unpacked(gzip.GzipFile):
    """What a backup unpacks to. tarfile reads long names and pax headers whole."""

    def read(self, size: int | None = -1) -> bytes:
        if size is None or not 0 <= size <= AT_ONCE:
            raise BackupError(_("This backup is too large."))
        return super().read(size)


def check(file: IO[bytes], into: Path | None = None) -> None:
    """Read a backup to its end, and unpack it into a folder, if that is given.

    BackupError: it has what no backup of a desk's has, or too much, or is damaged.
    """
    needed = {"inventory.ini", DATABASE}
    try:
        with (
            tempfile.TemporaryDirectory() as own,
            _Unpacked(fileobj=file, mode="rb") as unpacked,
            tarfile.open(fileobj=unpacked, mode="r:") as tar,
        ):
            for number, member in enumerate(tar):
                needed.discard(member.name)
                parts = member.name.split("/")
                if not NAME.fullmatch(member.name) or not {"", ".", ".."}.isdisjoint(parts):
                    wrong = _("This is no backup of a desk: it has {name}.")
                    raise BackupError(wrong.format(name=printable(member.name, 100)))
                if not (member.isfile() or member.isdir()) or member.issparse():
                    wrong = _("In this backup, {name} is neither a file nor a folder.")
                    raise BackupError(wrong.format(name=printable(member.name, 100)))
                if member.offset_data + member.size > LARGEST or number >= MOST or tar.pax_headers:
                    raise BackupError(_("This backup is too large."))
                if into or member.name == DATABASE:
                    tar.extract(member, into or own, filter="data")
                if member.name == DATABASE:
                    _check_memory(Path(into or own, DATABASE))
                tar.members.clear()  # type: ignore[attr-defined] # it keeps what it has read
    except (tarfile.TarError, OSError, EOFError, ValueError, RecursionError, zlib.error) as error:
        raise BackupError(_("This file is damaged, or is no backup of a desk’s.")) from error
    if needed:
        raise BackupError(_("This is no backup of a desk: it lacks the list of Pis, or what the desk remembers."))


def _check_memory(path: Path) -> None:
    # A copy, since Memory brings a file forward, and the desk itself has to see what it was.
    with suppress(SystemExit), tempfile.TemporaryDirectory() as folder:  # it is a later mynn-pi's
        if path.is_file() and not Memory(Path(shutil.copy(path, folder))).set_aside:
            return
    raise BackupError(_("What the desk remembers is damaged in this backup, or was written by a later mynn-pi."))


def restore(kept: Kept) -> str:
    """Put a backup that waits in place; or, if the desk did not start from the last one, what was there before.

    What was there is kept in dist/before-DATE; a power cut only repeats this. Returns what the teacher should know.
    """
    for left in kept.dist.glob(f"{UNFINISHED}*"):  # of a desk that was killed
        left.unlink()
    for tried in kept.dist.glob("restored-*"):
        _exchange(kept, *(kept.dist / tried.name.replace("restored", name) for name in ("before", "failed")))
        tried.unlink()
        return _("The desk could not start from the backup, so it has again what was here before.")
    if not kept.waiting.exists():
        return ""
    now = time.strftime("%Y-%m-%d_%H-%M-%S")
    with tempfile.TemporaryDirectory(dir=kept.dist, prefix=".restore-") as folder:
        try:
            with kept.waiting.open("rb") as file:
                check(file, into=Path(folder))
        except (BackupError, OSError) as error:
            kept.waiting.unlink()
            return f"{_('The backup was not restored, and nothing was changed.')} {error}"
        _exchange(kept, Path(folder), kept.dist / f"before-{now}")
    kept.waiting.rename(kept.dist / f"restored-{now}")
    return ""


def _exchange(kept: Kept, new: Path, before: Path) -> None:
    """Move a desk's files into one folder, and the contents of another into their place."""
    for place, path in kept.places.items():
        for source, target in ((path, before / place), (new / place, path)):
            if source.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.move(source, target)


def started(kept: Kept) -> None:
    """Note that the desk could start from the backup that was restored."""
    for tried in kept.dist.glob("restored-*"):
        tried.unlink()
