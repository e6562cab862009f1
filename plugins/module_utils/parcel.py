"""Parcels: gzip streams of files' contents, for transfer between the control node and a Pi.

Contents follow each other in the order of a list that both sides have; there are no names or links. A forged parcel can
change only contents, and each is checked against its SHA256 sum. Memory use on either side does not grow with the
files.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import IO

from ansible_collections.mynn.pi.plugins.module_utils.tree import File

PARCEL = 32_000_000  # most bytes of files in a parcel; a larger file has its own
MANY = 1000  # most files in a parcel
MALFORMED = (ValueError, EOFError, zlib.error, gzip.BadGzipFile)  # errors from reading a damaged parcel
Stream = IO[bytes] | gzip.GzipFile
BLOCK = 1 << 16  # bytes; a block of zeros becomes a hole in the file


def place_of(pristine: Path) -> Path:
    """Return the parcel's path on a Pi, in a folder of its own. pristine: the folder of the untouched lessons."""
    return pristine.parent / ".parcel" / "work.gz"


def batches(files: list[File]) -> Iterator[list[File]]:
    """Yield a list of files for each parcel."""
    batch: list[File] = []
    for file in files:
        if len(batch) == MANY or (batch and size_of(batch) + file.size > PARCEL):
            yield batch
            batch = []
        batch.append(file)
    if batch:
        yield batch


def size_of(files: list[File]) -> int:
    """Return the size of all files, in bytes."""
    return sum(file.size for file in files)


def pack(target: Stream, files: list[File], opener: Callable[[File], IO[bytes]]) -> None:
    """Write the contents of files. Zeros fill up a file that has shrunk meanwhile, so its sum will not match."""
    for file in files:
        for block in _blocks(file.size, partial(opener, file)):
            target.write(block)
    target.flush()


def _blocks(size: int, opener: Callable[[], IO[bytes]]) -> Iterator[bytes]:
    with suppress(OSError), opener() as source:
        while block := source.read(min(BLOCK, size)):
            size -= len(block)
            yield block
    while size > 0:
        yield bytes(min(BLOCK, size))
        size -= BLOCK


def copied(source: Stream, target: IO[bytes], size: int) -> str:
    """Copy at most `size` bytes, with holes for blocks of zeros. Returns their SHA256 sum."""
    digest = hashlib.sha256()
    while block := source.read(min(BLOCK, size)):
        size -= len(block)
        digest.update(block)
        if block.count(0) < len(block):
            target.write(block)
        else:
            target.seek(len(block), os.SEEK_CUR)
    target.truncate()
    return digest.hexdigest()
