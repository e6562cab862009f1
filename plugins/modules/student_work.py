#!/usr/bin/python3
"""Ansible module: the Pi's side of collecting, handing out, restoring and resetting the students' work."""

from __future__ import annotations

import base64
import errno
import itertools
import os
import pwd
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mynn.pi.plugins.module_utils.baseline import restore_baseline
from ansible_collections.mynn.pi.plugins.module_utils.chunks import (
    FOLDER,
    is_work,
    pack,
    quote,
    unpack,
    unquote,
    write_chunk,
)
from ansible_collections.mynn.pi.plugins.module_utils.lessons import Memory
from ansible_collections.mynn.pi.plugins.module_utils.students_folder import (
    LARGE,
    OURS,
    Change,
    advice,
    as_student,
    fingerprint,
    leftovers,
    make_way,
    may_be_folder,
    move_in,
    names_beside,
    open_regular,
    opened,
    place_for,
    size_and_sum,
)
from ansible_collections.mynn.pi.plugins.module_utils.text import printable
from ansible_collections.mynn.pi.plugins.module_utils.tree import walk

DOCUMENTATION = r"""
module: student_work
short_description: The Pi's side of the students' work
description:
  - Tasks call the action plugin of the same name, which runs on the control node and documents the task.
  - A student's home is read and written with the student's powers only, so a link in it cannot lead elsewhere, and
    within a time limit.
  - Work is every file in the student's home except programs' own files (C(is_work) in C(chunks.py)). Links, pipes and
    the like are not work. A file's name is its quoted path in the home.
  - C(given) and the answer are JSON, compressed, in base64.
options:
  verb:
    description:
      - V(list) the files, up to C(limit) bytes in all; V(read) chunks of files (C(wanted), a name, offset and length
        for each); V(plan) where C(files), each file's sum and size by name, would go; V(write) C(chunks) of files, each
        of which takes its place once it is complete; V(reset) the home, given C(files), the sums by name of files that
        may be deleted, or null for all.
      - For V(plan) and V(write), C(over_lessons) says whether a file replaces an untouched lesson of the same name.
    type: str
    required: true
    choices: [list, read, plan, write, reset]
  student: {description: The student's account., type: str, required: true}
  folder: {description: The student's folder with the lessons., type: path, required: true}
  pristine: {description: The folder of the untouched lessons., type: path, required: true}
  given: {description: The verb's arguments., type: str, required: true}
author: The mynn-pi authors
"""

SKEL = Path("/etc/skel")
# Seconds, by verb: a Pi Zero reads and hashes 10 MB a second.
PATIENCE = {"list": 900.0, "read": 120.0, "plan": 900.0, "write": 300.0, "reset": 900.0}


def lesson_of(name: str) -> str:
    """Return the name of the lesson that this may be a new version of: `part2 (new 3).ipynb` gives `part2.ipynb`."""
    return re.sub(r" \(new( \d+)?\)(?=(\.[^./]*)?$)", "", name)


def look_at(path: Path, largest: int) -> list[Any] | str | None:
    """Return a file's size in bytes, sum, time in seconds and whether it is executable, or why it cannot be read.

    None: it is gone, or is no file any more.
    """
    try:
        with open_regular(path) as file:
            about = os.fstat(file.fileno())
            if about.st_size > largest:
                return "beyond"
            size, sum_ = size_and_sum(file, largest)
    except OSError as error:
        return None if error.errno in (errno.ENOENT, errno.ELOOP, errno.EINVAL) else "closed"
    return [size, sum_, int(about.st_mtime), bool(about.st_mode & 0o100)] if size <= largest else "beyond"


def list_work(home: Path, known: dict[str, list[str]], limit: int) -> dict[str, Any]:
    """Return by quoted name the `files`, each as from `look_at`, and why those `left` cannot be had.

    Untouched lessons are in neither. The smallest come first, so that only a few large files exceed the limit. This
    and all below runs as the student.
    """
    files: dict[str, Any] = {}
    sizes: list[tuple[int, str]] = []
    left: dict[str, str] = {}
    for name, about in walk(home, is_work):
        if isinstance(about, str):
            left[quote(name)] = about
        elif stat.S_ISREG(about.st_mode):
            sizes.append((about.st_size, name))
    for _, name in sorted(sizes):
        versions = known.get(name, []) + known.get(lesson_of(name), [])
        found = look_at(home / name, max(limit, LARGE) if versions else limit)
        if found is None or found[1] in versions:
            continue
        if isinstance(found, str) or found[0] > limit:
            left[quote(name)] = found if isinstance(found, str) else "beyond"
        else:
            files[quote(name)] = found
            limit -= found[0]
    return {"files": files, "left": left}


def read_chunk(home: Path, quoted: str, begin: int, length: int) -> str | None:
    """Return a chunk of a file in base64; None if it cannot be read."""
    try:
        with open_regular(home / unquote(quoted)) as file:
            file.seek(begin)
            return base64.b64encode(file.read(length)).decode()
    except OSError:
        return None


def path_in(home: Path, name: str, free: Path | None = None) -> tuple[Path, list[Path]]:
    """Return the path for a file with this name in the home, and the folders to be created for it.

    If something else is in a folder's place, such as a link, a folder beside it is used; but not for `free`, a path
    that will be free.
    """
    absent = []
    place = home
    for part in name.split("/")[:-1]:
        if free and free in (place / part, *(place / part).parents):
            place = place / part
            absent.append(place)
            continue
        place = next(filter(may_be_folder, itertools.chain([place / part], names_beside(place / part))))
        if not place.exists():
            absent.append(place)
    return place / name.rpartition("/")[2], absent


def plan(folder: Path, files: dict[str, Any], known: dict[str, list[str]], dry: bool) -> dict[str, Any]:
    """Return which files are `needed`, what `changes` when they are written, and by name why those `left` cannot be.

    Unless `dry`, a killed run's leftovers, and what is in the place of the student's folder, are cleared away. files:
    each file's sum and size by name.
    """
    changes = make_way(folder, dry)
    free = folder if changes and dry else None
    needed: list[str] = []
    left: dict[str, str] = {}
    new: set[Path] = set()
    for quoted, (sum_, size) in files.items():
        name = unquote(quoted)
        largest = max(size, LARGE if name in known else 0)
        try:
            path, absent = path_in(folder.parent, name, free)
            if not dry:
                for leftover in leftovers(path.parent):
                    leftover.unlink()
            place = path if free in path.parents else place_for(path, sum_, known.get(name, []), largest=largest)
        except OSError as error:
            left[quoted] = error.strerror or "it cannot be written there"
            continue
        if place:
            needed.append(quoted)
            changes += [(f"{shown(made)} absent", f"{shown(made)} a folder") for made in absent if made not in new]
            new.update(absent)
            before = None if free in path.parents else fingerprint(place, largest)
            changes.append((f"{shown(place)} {'absent' if before is None else before}", f"{shown(place)} {sum_}"))
    return {"needed": needed, "changes": changes, "left": left}


def shown(path: object) -> str:
    """Return a path on one line."""
    return printable(path, 5000)


def write(folder: Path, chunks: list[dict[str, Any]], known: dict[str, list[str]]) -> None:
    """Write chunks of files, in order; a file takes its place with its last chunk (`end`).

    Each chunk has its file's `name`, `size`, `sum`, `time` and `executable`, and its own `begin` and `data`.
    """
    make_way(folder, dry=False)
    for chunk in chunks:
        name, begin = unquote(chunk["name"]), chunk["begin"]
        path, absent = path_in(folder.parent, name)
        for missing in absent:
            missing.mkdir()
        new = path.with_name(f"{OURS}{chunk['sum'][:32]}.new")
        if begin == 0:
            new.unlink(missing_ok=True)
        flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | (os.O_CREAT | os.O_EXCL if begin == 0 else 0)
        with os.fdopen(os.open(new, flags, 0o600), "r+b") as file:
            write_chunk(file, begin, base64.b64decode(chunk["data"]))
            file.flush()
            os.fchmod(file.fileno(), 0o755 if chunk["executable"] else 0o644)
            os.fsync(file.fileno())
        if chunk["end"]:
            put_in_place(new, path, chunk, known.get(name, []))


def put_in_place(new: Path, path: Path, chunk: dict[str, Any], known: list[str]) -> None:
    """Move a complete file to its place, or beside it. OSError: it was damaged on the way."""
    try:
        if fingerprint(new, chunk["size"]) != chunk["sum"]:
            raise OSError(errno.EIO, "it was damaged on the way", str(path))
        os.utime(new, (chunk["time"], chunk["time"]))
        while place := place_for(path, chunk["sum"], known, largest=max(chunk["size"], LARGE if known else 0)):
            if move_in(new, place, known):
                return
            if not new.exists():
                raise OSError(errno.EAGAIN, "the student saved it at the same moment", str(path))
    finally:
        new.unlink(missing_ok=True)


def do(
    verb: str, folder: Path, pristine: Path, account: pwd.struct_passwd, given: Any, dry: bool, skel: Path = SKEL
) -> Any:
    """Run a verb. Returns the answer."""
    home = folder.parent
    lessons = {FOLDER + name: versions for name, versions in Memory.read(pristine).known.items()}
    over = lessons if given.get("over_lessons") else {}

    def run(work: Callable[[list[Change]], Any], verb: str = verb) -> Any:
        """Do work as the student, with the home open to the student; it stays open unless the work only reads."""

        def opening() -> Any:
            with opened([home, folder], keep=verb not in ("list", "read") and not dry) as changes:
                return work(changes)

        return as_student(account, opening, PATIENCE[verb])

    def listed() -> Any:
        try:
            return run(lambda _: list_work(home, lessons, given["limit"]), "list")
        except FileNotFoundError:
            return {"files": {}, "left": {}}
        except PermissionError:
            return {"files": {}, "left": {".": "closed"}}
        except (TimeoutError, ChildProcessError):
            return {"files": {}, "left": {".": "slow"}}

    if verb == "list":
        return listed()
    if verb == "read":
        return run(lambda _: [read_chunk(home, *chunk) for chunk in given["wanted"]])
    if verb == "plan":
        opens, planned = run(lambda opens: [opens, plan(folder, given["files"], over, dry)])
        return {**planned, "changes": opens + planned["changes"]}
    if verb == "write":
        return run(lambda _: write(folder, given["chunks"], over))
    if (kept := given["files"]) is not None:
        found = listed()
        unknown = [quoted for quoted, (_, sum_, *_) in found["files"].items() if kept.get(quoted) != sum_]
        if lost := sorted([*unknown, *found["left"]]):
            return {"lost": lost, "changes": []}
    return {"lost": [], "changes": run(lambda opens: opens + restore_baseline(folder, pristine, skel, dry))}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "verb": {"type": "str", "required": True, "choices": list(PATIENCE)},
            "student": {"type": "str", "required": True},
            "folder": {"type": "path", "required": True},
            "pristine": {"type": "path", "required": True},
            # Not a secret: this keeps the students' work out of the Pi's log.
            "given": {"type": "str", "required": True, "no_log": True},
        },
        supports_check_mode=True,
    )
    verb, student, given = (module.params[name] for name in ("verb", "student", "given"))
    folder, pristine = Path(module.params["folder"]), Path(module.params["pristine"])
    try:
        account = pwd.getpwnam(student)
    except KeyError:
        module.fail_json(msg=f"There is no account {student} on this Pi: run site.yml first.")
    try:
        answer = do(verb, folder, pristine, account, unpack(given), module.check_mode)
    except OSError as error:
        where = shown(error.filename or folder)
        module.fail_json(msg=f"{student}'s folder: {where}: {error.strerror}. {advice(error)}, and run this again.")
    module.exit_json(changed=False, answer=pack(answer))


if __name__ == "__main__":
    main()
