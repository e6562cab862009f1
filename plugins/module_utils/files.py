"""Atomic writes and locks, on the control node and on a Pi."""

from __future__ import annotations

import errno
import fcntl
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def replacing(path: Path, mode: int = 0o644, folder: Path | None = None) -> Iterator[IO[bytes]]:
    """Yield a new file that replaces the path once it is complete and on the disk.

    Until then it is readable by its owner only, in the path's folder or in `folder` on the same file system.
    """
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".new", dir=folder or path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fchmod(descriptor, mode)
            os.fsync(descriptor)
        Path(name).replace(path)
    finally:
        Path(name).unlink(missing_ok=True)


def write_text(path: Path, text: str, mode: int = 0o644) -> None:
    """Replace a file with a text, whole or not at all."""
    with replacing(path, mode) as file:
        file.write(text.encode())


@contextmanager
def locked(
    path: Path, seconds: float | None = None, lock: Callable[[int, int], None] = fcntl.flock, mode: int = 0o666
) -> Iterator[int]:
    """Hold the lock of a folder, or of a file, which is created if need be. It ends with the process.

    Yields its descriptor: a program that inherits it holds the lock for as long as it runs, too.

    mode: of a new file; anybody who can open it can hold the lock forever. TimeoutError: another process held it for
    that many seconds.
    """
    deadline = time.monotonic() + (seconds or 0)
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_WRONLY | os.O_CREAT, mode)
    try:
        while True:
            try:
                lock(descriptor, fcntl.LOCK_EX | (0 if seconds is None else fcntl.LOCK_NB))
                break
            except (BlockingIOError, PermissionError):
                if time.monotonic() > deadline:
                    raise TimeoutError(errno.ETIMEDOUT, "another run is still using this", str(path)) from None
                time.sleep(1)
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
