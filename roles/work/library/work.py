#!/usr/bin/python3
"""Ansible module: the Pi's side of collecting, handing out, restoring and giving up what students made."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import os
import pwd
import re
import stat
import sys
import urllib.parse
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.first_day import first_day, walk
from ansible.module_utils.pieces import pack, quote, shown, unpack
from ansible.module_utils.students_folder import (
    OURS,
    Change,
    as_student,
    fingerprint,
    may_be_folder,
    move_in,
    names_beside,
    open_folder,
    place_for,
)

DOCUMENTATION = r"""
module: work
short_description: The work in a student's folder
description:
  - This is what runs on a Pi. A task calls the action plugin of the same name, which runs on the control node, calls
    this as often as it takes, and explains O(verb) and the other options of a task.
  - A student's folder is read and written with the student's powers only, so a link in it leads nowhere else.
  - Work is every file in the student's folder that is neither hidden nor in a hidden folder. Links, pipes and the like
    hold no work. A name travels percent-encoded, since it may hold any bytes.
options:
  verb:
    description:
      - V(list) the files with their sums; V(read) pieces of some; V(plan) where given files would go;
        V(write) pieces of some, which take their place once all of one is there; V(reset) the folder.
    type: str
    required: true
    choices: [list, read, plan, write, reset]
  student:
    description: The account that owns the folder.
    type: str
    required: true
  folder:
    description: The student's folder.
    type: path
    required: true
  pristine:
    description: The folder of the untouched lessons.
    type: path
    required: true
  given:
    description:
      - What the verb needs, as JSON, compressed, in base64. V(list) C(largest), the size in bytes beyond which files
        are not read. V(read) C(wanted), pieces of files, each a name, where it begins and how long it is (in bytes).
        V(plan) C(files), by name each file's sum. V(reset) C(files), those that may be given up; null stands for all.
        V(write) C(pieces), as C(write) explains. V(plan) and V(write) C(over_lessons), whether a file takes the place
        of a lesson of the same name that the student did not touch.
    type: str
    required: true
author: The mynn-pi authors
"""

EXAMPLES = r"""
- work:
    verb: list
    student: student
    folder: /home/student/notebooks
    pristine: /opt/mynn/notebooks
    given: eAGrVspJLEpPLS5RslIwNACDWgBEJAXa   # {"largest": 1000000}
"""

RETURN = r"""
answer:
  description: What there is to say, as JSON, compressed, in base64.
  returned: success
  type: str
"""

ANY_SIZE = sys.maxsize
SKEL = Path("/etc/skel")


def unquote(word: str) -> str:
    """Return the name that was quoted. ValueError: it leads out of the folder."""
    name = os.fsdecode(urllib.parse.unquote_to_bytes(word))
    if any(part in ("", ".", "..") for part in name.split("/")):
        raise ValueError(f"{word} is no name of a file in a folder")
    return name


def lessons_known(pristine: Path) -> dict[str, list[str]]:
    """Return the sums of all versions of each lesson that were ever handed out here, by its name."""
    try:
        known = json.loads((pristine / ".handed_out.json").read_bytes())["known"]
        return {str(name): [str(sum_) for sum_ in sums] for name, sums in known.items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return {}


def lesson_of(name: str) -> str:
    """Return the lesson's name of which this may be a new version: `part2 (new 3).ipynb` gives `part2.ipynb`."""
    return re.sub(r" \(new( \d+)?\)(?=(\.[^./]*)?$)", "", name)


def look_at(path: Path, largest: int) -> list[Any] | str:
    """Return a file's size in bytes, sum, time in seconds and whether it may be executed; else what it is instead."""
    try:
        found = path.lstat()
        if not stat.S_ISREG(found.st_mode):
            return "a link" if stat.S_ISLNK(found.st_mode) else "no file"
        if found.st_size > largest:
            return "large"
        # Should it have become a link or a pipe just now, opening must neither follow nor wait.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return "gone"
    except OSError:
        return "closed"
    digest, read = hashlib.sha256(), 0
    with os.fdopen(descriptor, "rb") as file:
        while read <= largest and (block := file.read(1 << 20)):  # it may grow meanwhile
            digest.update(block)
            read += len(block)
    if read > largest:
        return "large"
    return [read, digest.hexdigest(), int(found.st_mtime), bool(found.st_mode & 0o100)]


def list_work(folder: Path, known: dict[str, list[str]], largest: int) -> dict[str, Any]:
    """Return by name `files`, each as `look_at` tells; `lessons`, the sums of the untouched ones; `left`, the rest.

    It runs as the student, and so does all below.
    """
    files: dict[str, Any] = {}
    lessons: dict[str, str] = {}
    left: dict[str, str] = {}
    if folder.is_symlink():
        return {"files": files, "lessons": lessons, "left": {".": "closed"}}
    closed: list[str] = []
    for name, path in walk(folder, closed):
        found = look_at(path, largest)
        if isinstance(found, str):
            left[quote(name)] = found
        elif found[1] in known.get(name, []) or found[1] in known.get(lesson_of(name), []):
            lessons[quote(name)] = found[1]
        else:
            files[quote(name)] = found
    left.update((quote(name), "closed") for name in closed)
    return {"files": files, "lessons": lessons, "left": {name: what for name, what in left.items() if what != "gone"}}


def read_piece(folder: Path, word: str, begin: int, length: int) -> str | None:
    """Return bytes of a file in base64; None if they cannot be read (any more)."""
    try:
        descriptor = os.open(folder / unquote(word), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return None
            file.seek(begin)
            return base64.b64encode(file.read(length)).decode()
    except OSError:
        return None


def home_of(folder: Path, name: str) -> tuple[Path, list[Path]]:
    """Return the path of a file with that name in the folder, and the folders on the way that are not there yet.

    Where something else is in a folder's place, a link for one, a folder beside it is used.
    """
    absent = []
    place = folder
    for part in name.split("/")[:-1]:
        place = next(filter(may_be_folder, itertools.chain([place / part], names_beside(place / part))))
        if not place.exists():
            absent.append(place)
    return place / name.rpartition("/")[2], absent


def plan(folder: Path, files: dict[str, str], known: dict[str, list[str]], dry: bool) -> dict[str, Any]:
    """Return which files are `needed`, and what `changes` when they come; unless `dry`, clear what a killed run left.

    files: each file's sum by its name.
    """
    changes: list[Change] = []
    needed = []
    new: set[Path] = set()
    if not may_be_folder(folder):
        raise NotADirectoryError(20, "it is no folder of the student's", str(folder))
    if not folder.is_dir() or folder.stat().st_mode & 0o700 != 0o700:
        changes += open_folder(folder, dry=True)
    for word, sum_ in files.items():
        path, absent = home_of(folder, unquote(word))
        for rest in [] if dry else path.parent.glob(f"{OURS}*.new"):
            rest.unlink()
        place = place_for(path, sum_, known.get(unquote(word), []), largest=ANY_SIZE)
        if place:
            needed.append(word)
            changes += [(f"{shown(made)} absent", f"{shown(made)} a folder") for made in absent if made not in new]
            new.update(absent)
            changes.append((f"{shown(place)} {fingerprint(place, ANY_SIZE) or 'absent'}", f"{shown(place)} {sum_}"))
    return {"needed": needed, "changes": changes}


def write(folder: Path, pieces: list[dict[str, Any]], known: dict[str, list[str]]) -> None:
    """Write pieces of files, in order; a file takes its place when its last piece (with `end`) has come.

    Each piece has its file's `name`, `sum`, `time` and `executable`, and its own `begin` and `data`.
    """
    open_folder(folder, dry=False)
    for piece in pieces:
        path, absent = home_of(folder, unquote(piece["name"]))
        for missing in absent:
            missing.mkdir()
        new = path.with_name(f"{OURS}{piece['sum'][:32]}.new")
        if piece["begin"] == 0:
            new.unlink(missing_ok=True)
        flags = os.O_WRONLY | os.O_NOFOLLOW | (os.O_CREAT | os.O_EXCL if piece["begin"] == 0 else 0)
        with os.fdopen(os.open(new, flags, 0o600), "wb") as file:
            file.seek(piece["begin"])
            file.write(base64.b64decode(piece["data"]))
            file.flush()
            os.fchmod(file.fileno(), 0o755 if piece["executable"] else 0o644)
            os.fsync(file.fileno())
        if piece["end"]:
            finish(new, path, piece, known.get(unquote(piece["name"]), []))


def finish(new: Path, path: Path, piece: dict[str, Any], known: list[str]) -> None:
    """Give a file that has come its place, or one beside it. OSError: it did not come as it was sent."""
    try:
        if fingerprint(new, ANY_SIZE) != piece["sum"]:
            raise OSError(5, "it did not come as it was sent", str(path))
        os.utime(new, (piece["time"], piece["time"]))
        while place := place_for(path, piece["sum"], known, largest=ANY_SIZE):
            if move_in(new, place, known):
                return
            if not new.exists():
                raise OSError(11, "the student saved it at this very moment", str(path))
    finally:
        new.unlink(missing_ok=True)


def lost(found: dict[str, Any], files: dict[str, str]) -> list[str]:
    """Return what would be lost, were the folder reset: what has not one of the sums that may be given up."""
    changed = [word for word, (_, sum_, *_) in found["files"].items() if files.get(word) != sum_]
    return sorted([*changed, *(word for word, what in found["left"].items() if what in ("closed", "large"))])


def do(
    verb: str, folder: Path, pristine: Path, account: pwd.struct_passwd, given: Any, dry: bool, skel: Path = SKEL
) -> Any:
    """Do what is asked for. Returns the answer."""
    lessons = lessons_known(pristine)
    over = lessons if given.get("over_lessons") else {}
    if verb == "list":
        return as_student(account, lambda: list_work(folder, lessons, given["largest"]))
    if verb == "read":
        return as_student(account, lambda: [read_piece(folder, *piece) for piece in given["wanted"]])
    if verb == "plan":
        return as_student(account, lambda: plan(folder, given["files"], over, dry))
    if verb == "write":
        return as_student(account, lambda: write(folder, given["pieces"], over))
    if given["files"] is not None:
        found = as_student(account, lambda: list_work(folder, lessons, ANY_SIZE))
        if missed := lost(found, given["files"]):
            return {"lost": missed, "changes": []}
    home = Path(account.pw_dir)
    changes = as_student(account, lambda: first_day(folder, home, pristine, skel, dry))
    return {"lost": [], "changes": changes}


def main() -> None:
    """Do as the action plugin says."""
    module = AnsibleModule(
        argument_spec={
            "verb": {"type": "str", "required": True, "choices": ["list", "read", "plan", "write", "reset"]},
            "student": {"type": "str", "required": True},
            "folder": {"type": "path", "required": True},
            "pristine": {"type": "path", "required": True},
            # Not a secret: this keeps the children's work out of the Pi's log.
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
            msg=f"{asked['student']}'s folder: {error.filename or folder}: {error.strerror}. Make room on the card, or"
            " move away what is in that place, and run it again."
        )
    module.exit_json(changed=False, answer=pack(answer))


if __name__ == "__main__":
    main()
