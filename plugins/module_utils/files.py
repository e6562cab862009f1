"""Files that appear whole or not at all, and locks: the same on the control node and on a Pi."""

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
    """Give a new file, which takes the path's place once it is whole and on the disk.

    Until then only its owner can read it, in the path's folder or another one of the same file system.
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


@contextmanager
def locked(
    path: Path, seconds: float | None = None, lock: Callable[[int, int], None] = fcntl.flock, mode: int = 0o666
) -> Iterator[None]:
    """Hold the lock of a file, which is made, or of a folder. A dead process holds none.

    mode: of the file, where it is made; whoever can open it can hold it for ever. TimeoutError: another process held it
    for so many seconds.
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
                    raise TimeoutError(errno.ETIMEDOUT, "another run is still at work there", str(path)) from None
                time.sleep(1)
        yield
    finally:
        os.close(descriptor)
