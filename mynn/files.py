"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import EISDIR
from pathlib import Path
from typing import BinaryIO

from mynn.errors import DataError, os_errors_as


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


def check_place(path: Path, sentence: str, *, kind: type[ValueError] = DataError) -> None:
    """Refuse a path at which no file can be written, before there is anything to write; see `os_errors_as`."""
    with os_errors_as(sentence, path=path, kind=kind):
        if path.is_dir():
            raise IsADirectoryError(EISDIR, os.strerror(EISDIR))
        if not path.parent.is_dir():
            raise kind(f"{path}: there is no such folder; create it, or choose another")
        with suppress(FileNotFoundError):
            _unfinished(path).lstat()  # this name may be too long
        with tempfile.TemporaryFile(dir=path.parent):
            pass


def _unfinished(path: Path) -> Path:
    """Return the name that a file is written under."""
    return path.with_name(path.name + ".part")
