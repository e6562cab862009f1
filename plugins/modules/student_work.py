#!/usr/bin/python3
"""Ansible module: the Pi's side of collecting, handing out, restoring and resetting the students' work."""

from __future__ import annotations

import base64
import errno
import os
import pwd
import re
import stat
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mynn.pi.plugins.module_utils.baseline import restore_baseline
from ansible_collections.mynn.pi.plugins.module_utils.chunks import File, checked, is_work, pack, unpack
from ansible_collections.mynn.pi.plugins.module_utils.lessons import Memory
from ansible_collections.mynn.pi.plugins.module_utils.students_folder import (
    advice,
    as_student,
    open_regular,
    opened,
    plan,
    size_and_sum,
    write,
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
    the like are not work. A file's name is its path in the home.
  - C(given) and the answer are JSON, compressed, in base64.
options:
  verb:
    description:
      - V(list) the files, up to C(limit) bytes in all; V(read) chunks of files (C(wanted), a name, offset and length
        for each); V(plan) where C(files) would go; V(write) C(chunks) of files (a file, offset and data for each), each
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
LARGEST_LESSON = 1 << 24  # bytes


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
    """Return by name the `files`, each as from `look_at`, and why those `left` cannot be had.

    Untouched lessons are in neither. The smallest come first, so that only a few large files exceed the limit. This
    and all below runs as the student.
    """
    files: dict[str, Any] = {}
    sizes: list[tuple[int, str]] = []
    left: dict[str, str] = {}
    try:
        for name, about in walk(home, is_work):
            if isinstance(about, str):
                left[name] = about
            elif stat.S_ISREG(about.st_mode):
                sizes.append((about.st_size, name))
    except FileNotFoundError:
        pass  # there is no home
    except PermissionError:
        left["."] = "closed"
    for _, name in sorted(sizes):
        versions = known.get(name, []) + known.get(lesson_of(name), [])
        seen = look_at(home / name, max(limit, LARGEST_LESSON) if versions else limit)
        if seen is None or seen[1] in versions:
            continue
        if isinstance(seen, str) or seen[0] > limit:
            left[name] = seen if isinstance(seen, str) else "beyond"
        else:
            files[name] = seen
            limit -= seen[0]
    return {"files": files, "left": left}


def read_chunk(home: Path, name: str, begin: int, length: int) -> str | None:
    """Return a chunk of a file in base64; None if it cannot be read."""
    try:
        with open_regular(home / checked(name)) as file:
            file.seek(begin)
            return base64.b64encode(file.read(length)).decode()
    except OSError:
        return None


def lost_by_reset(home: Path, known: dict[str, list[str]], given: dict[str, Any]) -> list[str]:
    """Return the names of work that is not among the `files` that are kept elsewhere."""
    listed = list_work(home, known, given["limit"])
    new = [name for name, (_, sum_, *_) in listed["files"].items() if given["files"].get(name) != sum_]
    return sorted([*new, *listed["left"]])


def do(
    verb: str, folder: Path, pristine: Path, account: pwd.struct_passwd, given: Any, dry: bool, skel: Path = SKEL
) -> Any:
    """Run a verb. Returns the answer."""
    home = folder.parent
    lessons = Memory.read(pristine).known_in_home()
    over = lessons if given.get("over_lessons") else {}

    def work() -> Any:
        # The home stays open to the student, unless this only reads.
        with opened([home, folder], keep=verb not in ("list", "read") and not dry) as opens:
            if verb == "list":
                return list_work(home, lessons, given["limit"])
            if verb == "read":
                return [read_chunk(home, *chunk) for chunk in given["wanted"]]
            if verb == "plan":
                files = [File(checked(name), *about) for name, *about in given["files"]]
                needed, changes, left = plan(folder, files, over, {}, dry)
                return {"needed": needed, "changes": opens + changes, "left": left}
            if verb == "write":
                for (name, *about), begin, data in given["chunks"]:
                    write(home, File(checked(name), *about), begin, base64.b64decode(data), over)
                return None
            if given["files"] is not None and (lost := lost_by_reset(home, lessons, given)):
                return {"lost": lost, "changes": []}
            return {"lost": [], "changes": opens + restore_baseline(folder, pristine, skel, dry)}

    try:
        return as_student(account, work)
    except (TimeoutError, ChildProcessError):
        if verb == "list":
            return {"files": {}, "left": {".": "slow"}}
        raise


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
    verb, student, given = (module.params[name] for name in ("verb", "student", "given"))
    folder, pristine = Path(module.params["folder"]), Path(module.params["pristine"])
    try:
        account = pwd.getpwnam(student)
    except KeyError:
        module.fail_json(msg=f"There is no account {student} on this Pi: run `make site` first.")
    try:
        answer = do(verb, folder, pristine, account, unpack(given), module.check_mode)
    except OSError as error:
        where = printable(error.filename or folder)
        module.fail_json(msg=f"{student}'s folder: {where}: {error.strerror}. {advice(error)}, and run this again.")
    module.exit_json(changed=False, answer=pack(answer))


if __name__ == "__main__":
    main()
