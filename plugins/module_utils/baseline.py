"""A student's home as it is at first: the lessons, and a new home's hidden files. This runs as the student."""

from __future__ import annotations

import itertools
from pathlib import Path

from ansible_collections.mynn.pi.plugins.module_utils.lessons import lessons_in, links_in
from ansible_collections.mynn.pi.plugins.module_utils.students_folder import (
    Change,
    fingerprint,
    may_be_folder,
    put,
    sha256,
)
from ansible_collections.mynn.pi.plugins.module_utils.text import printable
from ansible_collections.mynn.pi.plugins.module_utils.tree import names_in, remove

MOST = 1000  # changes that are listed one by one
ENTRIES = 20_000  # of a folder that are read at once


def restore_baseline(folder: Path, pristine: Path, skel: Path, dry: bool) -> list[Change]:
    """Make the home hold the folder with the lessons and their links, a new home's hidden files, and nothing else.

    skel: the folder with these hidden files. Returns what changes.
    """
    home = folder.parent
    files = {folder / name: content for name, content in lessons_in(pristine).items()}
    files |= {home / path.name: path.read_bytes() for path in skel.glob(".*") if path.is_file()}
    links = {folder / name: target for name, target in links_in(pristine).items()}
    right = {path for path, content in files.items() if is_right(path, content, home)}
    right |= {path for path, target in links.items() if may_be_folder(folder) and leads_to(path, target)}
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
    told = {path: printable(path, 5000) for path in sorted(gone)[:MOST]}
    changes = {path: (f"{name} there", f"{name} absent") for path, name in told.items()}
    if len(gone) > MOST:
        changes[home] = (f"{len(gone) - MOST} more there", f"{len(gone) - MOST} more absent")
    missing = {path: content for path, content in files.items() if path not in right}
    for path, content in missing.items():
        before, _ = changes.get(path, (f"{path} absent", ""))
        changes[path] = (before, f"{path} {sha256(content)}")
    unlinked = {path: target for path, target in links.items() if path not in right}
    for path, target in unlinked.items():
        before, _ = changes.get(path, (f"{path} absent", ""))
        changes[path] = (before, f"{path} a link to {target}")
    if not dry:
        for path in gone:
            remove(path)
        for path, content in missing.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            put(path, content, known=())
        for path, target in unlinked.items():
            path.symlink_to(target)
        if more:
            restore_baseline(folder, pristine, skel, dry)
    return sorted(changes.values())


def is_right(path: Path, content: bytes, home: Path) -> bool:
    """Return whether a file has this content, and no folder between it and the home is a link or closed."""
    try:
        way = list(itertools.takewhile(lambda parent: parent != home, path.parents))
        return all(map(may_be_folder, reversed(way))) and fingerprint(path) == sha256(content)
    except PermissionError:
        return False


def leads_to(path: Path, target: str) -> bool:
    """Return whether this is a link to that path."""
    return path.is_symlink() and str(path.readlink()) == target
