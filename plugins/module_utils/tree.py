"""A student's home: tell work from other files, and walk through any names and depths with little memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

FOLDER = "notebooks/"  # the lessons' folder in a home
# Not work at the top of a home: settings and programs' own files.
NOT_IN_A_HOME = {
    *(".bash_history", ".bash_logout", ".bashrc", ".cache", ".config", ".ipython", ".jupyter"),
    *(".jupyter_cookie_secret", ".local", ".profile", ".python_history", ".ssh"),
}
# Not work anywhere: these folders, half-written files (Jupyter's and ours), and what mynn makes of a CSV.
NOWHERE = {".ipynb_checkpoints", "__pycache__"}
OURS = ".mynn-lesson-"
HALF_WRITTEN = (".~", OURS)
MADE_AGAIN = ".csv.npy"

LONGEST = 2000  # bytes of a path in the home; a longer one is reported as `deep`
ROOM = 10_000_000  # bytes of memory for the names; each file takes COST and its name's length
COST = 500
MOST = ROOM // COST + 2  # names, including the one that exceeds ROOM, and `many`


class File(NamedTuple):
    """A student's file. name: path in the home. size: bytes. sum: SHA256. time: last change, seconds."""

    name: str
    size: int
    sum: str
    time: int
    executable: bool


def checked(name: str) -> str:
    """Return a file's path in the home, as it is. ValueError: it leads out of the home."""
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


def walk(top: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, os.stat_result | str]]:
    """Yield the path and lstat of everything in a folder, then in its subfolders.

    A reason comes instead of the lstat if the path is too long (`deep`), and after it if a folder cannot be opened
    (`closed`). When ROOM is used up, the walk ends with `.` and `many`. Paths that are not `wanted` are skipped.
    """
    room, folders = ROOM, [""]
    for folder in folders:  # the loop adds subfolders
        try:
            with os.scandir(top / folder) as entries:
                for entry in entries:
                    name = folder + entry.name
                    if not wanted(name):
                        continue
                    room -= COST + len(os.fsencode(name))
                    if room < 0:
                        yield ".", "many"
                        return
                    if len(os.fsencode(name)) > LONGEST:
                        yield name, "deep"
                        continue
                    with suppress(FileNotFoundError):  # removed just now
                        yield name, entry.stat(follow_symlinks=False)
                        if entry.is_dir(follow_symlinks=False):
                            folders.append(f"{name}/")
        except (FileNotFoundError, NotADirectoryError):
            continue  # removed or replaced just now
        except OSError:
            yield folder.removesuffix("/") or ".", "closed"
