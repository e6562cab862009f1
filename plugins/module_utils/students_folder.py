"""Read and write in a student's folder as the student, without ever losing a student's file."""

from __future__ import annotations

import errno
import hashlib
import itertools
import os
import stat
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from ansible_collections.mynn.pi.plugins.module_utils.parcel import Stream, copied
from ansible_collections.mynn.pi.plugins.module_utils.tree import OURS, File

FOREIGN = ""  # fingerprint of a folder, a link, another account's file or a very large file: not ours
LARGE = 1 << 20  # bytes; a file above this and above four times our file's size is not a version of it
BESIDE = 50  # names to try for a file: its own and (new) to (new 49)
Sums = Mapping[str, Collection[str]]  # path in the home → SHA256 sums


def sha256(content: bytes) -> str:
    """Return the SHA256 sum in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def fingerprint(path: Path, largest: int) -> str | None:
    """Return the SHA256 of a file that this process's account owns, None if nothing is there, and FOREIGN otherwise.

    A file of more than `largest` bytes is FOREIGN, too.
    """
    try:
        about = path.lstat()
    except FileNotFoundError:
        return None
    try:
        return measured(path, largest).sum if about.st_uid == os.geteuid() else FOREIGN
    except OSError:
        return FOREIGN


def open_regular(path: Path) -> IO[bytes]:
    """Open a file for reading, without following a link or waiting for a pipe. OSError: not a regular file."""
    file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    return file


def measured(path: Path, largest: int, name: str = "") -> File:
    """Read a file to measure size and sum. name: its path in the home. largest: bytes, since it may grow meanwhile.

    OSError: the file is not regular, cannot be read, or is too large (EFBIG).
    """
    with open_regular(path) as file:
        about = os.fstat(file.fileno())
        digest, size = hashlib.sha256(), 0
        while max(size, about.st_size) <= largest and (block := file.read(1 << 16)):
            digest.update(block)
            size += len(block)
    if max(size, about.st_size) > largest:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
    return File(name, size, digest.hexdigest(), int(about.st_mtime), bool(about.st_mode & 0o100))


# --- where a file goes


def plan(
    folder: Path, files: Iterable[File], known: Sums, given: Mapping[str, str], dry: bool
) -> tuple[list[str], list[str], dict[str, str]]:
    """Return the names of files to write, the changes that they make, and name → reason for files that cannot be.

    Unless `dry`, anything else in place of the student's folder is moved aside. known: sums of files that may be
    replaced. given: sums that the student was given before and does not need again.
    """
    changes = dict.fromkeys(make_way(folder, dry))
    if changes and dry:
        return [file.name for file in files], list(changes), {}  # their places are not known yet
    needed: list[str] = []
    left: dict[str, str] = {}
    for file in files:
        try:
            path, absent = path_in(folder.parent, file.name)
            place = place_for(path, file, known, given)
        except OSError as error:
            left[file.name] = error.strerror or "it cannot be written there"
            continue
        if place:
            needed.append(file.name)
            changes |= dict.fromkeys([*(f"{made} a folder" for made in absent), f"{place} {file.sum}"])
    return needed, list(changes), left


def path_in(home: Path, name: str) -> tuple[Path, list[Path]]:
    """Return the path for a file with this name in the home, and the folders to create for it.

    If something else is in a folder's place, such as a link, a folder with another name is used.
    """
    absent = []
    place = home
    for part in name.split("/")[:-1]:
        place = next(filter(may_be_folder, itertools.chain([place / part], names_beside(place / part))))
        if not place.exists():
            absent.append(place)
    return place / name.rpartition("/")[2], absent


def place_for(path: Path, file: File, known: Sums, given: Mapping[str, str]) -> Path | None:
    """Return the path to write a file to, or None if it need not be written.

    The file's own name serves if it is free or holds a known version. Otherwise, unless this version was given before,
    an alternative name serves. OSError: all of these are taken.
    """
    for place in itertools.chain([path], names_beside(path)):
        there = fingerprint(place, largest_of(file))
        if there == file.sum:
            return None
        if there is None or there in known.get(file.name, ()):
            return place
        if given.get(file.name) == file.sum:
            return None
    raise AssertionError("names_beside ends with an error")


def largest_of(file: File) -> int:
    """Return the most bytes that another version of a file may have."""
    return max(LARGE, 4 * file.size)


def names_beside(path: Path, word: str = "new") -> Iterator[Path]:
    """Yield part2 (new).ipynb, part2 (new 2).ipynb, and so on. OSError: all BESIDE - 1 are taken."""
    yield path.with_stem(f"{path.stem} ({word})")
    for number in range(2, BESIDE):
        yield path.with_stem(f"{path.stem} ({word} {number})")
    raise FileExistsError(errno.EEXIST, "every name beside it is taken", str(path))


# --- writing


def write(
    home: Path, file: File, content: Stream, known: Sums | None = None, given: Mapping[str, str] | None = None
) -> None:
    """Write a file atomically and sync it. It has no name until it is complete, so a killed run leaves nothing behind.

    OSError: the card is full, or the file was damaged on the way.
    """
    known = known or {}
    path, absent = path_in(home, file.name)
    for missing in absent:
        missing.mkdir()
    with os.fdopen(os.open(path.parent, os.O_TMPFILE | os.O_RDWR, 0o600), "w+b") as new:
        if copied(content, new, file.size) != file.sum:
            raise OSError(errno.EIO, "it was damaged on the way", str(path))
        os.fchmod(new.fileno(), 0o755 if file.executable else 0o644)
        os.utime(new.fileno(), (file.time, file.time))
        os.fsync(new.fileno())
        place = place_for(path, file, known, given or {})
        if place and not has_replaced(place, new.fileno(), known.get(file.name, ()), largest_of(file)):
            new.seek(0)
            write(home, file, new, known, given)  # a nameless file that had a name cannot be linked again


def has_replaced(place: Path, new: int, known: Collection[str], largest: int) -> bool:
    """Link a nameless file to a free path or over a known version. Returns False if the student changed the path first.

    The path is never empty or half-written. A power cut at that moment may leave a hidden file until a reset.
    """
    old, copy = (place.with_name(f"{OURS}{os.urandom(8).hex()}{suffix}") for suffix in (".old", ".new"))
    nameless = f"/proc/self/fd/{new}"
    try:
        if not os.path.lexists(place):
            os.link(nameless, place, src_dir_fd=new)  # unlike a rename, this never replaces another file
            return True
        os.link(place, old)
        os.link(nameless, copy, src_dir_fd=new)
        copy.replace(place)
        if fingerprint(old, largest) in known:
            old.unlink()
            return True
        old.replace(place)  # the student has just saved: put that file back
    except (FileExistsError, FileNotFoundError):
        pass  # the student has just created or removed it
    return False


# --- what is in the way


def may_be_folder(path: Path) -> bool:
    """Return whether this is a folder that this process's account owns (not a link to one), or does not exist yet."""
    try:
        about = path.lstat()
    except FileNotFoundError:
        return True
    except NotADirectoryError:
        return False
    return stat.S_ISDIR(about.st_mode) and about.st_uid == os.geteuid()


@contextmanager
def opened(places: Collection[Path], keep: bool) -> Iterator[list[str]]:
    """Open own folders that are closed even to their owner; unless `keep`, close them again afterwards.

    Yields the changes if they stay open.
    """
    shut: list[tuple[Path, int]] = []
    try:
        for place in places:
            mode = stat.S_IMODE(place.lstat().st_mode) if may_be_folder(place) and place.exists() else 0o700
            if mode & 0o700 != 0o700:
                place.chmod(mode | 0o700)
                shut.append((place, mode))
        yield [f"{place} open to its owner" for place, _ in shut]
    finally:
        for place, mode in [] if keep else reversed(shut):
            with suppress(FileNotFoundError):
                place.chmod(mode)


def make_way(folder: Path, dry: bool) -> list[str]:
    """Move aside anything in a folder's place, unless it is this account's folder. Returns the changes.

    A link, a file or another account's folder is kept beside it as notebooks (old).
    """
    if may_be_folder(folder):
        return []
    aside = next(place for place in names_beside(folder, "old") if not os.path.lexists(place))
    if not dry:
        folder.rename(aside)
    return [f"{folder} is not a folder of the student, moved to {aside}"]
