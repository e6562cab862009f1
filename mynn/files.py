"""Files that are written whole or not at all, and where a Pi has what is ready. Nothing here loads numpy."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EISDIR
from pathlib import Path
from typing import BinaryIO


def networks_folder() -> Path:
    """Return the folder of ready networks: where a Pi has them, or what the variable NETWORKS_DIR says."""
    return Path(os.environ.get("NETWORKS_DIR") or "/srv/mynn/networks")


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Give a new file that takes the path's place at the end; after an error or Ctrl-C the old one is untouched.

    A power cut leaves the old file or the new one, never a half: what is written gets its name last.
    """
    unfinished = _unfinished(path)
    try:
        with unfinished.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except BaseException:  # Ctrl-C is one too
        unfinished.unlink(missing_ok=True)
        raise


def check_place(path: Path) -> None:
    """Raise the OSError that writing a file at this path would end with, before there is anything to write."""
    if path.is_dir():
        raise IsADirectoryError(EISDIR, os.strerror(EISDIR))
    _unfinished(path).touch()
    _unfinished(path).unlink()


def _unfinished(path: Path) -> Path:
    """Return the name that a file is written under."""
    return path.with_name(path.name + ".part")
