"""What modules do in a student's folder: never more than the student may, and nothing of the student's is ever lost."""

from __future__ import annotations

import fcntl
import hashlib
import itertools
import json
import os
import pwd
import stat
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

OURS = ".mynn-lesson-"  # a file with this prefix in the student's folder is ours: one on its way to its place
FOREIGN = ""  # the fingerprint of what cannot be ours: a folder, a link, another's file, a very large file
LARGE = 1 << 24
Change = tuple[str, str]  # before, after


def sha256(content: bytes) -> str:
    """Return the sum as a hexadecimal word."""
    return hashlib.sha256(content).hexdigest()


def fingerprint(path: Path, largest: int = LARGE) -> str | None:
    """Return the SHA256 of a file of this process's account, None if nothing is there, FOREIGN for all else.

    A file of more than `largest` bytes is FOREIGN too.
    """
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(found.st_mode) or found.st_size > largest or found.st_uid != os.geteuid():
        return FOREIGN
    try:
        # Should it have become a link or a pipe just now, opening must neither follow nor wait.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return FOREIGN
    digest = hashlib.sha256()
    with os.fdopen(descriptor, "rb") as file:
        while largest > 0 and (block := file.read(min(largest, 1 << 20))):  # it may grow meanwhile
            digest.update(block)
            largest -= len(block)
    return digest.hexdigest()


def place_for(
    path: Path, version: str, known: Collection[str], given: str | None = None, largest: int = LARGE
) -> Path | None:
    """Return where a file with this sum is to be written, or None if it need not be.

    Its own name, if that is free or holds one of the sums `known` as ours; else, unless this version was `given`
    before, a name beside it.
    """
    for place in itertools.chain([path], names_beside(path)):
        found = fingerprint(place, largest)
        if found == version:
            return None
        if found is None or found in known:
            return place
        if given == version:
            return None
    raise AssertionError("names_beside never ends")


def names_beside(path: Path) -> Iterator[Path]:
    """Give part2 (new).ipynb, part2 (new 2).ipynb, and so on."""
    yield path.with_stem(f"{path.stem} (new)")
    for number in itertools.count(2):
        yield path.with_stem(f"{path.stem} (new {number})")


def put(place: Path, content: bytes, known: Collection[str]) -> bool:
    """Write a file where nothing is, or in place of one `known` as ours. Returns False if the student was faster.

    At no moment is the place empty or half-written. OSError: the card is full.
    """
    descriptor, name = tempfile.mkstemp(prefix=OURS, suffix=".new", dir=place.parent)
    new = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(descriptor, 0o644)
            os.fsync(descriptor)
        return move_in(new, place, known)
    finally:
        new.unlink(missing_ok=True)


def move_in(new: Path, place: Path, known: Collection[str]) -> bool:
    """Give a finished file its place in the same folder, as `put` does."""
    old = new.with_suffix(".old")
    try:
        if fingerprint(place) is None:
            os.link(new, place)  # unlike a rename, this never takes another file's place
            new.unlink()
            return True
        os.link(place, old)
        new.replace(place)
        if fingerprint(old) in known:
            old.unlink()
            return True
        old.replace(place)  # the student saved at this very moment: back it goes
    except (FileExistsError, FileNotFoundError):
        pass  # made or removed at this very moment
    return False


def open_folder(folder: Path, dry: bool) -> list[Change]:
    """Make a folder, unless it is there, and let its owner into it. Returns what changes."""
    if not folder.is_dir():
        if not dry:
            folder.mkdir(parents=True)
        return [(f"{folder} absent", f"{folder} a folder")]
    if folder.stat().st_mode & 0o700 == 0o700:
        return []
    if not dry:
        folder.chmod(folder.stat().st_mode | 0o700)
    return [(f"{folder} closed to its owner", f"{folder} open to its owner")]


def may_be_folder(path: Path) -> bool:
    """Whether this is a folder of this process's account, and no link to one, or nothing at all yet."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return True
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()


def as_student(account: pwd.struct_passwd, work: Callable[[], Any]) -> Any:
    """Do the work in a process that has this account's powers and no others. OSError: the work raised it.

    Returns what the work returns, as JSON carries it: a tuple becomes a list.
    """
    if os.geteuid() == account.pw_uid:
        return json.loads(json.dumps(work()))
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        answer: dict[str, Any] = {}
        try:
            os.initgroups(account.pw_name, account.pw_gid)
            os.setgid(account.pw_gid)
            os.setuid(account.pw_uid)
            os.umask(0o022)
            answer["done"] = work()
        except Exception as error:
            reason = getattr(error, "strerror", None) or repr(error)
            answer["failed"] = (getattr(error, "errno", None), reason, str(getattr(error, "filename", "")))
        finally:
            with os.fdopen(writing, "w") as pipe:
                json.dump(answer, pipe)
            os._exit(0)  # what the parent's process would do at its end is not for this one
    os.close(writing)
    with os.fdopen(reading) as pipe:
        answer = json.load(pipe)
    os.waitpid(child, 0)
    if "done" not in answer:
        raise OSError(*answer["failed"])
    return answer["done"]


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Wait until no other run works here, nor what is left of a killed one: its process with the student's powers."""
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
