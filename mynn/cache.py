"""Digits kept as bytes, so that a CSV is parsed once: afterwards its pixels are mapped, not read, into memory.

A cache is one file in ~/.cache/mynn (or where XDG_CACHE_HOME says): a head of 4096 bytes that is JSON, then all
labels, then all pixels, one byte each. It can be deleted at any time. A CSV may also come with one, its neighbour
`NAME.csv.cache`, for all who read it. What a cache holds is believed only if

- the CSV is still the same: its path, its size, and the times of its last changes, to the nanosecond; a neighbour
  goes where its CSV goes, and knows its size and the time of change that can be set;
- the file is as long as its head says; and
- the CRC-32 of each thousand digits is still that of the head. A thousand, so that whoever asks for few digits need
  not wait for all of them. Checking all 60,000 takes 40 ms on a PC; their bytes are then in the memory that Linux
  keeps of files, where the training finds them.

Otherwise it is made anew. Where it cannot be written (no room, no home), all goes on without it.
"""

from __future__ import annotations

import json
import os
import tempfile
import zlib
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

VERSION = 1  # of the files' layout; raise it when that changes
HEAD = 4096
BLOCK = 1000  # digits that have one checksum; no file of fewer is worth a cache

Bytes = NDArray[np.uint8]
State = list[str | int]


def folder() -> Path:
    """Return the folder of the caches, whether it is there or not."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mynn"


def state_of(path: str | os.PathLike[str]) -> State | None:
    """Return what changes whenever the file does, or None where there is no such file."""
    try:
        place = Path(path).resolve()
        facts = place.stat()
    except OSError:
        return None
    return [str(place), facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns]


def find(path: str | os.PathLike[str], width: int, limit: int | None = None) -> tuple[Bytes, Bytes] | None:
    """Return labels, (n,), and pixels, (n, width), of a CSV that was kept; None if there is no sound cache of it.

    With a limit, no more digits than that. The pixels cannot be written to.
    """
    state = state_of(path)
    if state is None or (limit is not None and limit < 1):
        return None
    neighbour = Path(f"{state[0]}.cache")
    return _load(neighbour, state[1:3], width, limit) or _load(_place(state), state, width, limit)


def _load(place: Path, state: State, width: int, limit: int | None) -> tuple[Bytes, Bytes] | None:
    """Return what one cache holds; None if it is not there, not of a CSV in this state, or not sound."""
    try:
        with place.open("rb") as file:
            head = json.loads(file.read(HEAD))
            count, sums = head["count"], head["sums"]
            if head["version"] != VERSION or head["state"] != state:
                return None
            if os.fstat(file.fileno()).st_size != HEAD + count * (1 + width):
                return None
            wanted = count if limit is None else min(limit, count)
            labels = file.read(count)
            for block, first in enumerate(range(0, wanted, BLOCK)):
                pixels = file.read(min(BLOCK, count - first) * width)
                if zlib.crc32(pixels, zlib.crc32(labels[first : first + BLOCK])) != sums[block]:
                    return None
            mapped = np.memmap(file, np.uint8, "r", HEAD + count, (count, width))
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, IndexError):  # no cache, or what damage can do
        return None
    return np.frombuffer(labels, np.uint8)[:wanted], mapped.view(np.ndarray)[:wanted]


def keep(path: str | os.PathLike[str], state: State | None, labels: Bytes, pixels: Bytes) -> None:
    """Keep what was read from a CSV, if it is worth it, and if the CSV is still in the state from before reading."""
    if state is None or len(labels) < BLOCK or state_of(path) != state:
        return
    sums = [
        zlib.crc32(pixels[first : first + BLOCK], zlib.crc32(labels[first : first + BLOCK]))
        for first in range(0, len(labels), BLOCK)
    ]
    head = json.dumps({"version": VERSION, "state": state, "count": len(labels), "sums": sums}).encode()
    if len(head) > HEAD:
        return
    try:
        place = _place(state)
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=place.parent, prefix=".part-", delete=False) as file:
            try:
                # Not forced onto the disk: half a file after a power cut would be found out.
                file.write(head.ljust(HEAD))
                file.write(labels)
                file.write(pixels)
                file.close()
                Path(file.name).replace(place)
            except OSError:
                Path(file.name).unlink()
    except (OSError, RuntimeError):
        return


def _place(state: State) -> Path:
    return folder() / sha256(str(state[0]).encode()).hexdigest()[:16]
