"""A parcel: the contents of files, as they travel between the control node and a Pi.

It is one compressed stream of all contents, in the order of the list that both sides have, and nothing else: no names,
no links. So all that could be forged is a content, and each is compared with its sum. What either side holds in memory
does not grow with the files.
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

PARCEL = 32_000_000  # bytes of files in a parcel, unless one file is larger
MANY = 1000  # files in a parcel
MALFORMED = (ValueError, EOFError, zlib.error, gzip.BadGzipFile)  # what a damaged one is read with
Stream = IO[bytes] | gzip.GzipFile
BLOCK = 1 << 16  # bytes; a block of zeros becomes a hole in the file


def place_of(pristine: Path) -> Path:
    """Return where the parcel is on a Pi, alone in a folder. pristine: the folder of the untouched lessons."""
    return pristine.parent / ".parcel" / "work.gz"


def batches(files: list[File]) -> Iterator[list[File]]:
    """Yield the files in lists for one parcel each."""
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
    """Write the contents of files. In place of what a file lost meanwhile come zeros: its sum will not match."""
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
    """Copy that many bytes, with holes for blocks of zeros. Returns their SHA256 sum."""
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
