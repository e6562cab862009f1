"""A student's home as it is at first: the lessons, and a new home's hidden files. This runs as the student."""

from __future__ import annotations

import errno
import itertools
import os
import subprocess
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
from ansible_collections.mynn.pi.plugins.module_utils.tree import MOST, names_in

LISTED = 1000  # changes that are listed one by one


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
    strays = strays_in(home, right, {folder, *(parent for path in right for parent in path.parents)})
    changes = {path: (f"{printable(path, 5000)} there", f"{printable(path, 5000)} absent") for path in strays[:LISTED]}
    if len(strays) > LISTED:
        changes[home] = (f"{len(strays) - LISTED} more there", f"{len(strays) - LISTED} more absent")
    for path in (files.keys() | links.keys()) - right:
        before, _ = changes.get(path, (f"{path} absent", ""))
        after = f"a link to {links[path]}" if path in links else sha256(files[path])
        changes[path] = before, f"{path} {after}"
    if not dry:
        while strays:  # as many as the memory holds, then the rest
            remove(strays)
            strays = strays_in(home, right, {folder, *(parent for path in right for parent in path.parents)})
        for path in files.keys() - right:
            path.parent.mkdir(parents=True, exist_ok=True)
            put(path, files[path], known=())
        for path in links.keys() - right:
            path.symlink_to(links[path])
    return sorted(changes.values())


def strays_in(home: Path, right: set[Path], kept: set[Path]) -> list[Path]:
    """Return what is in the home, but neither `right` nor one of the folders that are `kept`."""
    look, strays = [home], []
    while look:
        path = look.pop()
        if path == home or (path in kept and may_be_folder(path)):
            look += [path / name for name in names_in(path, MOST)]
        elif path not in right:
            strays.append(path)
    return sorted(strays)


def remove(paths: list[Path]) -> None:
    """Remove files, links, and folders with their contents, even closed ones. OSError: one of them stays."""
    for start in range(0, len(paths), 100):
        some = paths[start : start + 100]
        folders = [path for path in some if path.is_dir() and not path.is_symlink()]
        run(["chmod", "--recursive", "u+rwX", "--", *folders])
        run(["rm", "--recursive", "--force", "--", *some])
        for path in some:
            if os.path.lexists(path):
                raise OSError(errno.EPERM, "it could not be removed", str(path))


def run(command: list[str | Path]) -> None:
    """Run a program with no other powers than this process's."""
    subprocess.run(command, user=os.geteuid(), group=os.getegid(), env={}, capture_output=True, check=False)


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
