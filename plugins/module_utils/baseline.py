"""A student's home, back to the first day. It runs as the student."""

from __future__ import annotations

import itertools
from pathlib import Path

from ansible_collections.mynn.pi.plugins.module_utils.chunks import shown
from ansible_collections.mynn.pi.plugins.module_utils.students_folder import (
    Change,
    fingerprint,
    may_be_folder,
    put,
    sha256,
)
from ansible_collections.mynn.pi.plugins.module_utils.tree import names_in, remove

# What the server makes in the home whenever it starts, the secret of who is signed in for one. It goes with the rest,
# but is no reason for a reset.
AT_EACH_START = {".local", ".jupyter_cookie_secret"}
MOST = 1000  # changes that are told one by one
ENTRIES = 20_000  # of a folder, looked at in one go


def first_day(folder: Path, pristine: Path, skel: Path, dry: bool) -> list[Change]:
    """Let the home hold a folder with the lessons, and the hidden files of the first day, and nothing else.

    skel: the folder with the hidden files of a new home. Returns what changes.
    """
    home = folder.parent
    lessons = {folder / path.relative_to(pristine): path.read_bytes() for path in lessons_in(pristine)}
    files = lessons | {home / path.name: path.read_bytes() for path in skel.glob(".*") if path.is_file()}
    right = {path for path, content in files.items() if is_right(path, content, home)}
    kept = {folder, *(parent for path in right for parent in path.parents)}
    look, gone = [home], []
    more = False
    while look:
        path = look.pop()
        if path == home or (path in kept and may_be_folder(path)):
            names = names_in(path, ENTRIES)
            look += [path / name for name in names]
            more |= len(names) == ENTRIES
        elif path not in right:
            gone.append(path)
    missing = {path: content for path, content in files.items() if path not in right}
    if not missing and {path.name for path in gone} <= AT_EACH_START:
        return []
    changes = {path: (f"{shown(path)} there", f"{shown(path)} absent") for path in sorted(gone)[:MOST]}
    if len(gone) > MOST:
        changes[home] = (f"{len(gone) - MOST} more there", f"{len(gone) - MOST} more absent")
    for path, content in missing.items():
        before, _ = changes.get(path, (f"{path} absent", ""))
        changes[path] = (before, f"{path} {sha256(content)}")
    if not dry:
        for path in gone:
            remove(path)
        for path, content in missing.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            put(path, content, known=())
        if more:
            first_day(folder, pristine, skel, dry)
    return sorted(changes.values())


def lessons_in(pristine: Path) -> list[Path]:
    """Return the files of the folder of the untouched lessons."""
    paths = [path for path in pristine.rglob("*") if path.is_file()]
    return [path for path in paths if not any(part.startswith(".") for part in path.relative_to(pristine).parts)]


def is_right(path: Path, content: bytes, home: Path) -> bool:
    """Whether a file has this content, and no folder on the way from the home to it is a link or closed."""
    try:
        way = list(itertools.takewhile(lambda parent: parent != home, path.parents))
        return all(map(may_be_folder, reversed(way))) and fingerprint(path) == sha256(content)
    except PermissionError:
        return False
