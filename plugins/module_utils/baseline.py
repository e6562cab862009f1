"""A student's home as it is at first: the lessons, and a new home's hidden files. This runs as the student."""

from __future__ import annotations

import errno
import os
import subprocess
import time
from pathlib import Path

from ansible_collections.mynn.pi.plugins.module_utils.chunks import FOLDER, File
from ansible_collections.mynn.pi.plugins.module_utils.lessons import lessons_in, links_in
from ansible_collections.mynn.pi.plugins.module_utils.students_folder import fingerprint, sha256, write
from ansible_collections.mynn.pi.plugins.module_utils.tree import walk


def restore_baseline(folder: Path, pristine: Path, skel: Path, dry: bool) -> list[str]:
    """Make the home hold the folder with the lessons and their links, a new home's hidden files, and nothing else.

    skel: the folder with these hidden files. Returns what changes. If anything does, the whole home is made anew.
    """
    home = folder.parent
    contents = {FOLDER + name: content for name, content in lessons_in(pristine).items()}
    contents |= {path.name: path.read_bytes() for path in skel.glob(".*") if path.is_file()}
    links = {FOLDER + name: target for name, target in links_in(pristine).items()}
    parents = {str(parent) for name in contents for parent in Path(name).parents}
    right, strays = set(), {}
    for name, about in walk(home, lambda _: True):
        if is_right(home / name, contents.get(name), links.get(name)):
            right.add(name)
        elif name not in parents or isinstance(about, str):  # of what is in a parent's place, the lessons are missing
            strays[name] = about
    missing = sorted({*contents, *links} - right)
    if (strays or missing) and not dry:
        clear(home)
        for name, content in contents.items():
            write(home, File(name, len(content), sha256(content), int(time.time()), False), 0, content)
        for name, target in links.items():
            (home / name).symlink_to(target)
    return [f"{home / name} removed" for name in strays] + [f"{home / name} as at first" for name in missing]


def is_right(path: Path, content: bytes | None, target: str | None) -> bool:
    """Return whether a file has this content, or is a link to this path."""
    if content is not None:
        return fingerprint(path, len(content)) == sha256(content)
    return target is not None and path.is_symlink() and str(path.readlink()) == target


def clear(home: Path) -> None:
    """Remove all that is in the home, however deep or closed. OSError: something stays."""
    for command in (["chmod", "--recursive", "u+rwX", str(home)], ["find", str(home), "-mindepth", "1", "-delete"]):
        # With no other powers than this process's.
        subprocess.run(command, user=os.geteuid(), group=os.getegid(), env={}, capture_output=True, check=False)
    with os.scandir(home) as entries:
        for rest in entries:
            raise OSError(errno.EPERM, "it could not be removed", rest.path)
