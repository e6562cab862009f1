"""Back up all that a desk keeps in one tar.gz file, and restore such a backup."""

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
from mynn_control.desk.database import Database
from mynn_control.own_files import desk_file
from mynn_control.translation import _

LARGEST = 4 << 30  # bytes of a backup, packed and unpacked
AT_ONCE = 64 << 10  # bytes per read: enough for tarfile, which copies a file in pieces of 16 kB
MOST = 200_000  # files and folders in a backup
SETTINGS = str(runs.SETTINGS.relative_to(runs.PROJECT))
DATABASE = "dist/desk/memory.sqlite"
UNFINISHED = ".download-"  # prefix of temporary archives, deleted once they are sent
# Names that a backup may contain. The function check refuses those with an empty part, `.` or `..`.
NAME = re.compile(
    rf"inventory(\.ini|\.desk\.yml)|{SETTINGS[:-4]}(\.desk)?\.yml|ssh(/(id_ed25519(\.pub)?|known_hosts))?|(handout|dist/(ca|desk|passwords|work))(/.+)?",
    re.S,
)


class BackupError(Exception):
    """A backup is invalid. The message says why."""


@dataclass(frozen=True)
class BackupFiles:
    """Places of the files that a desk keeps. desk: the folder of its database, in dist/.

    home: home folder of the account, only on a desk's own card: its SSH key is then backed up, too.
    """

    inventory: Path
    desk: Path
    home: Path | None = None

    @property
    def dist(self) -> Path:
        """The folder dist/, for all that a teacher's computer keeps."""
        return self.desk.parent

    @property
    def paths(self) -> dict[str, Path]:
        """Name in a backup → path on this computer. The names are paths in the project, except `ssh`."""
        paths = {"inventory.ini": self.inventory, SETTINGS: runs.SETTINGS}
        paths |= {str(desk_file(Path(place))): desk_file(path) for place, path in paths.items()}
        paths["handout"] = self.dist.parent / "handout"
        paths |= {f"dist/{name}": self.dist / name for name in ("ca", "passwords", "work")}
        return paths | {"dist/desk": self.desk} | ({"ssh": self.home / ".ssh"} if self.home else {})

    @property
    def key(self) -> str:
        """The public SSH key of a desk on its own card; empty elsewhere."""
        public = self.home / ".ssh/id_ed25519.pub" if self.home else None
        return public.read_text(encoding="utf-8").strip() if public and public.exists() else ""

    @property
    def uploaded(self) -> Path:
        """The backup to restore at the next start, if it exists."""
        return self.dist / "restore.tar.gz"


def create(files: BackupFiles) -> Path:
    """Write a backup into a new file in dist/, and return its path."""
    with (
        tempfile.NamedTemporaryFile(prefix=UNFINISHED, dir=files.dist, delete=False) as file,
        tarfile.open(fileobj=file, mode="w:gz", compresslevel=1) as tar,
    ):
        for place, path in files.paths.items():
            if path.exists():
                tar.add(path, place, filter=_wanted)
        with tempfile.TemporaryDirectory(dir=files.dist, prefix=".memory-") as folder:
            copy = f"{folder}/memory.sqlite"
            with closing(sqlite3.connect(files.desk / "memory.sqlite")) as memory:
                memory.execute("VACUUM INTO ?", (copy,))
            tar.add(copy, DATABASE)
    return Path(file.name)


def _wanted(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    is_plain = (member.isfile() or member.isdir()) and not member.name.startswith(DATABASE)
    return member if is_plain and NAME.fullmatch(member.name) else None


class _Unpacked(gzip.GzipFile):
    """Gzip stream with a limit per read, because tarfile reads long names and pax headers whole."""

    def read(self, size: int | None = -1) -> bytes:
        if size is None or not 0 <= size <= AT_ONCE:
            raise BackupError(_("This backup is too large."))
        return super().read(size)


def check(file: IO[bytes], into: Path | None = None) -> None:
    """Check a whole backup, and unpack it into a folder if one is given.

    BackupError: it contains other files than a backup does, is too large, or is damaged.
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
                    wrong = _("This is not a backup of a desk: it contains {name}.")
                    raise BackupError(wrong.format(name=printable(member.name, 100)))
                if not (member.isfile() or member.isdir()) or member.issparse():
                    wrong = _("In this backup, {name} is neither a file nor a folder.")
                    raise BackupError(wrong.format(name=printable(member.name, 100)))
                if member.offset_data + member.size > LARGEST or number >= MOST or tar.pax_headers:
                    raise BackupError(_("This backup is too large."))
                if into or member.name == DATABASE:
                    _extract(tar, member, Path(into or own))
                if member.name == DATABASE:
                    _check_memory(Path(into or own, DATABASE))
                tar.members.clear()  # type: ignore[attr-defined] # or tarfile keeps every header in memory
    except (tarfile.TarError, OSError, EOFError, ValueError, RecursionError, zlib.error) as error:
        raise BackupError(_("This file is damaged, or is not a backup of a desk.")) from error
    if needed:
        raise BackupError(_("This is not a backup of a desk: it lacks the list of Pis, or the desk’s memory."))


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, into: Path) -> None:
    """Extract a file or a folder, without its owner and unusual rights."""
    if hasattr(tarfile, "data_filter"):
        tar.extract(member, into, filter="data")
        return
    # Debian 12's Python has no filters yet. Only files and folders come here.
    member.mode = member.mode & 0o755 | (0o700 if member.isdir() else 0o600)
    member.uid, member.gid, member.uname, member.gname = os.getuid(), os.getgid(), "", ""
    tar.extract(member, into)


def _check_memory(path: Path) -> None:
    # Open a copy: Database migrates the file, and the desk itself must see the old version.
    with suppress(SystemExit), tempfile.TemporaryDirectory() as folder:  # raised if a later mynn-pi wrote it
        if path.is_file() and not Database(Path(shutil.copy(path, folder))).damaged:
            return
    raise BackupError(_("What the desk remembers is damaged in this backup, or was written by a later mynn-pi."))


def restore(files: BackupFiles) -> str:
    """Restore an uploaded backup; or undo the last restore, if the desk did not start from it.

    Replaced files stay in dist/before-DATE. After a power cut, the restore starts over. Returns a note, or nothing.
    """
    for left in files.dist.glob(f"{UNFINISHED}*"):  # left by a desk that was killed
        left.unlink()
    for tried in files.dist.glob("restored-*"):
        _swap(files, *(files.dist / tried.name.replace("restored", name) for name in ("before", "failed")))
        tried.unlink()
        return _("The desk could not start from the backup, so the previous files were put back.")
    if not files.uploaded.exists():
        return ""
    now = time.strftime("%Y-%m-%d_%H-%M-%S")
    with tempfile.TemporaryDirectory(dir=files.dist, prefix=".restore-") as folder:
        try:
            with files.uploaded.open("rb") as file:
                check(file, into=Path(folder))
        except (BackupError, OSError) as error:
            files.uploaded.unlink()
            return _("The backup was not restored, and nothing was changed.") + f" {error}"
        _swap(files, Path(folder), files.dist / f"before-{now}")
    files.uploaded.rename(files.dist / f"restored-{now}")
    return ""


def _swap(files: BackupFiles, new: Path, before: Path) -> None:
    """Move the desk's files into the folder `before`, and the files of the folder `new` into their place."""
    for place, path in files.paths.items():
        for source, target in ((path, before / place), (new / place, path)):
            if source.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.move(source, target)


def confirm_restore(files: BackupFiles) -> None:
    """Record that the desk has started from the restored backup."""
    for tried in files.dist.glob("restored-*"):
        tried.unlink()
