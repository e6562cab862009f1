"""A parcel: the compressed tar in which files travel between the control node and a Pi, named by their numbers.

What either side holds in memory does not grow with the files.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from ansible_collections.mynn.pi.plugins.module_utils.tree import File

PARCEL = 32_000_000  # bytes of files in a parcel, unless one file is larger
MANY = 1000  # files in a parcel
MALFORMED = (ValueError, EOFError, zlib.error, gzip.BadGzipFile, tarfile.TarError)  # what a damaged one is read with
BLOCK = 1 << 16  # bytes; a block of zeros becomes a hole in the file


class Padded:
    """A file that is read as if it had any size, whatever happens to it meanwhile: its sum will not match."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file

    def read(self, length: int) -> bytes:
        """Return that many bytes."""
        block = b""
        with suppress(OSError):
            block = self.file.read(length)
        return block.ljust(length, b"\0")


def place_of(pristine: Path) -> Path:
    """Return where the parcel is on a Pi, alone in a folder. pristine: the folder of the untouched lessons."""
    return pristine.parent / ".parcel" / "work.tar.gz"


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


def pack(target: IO[bytes], files: Iterable[tuple[int, Callable[[], IO[bytes]]]]) -> None:
    """Write a parcel of files, each with its size and a way to open it. One that cannot be opened is left out."""
    with tarfile.open(fileobj=target, mode="w:gz", format=tarfile.USTAR_FORMAT, compresslevel=1) as archive:
        for number, (size, opener) in enumerate(files):
            try:
                file = opener()
            except OSError:
                continue
            with file:
                header = tarfile.TarInfo(str(number))
                header.size = size
                archive.addfile(header, Padded(file))  # type: ignore[arg-type]
    target.flush()


def unpack(source: IO[bytes], sizes: Sequence[int]) -> Iterator[tuple[int, IO[bytes]]]:
    """Yield each file's number, and what it is to be read from, whole. MALFORMED: there is anything else in the parcel.

    (TarFile would read a long name, or the like, into memory.)
    """
    last = -1
    with gzip.open(source) as file:
        while any(block := file.read(tarfile.BLOCKSIZE)):
            header = tarfile.TarInfo.frombuf(block, "ascii", "strict")
            number = int(header.name)
            if header.type != tarfile.REGTYPE or not last < number < len(sizes) or header.size != sizes[number]:
                raise ValueError("another file than was asked for")
            yield number, file  # type: ignore[misc]
            file.read(-header.size % tarfile.BLOCKSIZE)
            last = number


def copied(source: IO[bytes], target: IO[bytes], size: int) -> str:
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
