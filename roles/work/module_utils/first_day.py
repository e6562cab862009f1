"""A student's folder and home, back to the first day. It runs as the student."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from ansible.module_utils.pieces import shown
from ansible.module_utils.students_folder import Change, fingerprint, may_be_folder, put, sha256

# What the server makes in the home whenever it starts, the secret of who is signed in for one. It goes with the rest,
# but is no reason for a reset.
AT_EACH_START = {".local", ".jupyter_cookie_secret"}


def walk(folder: Path, closed: list[str]) -> Iterator[tuple[str, Path]]:
    """Give all that is not hidden, with its name as seen from the folder; to `closed` goes what cannot be entered."""

    def note(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            closed.append(os.path.relpath(error.filename, folder))

    for place, folders, files in os.walk(folder, onerror=note):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in [*folders, *sorted(files)]:
            path = Path(place, name)
            if not name.startswith(".") and (path.is_symlink() or name not in folders):
                yield os.path.relpath(path, folder), path


def first_day(folder: Path, home: Path, pristine: Path, skel: Path, dry: bool) -> list[Change]:
    """Let the folder hold the lessons, and the home the hidden files, of the first day. Returns what changes.

    skel: the folder with the hidden files of a new home.
    """
    if folder.is_symlink():
        raise NotADirectoryError(20, "it is a link", str(folder))
    lessons = {folder / name: path.read_bytes() for name, path in walk(pristine, []) if path.is_file()}
    files = lessons | {home / path.name: path.read_bytes() for path in skel.glob(".*") if path.is_file()}
    right = {path for path, content in files.items() if is_right(path, content, {home, folder})}
    needed = {parent for path in right for parent in path.parents}
    look, gone = [*home.glob(".*"), *(folder.glob("*") if folder.is_dir() else ())], []
    while look:
        path = look.pop()
        if path in needed and may_be_folder(path):
            look += path.glob("*")
        elif path not in right:
            gone.append(path)
    missing = {path: content for path, content in files.items() if path not in right}
    if not missing and {path.name for path in gone} <= AT_EACH_START:
        return []
    changes = {path: (f"{shown(path)} there", f"{shown(path)} absent") for path in gone}
    for path, content in missing.items():
        before, _ = changes.get(path, (f"{path} absent", ""))
        changes[path] = (before, f"{path} {sha256(content)}")
    if not dry:
        for path in gone:
            remove(path)
        for path, content in missing.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            put(path, content, known=())
    return sorted(changes.values())


def is_right(path: Path, content: bytes, roots: set[Path]) -> bool:
    """Whether a file has this content, and no folder on the way from one of the roots to it is a link or closed."""
    try:
        way = itertools.takewhile(lambda parent: parent not in roots, path.parents)
        return all(map(may_be_folder, way)) and fingerprint(path) == sha256(content)
    except PermissionError:
        return False


def remove(path: Path) -> None:
    """Remove a file, a link or a folder with all that is in it, also a closed one."""
    if path.is_symlink() or not path.is_dir():
        path.unlink()
        return
    path.chmod(0o700)
    for place, folders, _ in os.walk(path):
        for name in folders:
            inner = Path(place, name)
            if not inner.is_symlink():
                inner.chmod(0o700)
    shutil.rmtree(path)
