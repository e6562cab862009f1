"""Walk a student's home, whatever its names and depth, with short paths, few open folders and little memory."""

from __future__ import annotations

import itertools
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

DEEPEST = 64  # nested folders; what is deeper is reported as `deep`
LONGEST = 2000  # bytes of a path in the home; the same
ROOM = 10_000_000  # bytes of memory for the names; each file takes COST and its name
COST = 500
MOST = ROOM // COST + 2  # of the names, with the one that exceeds the room, and `many`
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


def walk(top: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, os.stat_result | str]]:
    """Yield what is in a folder and its subfolders, in order: its path in the folder, and its lstat.

    If that cannot be had, the reason comes instead or, for a folder that cannot be opened, besides: `closed`, `deep`,
    or, for the top folder itself, `many` if there is no room for more. Paths that are not `wanted` are skipped.
    """
    room = [ROOM]
    folder = os.open(top, FOLDER)
    try:
        yield from _walk(folder, "", wanted, room, DEEPEST)
    finally:
        os.close(folder)
    if room[0] < 0:
        yield ".", "many"


def _walk(
    folder: int, prefix: str, wanted: Callable[[str], bool], room: list[int], depth: int
) -> Iterator[tuple[str, os.stat_result | str]]:
    with os.scandir(folder) as entries:  # all of its names might fill the memory
        words = sorted(prefix + entry.name for entry in itertools.islice(entries, max(0, room[0] // COST + 1)))
    room[0] -= sum(COST + len(os.fsencode(word)) for word in words)
    for word in words:
        name = word.removeprefix(prefix)
        if not wanted(word):
            continue
        if depth == 0 or len(os.fsencode(word)) > LONGEST:
            yield word, "deep"
            continue
        try:
            about = os.stat(name, dir_fd=folder, follow_symlinks=False)
            yield word, about
            inner = os.open(name, FOLDER, dir_fd=folder) if stat.S_ISDIR(about.st_mode) else -1
        except (FileNotFoundError, NotADirectoryError):
            continue  # removed or replaced just now
        except OSError:
            yield word, "closed"
            continue
        if inner == -1:
            continue
        try:
            yield from _walk(inner, f"{word}/", wanted, room, depth - 1)
        finally:
            os.close(inner)
