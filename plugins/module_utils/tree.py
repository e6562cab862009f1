"""A student's home: what in it is work, and a walk through it, whatever its names and depth, with little memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

FOLDER = "notebooks/"  # where the lessons are in a home
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

LONGEST = 2000  # bytes of a path in the home; what is deeper is reported as `deep`
ROOM = 10_000_000  # bytes of memory for the names; each file takes COST and its name
COST = 500
MOST = ROOM // COST + 2  # of the names, with the one that exceeds the room, and `many`


class File(NamedTuple):
    """A file on the Pi, or on its way there. name: its path in the home. size: in bytes. time: in seconds."""

    name: str
    size: int
    sum: str
    time: int
    executable: bool


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


def walk(top: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, os.stat_result | str]]:
    """Yield what is in a folder, then in its subfolders: its path in the folder, and its lstat.

    If that cannot be had, the reason comes instead or, for a folder that cannot be opened, besides: `closed`, `deep`,
    or, for the top folder itself, `many` if there is no room for more. Paths that are not `wanted` are skipped.
    """
    room, folders = ROOM, [""]
    for folder in folders:  # more are added meanwhile
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
