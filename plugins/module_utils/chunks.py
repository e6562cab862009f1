"""What travels between the control node and a Pi: files in pieces, packed."""

from __future__ import annotations

import base64
import json
import os
import urllib.parse
import zlib
from collections.abc import Iterable, Iterator
from typing import IO, Any, NamedTuple

PIECE = 4 << 20  # bytes of files in one call: a Pi Zero has memory for it, and stock Ansible takes 10 s for each call
MANY = 2000  # pieces in one call
MOST = 20_000  # files of a student's
UNPACKED = 64 << 20  # bytes that an answer may have
BLOCK = 1 << 16  # bytes that are a hole in a file where all of them are 0
FOLDER = "notebooks/"  # where the lessons are in a home
# Of what a Pi does not give as a file: what may hold work all the same, and why it cannot be had.
WHY = {
    "closed": "the student may not read it",
    "large": "it is too large",
    "beyond": "it is beyond what is collected of one student",
    "deep": "its path is too long",
    "many": f"there are more than {MOST} files",
    "slow": "it takes too long to read",
}

# What is no work, but what programs keep for themselves, or how they are set up: in a home, these names,
NOT_IN_A_HOME = {
    ".bash_history",
    ".bash_logout",
    ".bashrc",
    ".cache",
    ".config",
    ".ipython",
    ".jupyter",
    ".jupyter_cookie_secret",
    ".local",
    ".profile",
    ".python_history",
    ".ssh",
}
# and anywhere in it, these, and files that are just being written (Jupyter's, ours).
NOWHERE = {".ipynb_checkpoints", "__pycache__"}
HALF_WRITTEN = (".~", ".mynn-lesson-")


class File(NamedTuple):
    """A file on the Pi or on its way there. name: percent-encoded; size in bytes; time in seconds."""

    name: str
    size: int
    sum: str
    time: int
    executable: bool


def pack(data: Any) -> str:
    """Return what JSON can hold as a short text."""
    return base64.b64encode(zlib.compress(json.dumps(data).encode(), 1)).decode()


def unpack(text: str) -> Any:
    """Return what was packed. ValueError: this was not, or is larger than any answer."""
    opener = zlib.decompressobj()
    try:
        content = opener.decompress(base64.b64decode(text), UNPACKED)
    except zlib.error as error:
        raise ValueError(f"no answer of a Pi's: {error}") from None
    if not opener.eof:
        raise ValueError("an answer that is cut off, or larger than any")
    return json.loads(content)


def is_work(name: str) -> bool:
    """Whether a file or folder of this name, as seen from the home, may be a student's work, going by its name."""
    parts = name.split("/")
    return (
        parts[0] not in NOT_IN_A_HOME
        and NOWHERE.isdisjoint(parts)
        and not any(part.startswith(HALF_WRITTEN) for part in parts)
    )


def write_piece(file: IO[bytes], begin: int, data: bytes) -> None:
    """Write a piece of a file, the next one or the first, so that what is empty takes no room on the disk."""
    for at in range(0, len(data), BLOCK):
        block = data[at : at + BLOCK]
        if block.count(0) < len(block):
            file.seek(begin + at)
            file.write(block)
    file.truncate(begin + len(data))


def quote(name: str) -> str:
    """Return a name of any bytes as ASCII."""
    return urllib.parse.quote(os.fsencode(name))


def shown(name: object) -> str:
    """Return a name or path in one line, whatever its bytes."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in str(name))


def batches(files: Iterable[File]) -> Iterator[list[tuple[File, int, int]]]:
    """Give the pieces of all files, each where it begins and how long it is, as many at once as one call takes."""
    batch: list[tuple[File, int, int]] = []
    room = PIECE
    for file in files:
        begin = 0
        while True:
            length = min(file.size - begin, room)
            batch.append((file, begin, length))
            begin, room = begin + length, room - length
            if room == 0 or len(batch) == MANY:
                yield batch
                batch, room = [], PIECE
            if begin >= file.size:
                break
    if batch:
        yield batch
