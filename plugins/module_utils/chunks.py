"""What travels between the control node and a Pi: packed chunks of files."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable, Iterator
from typing import IO, Any, NamedTuple

CALL = 4 << 20  # bytes of files in one call: a Pi Zero has the memory, and stock Ansible takes 10 s a call
MANY = 2000  # chunks in one call
UNPACKED = 64 << 20  # bytes of an answer, at most
BLOCK = 1 << 16  # bytes; a block of zeros becomes a hole in the file
FOLDER = "notebooks/"  # where the lessons are in a home
# Why a file that may be work cannot be had. What is left out for any other reason is not work.
WHY = {
    "closed": "the student may not read it",
    "beyond": "it exceeds the limit for one student",
    "deep": "its path is too long",
    "many": "there are too many files",
    "slow": "it takes too long to read",
}

# Settings and programs' own files are not work: these names at the top of a home,
NOT_IN_A_HOME = {
    *(".bash_history", ".bash_logout", ".bashrc", ".cache", ".config", ".ipython", ".jupyter"),
    *(".jupyter_cookie_secret", ".local", ".profile", ".python_history", ".ssh"),
}
# and these anywhere in it, as well as files that are being written (Jupyter's and ours), and what mynn makes of a CSV.
NOWHERE = {".ipynb_checkpoints", "__pycache__"}
OURS = ".mynn-lesson-"
HALF_WRITTEN = (".~", OURS)
MADE_AGAIN = ".csv.npy"


class File(NamedTuple):
    """A file on the Pi, or on its way there. name: its path in the home. size: in bytes. time: in seconds."""

    name: str
    size: int
    sum: str
    time: int
    executable: bool


def pack(data: Any) -> str:
    """Return JSON data as a short text."""
    return base64.b64encode(zlib.compress(json.dumps(data).encode(), 1)).decode()


def unpack(text: str) -> Any:
    """Return what was packed. ValueError: the text is malformed, or larger than any answer."""
    opener = zlib.decompressobj()
    try:
        content = opener.decompress(base64.b64decode(text), UNPACKED)
    except zlib.error as error:
        raise ValueError(f"a malformed answer: {error}") from None
    if not opener.eof:
        raise ValueError("an answer that is cut off or too large")
    return json.loads(content)


def checked(name: str) -> str:
    """Return a file's path in the home. ValueError: it leads out of it."""
    if "\0" in name or any(part in ("", ".", "..") for part in name.split("/")):
        raise ValueError(f"{name!r} leads out of the home")
    return name


def is_work(name: str) -> bool:
    """Return whether a file or folder may be a student's work, judging by its path in the home."""
    parts = name.split("/")
    return (
        parts[0] not in NOT_IN_A_HOME
        and NOWHERE.isdisjoint(parts)
        and not any(part.startswith(HALF_WRITTEN) for part in parts)
        and not parts[-1].endswith(MADE_AGAIN)
    )


def write_chunk(file: IO[bytes], begin: int, data: bytes) -> None:
    """Write a file's first or next chunk, with holes for blocks of zeros."""
    for at in range(0, len(data), BLOCK):
        block = data[at : at + BLOCK]
        if block.count(0) < len(block):
            file.seek(begin + at)
            file.write(block)
    file.truncate(begin + len(data))


def batches(files: Iterable[File]) -> Iterator[list[tuple[File, int, int]]]:
    """Yield the chunks of all files, each with its offset and length, in lists for one call each."""
    batch: list[tuple[File, int, int]] = []
    room = CALL
    for file in files:
        begin = 0
        while True:
            length = min(file.size - begin, room)
            batch.append((file, begin, length))
            begin, room = begin + length, room - length
            if room == 0 or len(batch) == MANY:
                yield batch
                batch, room = [], CALL
            if begin >= file.size:
                break
    if batch:
        yield batch
