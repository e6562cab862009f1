"""Work in a student's folder, with the student's powers only, and without ever losing a student's file."""

from __future__ import annotations

import errno
import hashlib
import itertools
import json
import os
import pwd
import select
import signal
import stat
import tempfile
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

OURS = ".mynn-lesson-"  # prefix of our temporary files in the student's folder
FOREIGN = ""  # the fingerprint of what cannot be ours: a folder, a link, another account's file, a very large file
LARGE = 1 << 24
BESIDE = 50  # alternative names that are tried where one is taken
PATIENCE = 300.0  # seconds that work with a student's powers may take
ADVICE = {
    errno.ENOSPC: "Make room on the card",
    errno.EDQUOT: "Make room on the card",
    errno.EROFS: "Use another card: this one can no longer be written to",
    errno.EIO: "Use another card: this one can no longer be written to",
}
Change = tuple[str, str]  # before, after


def diff_of(changes: Iterable[Change]) -> dict[str, str]:
    """Return changes as Ansible's diff."""
    sides = zip(*changes, strict=True)
    return {side: "".join(f"{line}\n" for line in next(sides, ()) if line) for side in ("before", "after")}


def sha256(content: bytes) -> str:
    """Return the SHA256 sum in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def fingerprint(path: Path, largest: int = LARGE) -> str | None:
    """Return the SHA256 of a file of this process's account, None if nothing is there, and FOREIGN otherwise.

    A file of more than `largest` bytes is FOREIGN too.
    """
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(found.st_mode) or found.st_size > largest or found.st_uid != os.geteuid():
        return FOREIGN
    try:
        with open_regular(path) as file:
            size, digest = size_and_sum(file, largest)
    except OSError:
        return FOREIGN
    return digest if size <= largest else FOREIGN


def open_regular(path: Path) -> IO[bytes]:
    """Open a file for reading, without following a link or waiting for a pipe. OSError: it is not a regular file."""
    file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    return file


def size_and_sum(file: IO[bytes], largest: int) -> tuple[int, str]:
    """Return a file's size in bytes and SHA256; reading stops above `largest` bytes, since it may grow meanwhile."""
    digest, size = hashlib.sha256(), 0
    while size <= largest and (block := file.read(1 << 20)):
        digest.update(block)
        size += len(block)
    return size, digest.hexdigest()


def place_for(
    path: Path, version: str, known: Collection[str], given: str | None = None, largest: int = LARGE
) -> Path | None:
    """Return where to write a file with this sum, or None if it need not be written.

    That is its own name if it is free or holds one of our `known` sums; otherwise, unless this version was `given`
    before, a name beside it. OSError: all of these are taken.
    """
    for place in itertools.chain([path], names_beside(path)):
        found = fingerprint(place, largest)
        if found == version:
            return None
        if found is None or found in known:
            return place
        if given == version:
            return None
    raise AssertionError("names_beside ends with an error")


def names_beside(path: Path, word: str = "new") -> Iterator[Path]:
    """Yield part2 (new).ipynb, part2 (new 2).ipynb, and so on. OSError: BESIDE names were tried."""
    yield path.with_stem(f"{path.stem} ({word})")
    for number in range(2, BESIDE):
        yield path.with_stem(f"{path.stem} ({word} {number})")
    raise FileExistsError(errno.EEXIST, "every name beside it is taken", str(path))


def put(place: Path, content: bytes, known: Collection[str]) -> bool:
    """Write a file to a free place, or over one of our `known` ones. Returns False if the student was faster.

    The place is never empty or half-written. OSError: the card is full.
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
    """Move a finished file to its place in the same folder, as `put` does."""
    old = new.with_suffix(".old")
    try:
        if fingerprint(place) is None:
            os.link(new, place)  # unlike a rename, this never replaces another file
            new.unlink()
            return True
        os.link(place, old)
        new.replace(place)
        if fingerprint(old) in known:
            old.unlink()
            return True
        old.replace(place)  # the student saved at this very moment: put that file back
    except (FileExistsError, FileNotFoundError):
        pass  # the student created or removed it at this very moment
    return False


def make_folder(folder: Path, dry: bool) -> list[Change]:
    """Make sure that a folder exists. Returns what changes."""
    if folder.is_dir():
        return []
    if not dry:
        folder.mkdir(parents=True)
    return [(f"{folder} absent", f"{folder} a folder")]


def may_be_folder(path: Path) -> bool:
    """Return whether this is a folder of this process's account (not a link to one), or does not exist yet."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return True
    except NotADirectoryError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()


@contextmanager
def opened(places: Collection[Path], keep: bool) -> Iterator[list[Change]]:
    """Open folders that this process's account closed to itself; unless `keep`, close them again afterwards.

    Yields what changes if they stay open.
    """
    shut: list[tuple[Path, int]] = []
    try:
        for place in places:
            mode = stat.S_IMODE(place.lstat().st_mode) if may_be_folder(place) and place.exists() else 0o700
            if mode & 0o700 != 0o700:
                place.chmod(mode | 0o700)
                shut.append((place, mode))
        yield [(f"{place} closed to its owner", f"{place} open to its owner") for place, _ in shut]
    finally:
        for place, mode in [] if keep else reversed(shut):
            with suppress(FileNotFoundError):
                place.chmod(mode)


def make_way(folder: Path, dry: bool) -> list[Change]:
    """Move aside whatever is in a folder's place, unless it is this account's folder. Returns what changes.

    A link, a file or another account's folder is kept under a name beside it: notebooks (old).
    """
    if may_be_folder(folder):
        return []
    aside = next(place for place in names_beside(folder, "old") if not os.path.lexists(place))
    if not dry:
        found = folder.lstat()
        if stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            folder.rename(aside)  # a folder can replace only an empty folder
        else:
            os.link(folder, aside, follow_symlinks=False)  # unlike a rename, this never replaces another file
            folder.unlink()
    return [(f"{folder} no folder of the student's", f"{folder} absent"), (f"{aside} absent", f"{aside} what it was")]


def leftovers(folder: Path) -> list[Path]:
    """Return the temporary files that a killed run left in a folder."""
    with suppress(FileNotFoundError), os.scandir(folder) as found:
        ours = (entry for entry in found if entry.name.startswith(OURS) and entry.is_file(follow_symlinks=False))
        return [folder / entry.name for entry in itertools.islice(ours, 100)]  # a student may have made thousands
    return []


def advice(error: OSError) -> str:
    """Return what to do about an error in a student's folder."""
    return ADVICE.get(error.errno or 0, "See what is in that place on the Pi, or move it away")


def as_student(account: pwd.struct_passwd, work: Callable[[], Any], patience: float = PATIENCE) -> Any:
    """Do the work in a process that has this account's powers only. Returns its result, tuples as lists (JSON).

    Only the effective ids become the student's: a process whose real id is root's gets signals from root only, so no
    student can stop it.

    OSError: the work raised it. TimeoutError: it took longer than `patience` seconds, and was ended.
    """
    if os.geteuid() == account.pw_uid:
        return json.loads(json.dumps(work()))
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        answer: dict[str, Any] = {}
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(int(patience) + 1)  # the same deadline, should the parent be killed
            os.initgroups(account.pw_name, account.pw_gid)
            os.setresgid(-1, account.pw_gid, -1)
            os.setresuid(-1, account.pw_uid, -1)
            os.umask(0o022)
            answer["done"] = work()
        except Exception as error:
            reason = getattr(error, "strerror", None) or repr(error)
            answer["failed"] = (getattr(error, "errno", None), reason, str(getattr(error, "filename", "")))
        finally:
            with os.fdopen(writing, "w") as pipe:
                json.dump(answer, pipe)
            os._exit(0)  # without the parent's exit handlers
    os.close(writing)
    try:
        output = read_until(reading, time.monotonic() + patience)
    finally:
        os.close(reading)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    answer = json.loads(output) if output else {"failed": (errno.ECHILD, "its process was killed", "")}
    if "done" not in answer:
        raise OSError(*answer["failed"])
    return answer["done"]


def read_until(pipe: int, end: float) -> bytes:
    """Read a pipe until it is closed. TimeoutError: it is still open at `end`."""
    blocks = []
    while select.select([pipe], [], [], max(0.0, end - time.monotonic()))[0]:
        blocks.append(os.read(pipe, 1 << 20))
        if not blocks[-1]:
            return b"".join(blocks)
    raise TimeoutError(errno.ETIMEDOUT, "this took too long, and was ended")
