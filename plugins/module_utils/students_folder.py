"""What modules do in a student's folder: never more than the student may, and nothing of the student's is ever lost."""

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

OURS = ".mynn-lesson-"  # a file with this prefix in the student's folder is ours: one on its way to its place
FOREIGN = ""  # the fingerprint of what cannot be ours: a folder, a link, another's file, a very large file
LARGE = 1 << 24
BESIDE = 50  # names beside one that is taken; a student who makes more gets no more
PATIENCE = 300.0  # seconds that work with a student's powers may take
ADVICE = {
    errno.ENOSPC: "Make room on the card",
    errno.EDQUOT: "Make room on the card",
    errno.EROFS: "Take another card: this one can no longer be written to",
    errno.EIO: "Take another card: this one can no longer be written to",
}
Change = tuple[str, str]  # before, after


def diff_of(changes: Iterable[Change]) -> dict[str, str]:
    """Return changes as Ansible shows them."""
    sides = zip(*changes, strict=True)
    return {side: "".join(f"{line}\n" for line in next(sides, ()) if line) for side in ("before", "after")}


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
        with open_regular(path) as file:
            size, digest = size_and_sum(file, largest)
    except OSError:
        return FOREIGN
    return digest if size <= largest else FOREIGN


def open_regular(path: Path) -> IO[bytes]:
    """Open a file to be read. OSError: it is no regular file. A link is not followed, and no pipe waited for."""
    file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    return file


def size_and_sum(file: IO[bytes], largest: int) -> tuple[int, str]:
    """Read a file, which may grow meanwhile, until it is larger than that. Returns its size in bytes and SHA256."""
    digest, size = hashlib.sha256(), 0
    while size <= largest and (block := file.read(1 << 20)):
        digest.update(block)
        size += len(block)
    return size, digest.hexdigest()


def place_for(
    path: Path, version: str, known: Collection[str], given: str | None = None, largest: int = LARGE
) -> Path | None:
    """Return where a file with this sum is to be written, or None if it need not be.

    Its own name, if that is free or holds one of the sums `known` as ours; else, unless this version was `given`
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
    """Give part2 (new).ipynb, part2 (new 2).ipynb, and so on. OSError: enough of them."""
    yield path.with_stem(f"{path.stem} ({word})")
    for number in range(2, BESIDE):
        yield path.with_stem(f"{path.stem} ({word} {number})")
    raise FileExistsError(errno.EEXIST, "every name beside it is taken", str(path))


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


@contextmanager
def opened(places: Collection[Path], keep: bool) -> Iterator[list[Change]]:
    """Let this process's account into folders of its own that it closed to itself; unless `keep`, only meanwhile.

    Gives what changes, where it is kept.
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
    """Let a folder's place be free or hold a folder of this account's. Returns what changes.

    What else is there, a link, a file or another's folder, is kept under a name beside it: notebooks (old).
    """
    if may_be_folder(folder):
        return []
    aside = next(place for place in names_beside(folder, "old") if not os.path.lexists(place))
    if not dry:
        found = folder.lstat()
        if stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            folder.rename(aside)  # a folder takes the place of nothing but an empty one
        else:
            os.link(folder, aside, follow_symlinks=False)  # unlike a rename, this never takes another file's place
            folder.unlink()
    return [(f"{folder} no folder of the student's", f"{folder} absent"), (f"{aside} absent", f"{aside} what it was")]


def leftovers(folder: Path) -> list[Path]:
    """Return files that a killed run left in a folder; what only has such a name, a folder for one, stays."""
    with suppress(FileNotFoundError), os.scandir(folder) as found:
        ours = (entry for entry in found if entry.name.startswith(OURS) and entry.is_file(follow_symlinks=False))
        return [folder / entry.name for entry in itertools.islice(ours, 100)]  # not all of a folder full of them
    return []


def advice(error: OSError) -> str:
    """Return what to do about an error in a student's folder."""
    return ADVICE.get(error.errno or 0, "Look at what is in that place on the Pi, or move it away")


def as_student(account: pwd.struct_passwd, work: Callable[[], Any], patience: float = PATIENCE) -> Any:
    """Do the work in a process that has this account's powers and no others. OSError: the work raised it.

    Only the effective ids become the student's: the kernel lets nobody but root send signals to a process whose real
    id is root's, so no student can stop it. What takes longer than `patience` is ended: TimeoutError.

    Returns what the work returns, as JSON carries it: a tuple becomes a list.
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
            os._exit(0)  # what the parent's process would do at its end is not for this one
    os.close(writing)
    try:
        said = read_until(reading, time.monotonic() + patience)
    finally:
        os.close(reading)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    answer = json.loads(said) if said else {"failed": (errno.ECHILD, "its process was killed", "")}
    if "done" not in answer:
        raise OSError(*answer["failed"])
    return answer["done"]


def read_until(pipe: int, end: float) -> bytes:
    """Read a pipe until it is closed. TimeoutError: it is not by then."""
    blocks = []
    while select.select([pipe], [], [], max(0.0, end - time.monotonic()))[0]:
        blocks.append(os.read(pipe, 1 << 20))
        if not blocks[-1]:
            return b"".join(blocks)
    raise TimeoutError(errno.ETIMEDOUT, "this takes too long, and was given up")
