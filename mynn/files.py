"""Files that are written whole or not at all, locks, and where a Pi has what is ready.

Nothing here loads numpy.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

if sys.platform != "win32":
    import fcntl

PATIENCE = 10.0  # seconds until another program has written a pupil's file


def networks_folder() -> Path:
    """Return the folder of ready networks: where a Pi has them, or what the variable NETWORKS_DIR says."""
    return Path(os.environ.get("NETWORKS_DIR") or "/srv/mynn/networks")


@contextmanager
def replacing(path: Path, mode: int | None = None) -> Iterator[BinaryIO]:
    """Give a new file, to write and read, that takes the path's place at the end.

    After an error or Ctrl-C the old one is untouched. A power cut leaves the old file or the new one, never a half:
    what is written gets its name last. Where several processes write, the last one wins. A link stays a link, and a
    file keeps its mode; a device is written into.

    mode: whatever is in the path's place, a link too, becomes a file with this mode.
    """
    if mode is None:
        path = Path(os.path.realpath(path))
        if path.exists():
            mode = stat.S_IMODE(path.stat().st_mode)
            if not path.is_file():  # or a folder, which says so itself
                no_wait = getattr(os, "O_NONBLOCK", 0)  # for a reader of a pipe
                with open(path, "wb", opener=lambda name, flags: os.open(name, flags | no_wait)) as file:
                    yield file
                return
    new = path.with_name(f".~{path.name[:50]}.{os.urandom(8).hex()}")  # no student's work
    at_first = 0o666 if mode is None else 0o600
    try:
        with open(new, "x+b", opener=lambda name, flags: os.open(name, flags, at_first)) as file:
            yield file
            file.flush()
            if mode is not None:
                new.chmod(mode)
            os.fsync(file.fileno())
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


def write_text(path: Path, text: str, mode: int | None = None) -> None:
    """Replace a file with a text, whole or not at all."""
    with replacing(path, mode) as file:
        file.write(text.encode())


def check_place(path: Path) -> None:
    """Raise the OSError that writing a file at this path would end with, before there is anything to write."""
    with suppress(EOFError), replacing(path):
        raise EOFError  # nothing is written


@contextmanager
def locked(path: Path, seconds: float | None = None, mode: int = 0o666) -> Iterator[int]:
    """Hold the lock of a folder, or of a file, which is created if need be. It ends with the process.

    Yields its descriptor: a program that inherits it holds the lock for as long as it runs, too. On Windows, nothing is
    locked.

    mode: of a new file; anybody who can open it can hold the lock forever. TimeoutError: another process held it for
    that many seconds.
    """
    if sys.platform == "win32":
        yield -1
        return
    deadline = time.monotonic() + (seconds or 0)
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_WRONLY | os.O_CREAT, mode)
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if seconds is None else fcntl.LOCK_NB))
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise TimeoutError(errno.ETIMEDOUT, "another run is still using this", str(path)) from None
                time.sleep(0.1)
        yield descriptor
    finally:
        os.close(descriptor)


def is_locked(path: Path) -> bool:
    """Return whether another process holds a lock."""
    try:
        with locked(path, 0):
            return False
    except TimeoutError:
        return True
