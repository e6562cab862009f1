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
    MOST,
    WHY,
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
      - V(list) the files (given C(largest), the size in bytes beyond which files are not read, and C(limit), that of
        all files together); V(read) chunks of files (given C(wanted), a name, offset and length for each); V(plan)
        where C(files), each file's sum and size by name, would go; V(write) C(chunks) of files, each of which takes its
        place once it is complete; V(reset) the home, given C(files), the sums by name of files that may be deleted, or
        null for all.
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
NAMES = 8 << 20  # characters of all names together
# Seconds, by verb: a Pi Zero reads and hashes 10 MB a second.
PATIENCE = {"list": 900.0, "read": 120.0, "plan": 900.0, "write": 300.0, "reset": 900.0}


def lesson_of(name: str) -> str:
    """Return the name of the lesson that this may be a new version of: `part2 (new 3).ipynb` gives `part2.ipynb`."""
    return re.sub(r" \(new( \d+)?\)(?=(\.[^./]*)?$)", "", name)


def look_at(path: Path, largest: int) -> list[Any] | str:
    """Return a file's size in bytes, sum, time in seconds and whether it is executable, or why it cannot be read."""
    try:
        with open_regular(path) as file:
            found = os.fstat(file.fileno())
            if found.st_size > largest:
                return "large"
            size, sum_ = size_and_sum(file, largest)
    except FileNotFoundError:
        return "gone"
    except OSError as error:
        return {errno.ELOOP: "a link", errno.EINVAL: "no file"}.get(error.errno or 0, "closed")
    return [size, sum_, int(found.st_mtime), bool(found.st_mode & 0o100)] if size <= largest else "large"


def list_work(home: Path, known: dict[str, list[str]], largest: int, limit: int) -> dict[str, Any]:
    """Return by quoted name the `files`, each as from `look_at`, and why those `left` cannot be had.

    Untouched lessons are in neither. The smallest come first, so that only a few large files exceed the limit. This
    and all below runs as the student.
    """
    files: dict[str, Any] = {}
    sizes, left = look_around(home, largest)
    for size, name in sorted(sizes):
        versions = known.get(name, []) + known.get(lesson_of(name), [])
        found = look_at(home / name, largest) if size <= limit or (name in known and size <= LARGE) else "beyond"
        if isinstance(found, str):
            left[name] = found
        elif found[1] in versions:
            continue  # an untouched lesson
        elif found[0] > limit:
            left[name] = "beyond"
        else:
            files[quote(name)] = found
            limit -= found[0]
    quoted = {quote(name) if name != "." else name: what for name, what in left.items() if what != "gone"}
    return {"files": files, "left": quoted}


def look_around(home: Path, largest: int) -> tuple[list[tuple[int, str]], dict[str, str]]:
    """Return the size and name of each file that may be work, and by name why others cannot."""
    sizes: list[tuple[int, str]] = []
    left: dict[str, str] = {}
    length = 0
    for name, found in walk(home, is_work, MOST):
        length += len(quote(name))
        if length > NAMES:
            left["."] = "many"
            break
        if isinstance(found, str):
            left[name] = found
        elif not stat.S_ISREG(found.st_mode):
            left[name] = "a link" if stat.S_ISLNK(found.st_mode) else "no file"
        elif found.st_size > largest:
            left[name] = "large"
        else:
            sizes.append((found.st_size, name))
    return sizes, left


def read_chunk(home: Path, quoted: str, begin: int, length: int) -> str | None:
    """Return a chunk of a file in base64, empty if it is all zeros; None if it cannot be read."""
    try:
        with open_regular(home / unquote(quoted)) as file:
            file.seek(begin)
            chunk = file.read(length)
    except OSError:
        return None
    return base64.b64encode(chunk).decode() if len(chunk) < length or chunk.count(0) < length else ""


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
    looked: set[Path] = set()
    for quoted, (sum_, size) in files.items():
        name = unquote(quoted)
        try:
            path, absent = path_in(folder.parent, name, free)
            if not dry and path.parent not in looked:
                looked.add(path.parent)
                for leftover in leftovers(path.parent):
                    leftover.unlink()
            place: Path | None = path
            if free not in path.parents:
                place = place_for(path, sum_, known.get(name, []), largest=max(size, LARGE if name in known else 0))
        except OSError as error:
            left[quoted] = error.strerror or "it cannot be written there"
            continue
        if place:
            needed.append(quoted)
            changes += [(f"{shown(made)} absent", f"{shown(made)} a folder") for made in absent if made not in new]
            new.update(absent)
            before = None if free in path.parents else fingerprint(place, max(size, LARGE))
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


def lost(found: dict[str, Any], files: dict[str, str]) -> list[str]:
    """Return the files that a reset would lose: those that do not have a sum that may be deleted."""
    changed = [quoted for quoted, (_, sum_, *_) in found["files"].items() if files.get(quoted) != sum_]
    return sorted([*changed, *(quoted for quoted, what in found["left"].items() if what in WHY)])


def do(
    verb: str, folder: Path, pristine: Path, account: pwd.struct_passwd, given: Any, dry: bool, skel: Path = SKEL
) -> Any:
    """Run a verb. Returns the answer."""
    home = folder.parent
    lessons = {FOLDER + name: versions for name, versions in Memory.read(pristine).known.items()}
    over = lessons if given.get("over_lessons") else {}

    def let(work: Callable[[list[Change]], Any], verb: str = verb) -> Any:
        """Do work as the student, with the home open to the student; it stays open unless the work only reads."""

        def done() -> Any:
            with opened([home, folder], keep=verb not in ("list", "read") and not dry) as changes:
                return work(changes)

        return as_student(account, done, PATIENCE[verb])

    def listed() -> Any:
        left: dict[str, str] = {}
        try:
            found: dict[str, Any] = let(lambda _: list_work(home, lessons, given["largest"], given["limit"]), "list")
            return found
        except FileNotFoundError:
            pass
        except PermissionError:
            left["."] = "closed"
        except (TimeoutError, ChildProcessError):
            left["."] = "slow"
        return {"files": {}, "left": left}

    if verb == "list":
        return listed()
    if verb == "read":
        return let(lambda _: [read_chunk(home, *chunk) for chunk in given["wanted"]])
    if verb == "plan":
        opens, planned = let(lambda opens: [opens, plan(folder, given["files"], over, dry)])
        return {**planned, "changes": opens + planned["changes"]}
    if verb == "write":
        return let(lambda _: write(folder, given["chunks"], over))
    if given["files"] is not None and (missed := lost(listed(), given["files"])):
        return {"lost": missed, "changes": []}
    return {"lost": [], "changes": let(lambda opens: opens + restore_baseline(folder, pristine, skel, dry))}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "verb": {"type": "str", "required": True, "choices": ["list", "read", "plan", "write", "reset"]},
            "student": {"type": "str", "required": True},
            "folder": {"type": "path", "required": True},
            "pristine": {"type": "path", "required": True},
            # Not a secret: this keeps the students' work out of the Pi's log.
            "given": {"type": "str", "required": True, "no_log": True},
        },
        supports_check_mode=True,
    )
    asked = module.params
    folder, pristine = Path(asked["folder"]), Path(asked["pristine"])
    try:
        account = pwd.getpwnam(asked["student"])
    except KeyError:
        module.fail_json(msg=f"There is no account {asked['student']} on this Pi: run site.yml first.")
    try:
        answer = do(asked["verb"], folder, pristine, account, unpack(asked["given"]), module.check_mode)
    except OSError as error:
        module.fail_json(
            msg=f"{asked['student']}'s folder: {shown(error.filename or folder)}: {error.strerror}."
            f" {advice(error)}, and run this again."
        )
    module.exit_json(changed=False, answer=pack(answer))


if __name__ == "__main__":
    main()
