"""What travels between the control node and a Pi: files in pieces, packed."""

from __future__ import annotations

import base64
import json
import os
import urllib.parse
import zlib
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

PIECE = 4 << 20  # bytes of files in one call: a Pi Zero has memory for it, and stock Ansible takes 10 s for each call
MANY = 2000  # pieces in one call


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
    """Return what was packed."""
    return json.loads(zlib.decompress(base64.b64decode(text)))


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
