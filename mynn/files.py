"""Atomic file replacement, file locks, and the folder of trained networks.

Ansible's modules have it, too, by a link in module_utils. Nothing here loads numpy.
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

PATIENCE = 10.0  # seconds to wait while another program writes a pupil's file


def networks_folder() -> Path:
    """Return the folder of trained networks: the variable NETWORKS_DIR, or the folder on a Pi."""
    return Path(os.environ.get("NETWORKS_DIR") or "/srv/mynn/networks")


@contextmanager
def replacing(path: Path, mode: int | None = None) -> Iterator[BinaryIO]:
    """Yield a new file, open to write and read, that replaces the path at the end.

    After an error or Ctrl-C the old file is untouched. A power cut leaves the old file or the new one, never half of
    one: the new file is synced, then renamed. If several processes write, the last one wins. A symlink is followed, and
    a file keeps its mode. A device or a pipe is written to directly.

    mode: replace anything at the path, even a symlink, by a file with this mode
    """
    if mode is None:
        path = Path(os.path.realpath(path))
        if path.exists():
            mode = stat.S_IMODE(path.stat().st_mode)
            if not path.is_file():  # a device or a pipe; opening a folder raises its own error
                no_wait = getattr(os, "O_NONBLOCK", 0)  # without waiting for a pipe's reader
                with open(path, "wb", opener=lambda name, flags: os.open(name, flags | no_wait)) as file:
                    yield file
                return
    new = path.with_name(f".~{path.name[:50]}.{os.urandom(8).hex()}")  # names like this are not collected as work
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
    """Replace a file by a text, whole or not at all."""
    with replacing(path, mode) as file:
        file.write(text.encode())


def check_place(path: Path) -> None:
    """Raise the OSError that writing a file at this path would raise, without writing it."""
    with suppress(EOFError), replacing(path):
        raise EOFError  # abandons the new file


@contextmanager
def locked(path: Path, seconds: float | None = None, mode: int = 0o666) -> Iterator[int]:
    """Hold an exclusive lock on a folder, or on a file, which is created if missing. The lock ends with the process.

    Yield its descriptor: a child process that inherits it holds the lock, too, while it runs. On Windows, nothing is
    locked.

    seconds: time to wait before TimeoutError; None waits forever.
    mode: of a new file; anyone who can open the file can hold the lock forever.
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
    """Return whether another process holds the lock on a path."""
    try:
        with locked(path, 0):
            return False
    except TimeoutError:
        return True
