"""Walk and remove a student's home, whatever its names and depth, with short paths and few open folders."""

from __future__ import annotations

import itertools
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

DEEPEST = 64  # nested folders; what is deeper is reported as `deep`
LONGEST = 2000  # bytes of a path in the home; the same
MANY = 1000  # names of a folder that are read at once when it is removed
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


def walk(top: Path, wanted: Callable[[str], bool], most: int) -> Iterator[tuple[str, os.stat_result | str]]:
    """Yield what is in a folder and its subfolders, in order: its path in the folder, and its lstat.

    If that cannot be had, the reason comes instead: `closed`, `deep`, or, for the top folder itself, `many` if there
    are more than `most` names. Paths that are not `wanted` are skipped.
    """
    room = [most]
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
    for name in sorted(names_in(folder, room[0] + 1)):
        room[0] -= 1
        if room[0] < 0:
            return
        word = prefix + name
        if not wanted(word):
            continue
        if depth == 0 or len(os.fsencode(word)) > LONGEST:
            yield word, "deep"
            continue
        try:
            found = os.stat(name, dir_fd=folder, follow_symlinks=False)
            inner = os.open(name, FOLDER, dir_fd=folder) if stat.S_ISDIR(found.st_mode) else -1
        except (FileNotFoundError, NotADirectoryError):
            continue  # removed or replaced just now
        except OSError:
            yield word, "closed"
            continue
        if inner == -1:
            yield word, found
            continue
        try:
            yield from _walk(inner, f"{word}/", wanted, room, depth - 1)
        finally:
            os.close(inner)


def remove(path: Path) -> None:
    """Remove a file, a link, or a folder with its contents, even if it is closed."""
    if not stat.S_ISDIR(path.lstat().st_mode):
        path.unlink()
        return
    try:
        top = _enter(str(path), None)
        try:
            while names := names_in(top, MANY):
                for name in names:
                    _remove(name, top)
        finally:
            os.close(top)
        path.rmdir()
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None


def _remove(name: str, top: int) -> None:
    """Remove an entry of `top`; folders in it are moved up into `top` first, and removed there in turn."""
    if not _is_folder(name, top):
        os.unlink(name, dir_fd=top)
        return
    folder = _enter(name, top)
    try:
        while names := names_in(folder, MANY):
            for inner in names:
                if _is_folder(inner, folder):
                    os.chmod(inner, 0o700, dir_fd=folder)
                    os.rename(inner, f".{secrets.token_hex(8)}", src_dir_fd=folder, dst_dir_fd=top)
                else:
                    os.unlink(inner, dir_fd=folder)
    finally:
        os.close(folder)
    os.rmdir(name, dir_fd=top)


def names_in(folder: int | Path, most: int) -> list[str]:
    """Return at most `most` names in a folder: all of them might fill the memory."""
    with os.scandir(folder) as found:
        return [entry.name for entry in itertools.islice(found, most)]


def _is_folder(name: str, folder: int) -> bool:
    return stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)


def _enter(name: str, folder: int | None) -> int:
    with suppress(PermissionError):  # another account's, which can be removed if it is empty
        os.chmod(name, 0o700, dir_fd=folder)
    return os.open(name, FOLDER, dir_fd=folder)
