"""What travels between the control node and a Pi: files in chunks, packed. Names of files travel quoted."""

from __future__ import annotations

import base64
import json
import os
import urllib.parse
import zlib
from collections.abc import Iterable, Iterator
from typing import IO, Any, NamedTuple

CALL = 4 << 20  # bytes of files in one call: a Pi Zero has memory for it, and stock Ansible takes 10 s for each call
MANY = 2000  # chunks in one call
MOST = 20_000  # files of a student's
UNPACKED = 64 << 20  # bytes that an answer may have
BLOCK = 1 << 16  # bytes that are a hole in a file where all of them are 0
FOLDER = "notebooks/"  # where the lessons are in a home
# Why what may be work cannot be had; what is left out for another reason is no work.
WHY = {
    "closed": "the student may not read it",
    "large": "it is too large",
    "beyond": "it is beyond what is collected of one student",
    "deep": "its path is too long",
    "many": f"there are more than {MOST} files",
    "slow": "it takes too long to read",
}

# No work are the settings, and what programs keep for themselves: in a home, these names,
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
# and anywhere in it, these, files that are just being written (Jupyter's, ours), and what mynn makes again of a CSV.
NOWHERE = {".ipynb_checkpoints", "__pycache__"}
HALF_WRITTEN = (".~", ".mynn-lesson-")
MADE_AGAIN = ".csv.npy"


class File(NamedTuple):
    """A file on the Pi or on its way there. name: quoted; size in bytes; time in seconds."""

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


def quote(name: str) -> str:
    """Return a name of any bytes as ASCII."""
    return urllib.parse.quote(os.fsencode(name))


def unquote(quoted: str) -> str:
    """Return the name that was quoted. ValueError: it leads out of the folder."""
    name = os.fsdecode(urllib.parse.unquote_to_bytes(quoted))
    if any(part in ("", ".", "..") for part in name.split("/")):
        raise ValueError(f"{quoted} is no name of a file in a folder")
    return name


def is_work(name: str) -> bool:
    """Whether a file or folder of this name, as seen from the home, may be a student's work, going by its name."""
    parts = name.split("/")
    return (
        parts[0] not in NOT_IN_A_HOME
        and NOWHERE.isdisjoint(parts)
        and not any(part.startswith(HALF_WRITTEN) for part in parts)
        and not parts[-1].endswith(MADE_AGAIN)
    )


def write_chunk(file: IO[bytes], begin: int, data: bytes) -> None:
    """Write a chunk of a file, the next one or the first, so that what is empty takes no room on the disk."""
    for at in range(0, len(data), BLOCK):
        block = data[at : at + BLOCK]
        if block.count(0) < len(block):
            file.seek(begin + at)
            file.write(block)
    file.truncate(begin + len(data))


def batches(files: Iterable[File]) -> Iterator[list[tuple[File, int, int]]]:
    """Give the chunks of all files, each where it begins and how long it is, as many at once as one call takes."""
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
