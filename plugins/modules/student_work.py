#!/usr/bin/python3
"""Ansible module: collect, hand out, restore and reset the students' work. The Pi's side."""

from __future__ import annotations

import errno
import gzip
import io
import json
import os
import pwd
import re
import shutil
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import IO, Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mynn.pi.plugins.module_utils.lessons import Memory, lessons_in, links_in
from ansible_collections.mynn.pi.plugins.module_utils.linux import as_student
from ansible_collections.mynn.pi.plugins.module_utils.parcel import batches, pack, place_of, size_of
from ansible_collections.mynn.pi.plugins.module_utils.students_folder import (
    fingerprint,
    measured,
    open_regular,
    opened,
    plan,
    sha256,
    write,
)
from ansible_collections.mynn.pi.plugins.module_utils.text import printable
from ansible_collections.mynn.pi.plugins.module_utils.tree import FOLDER, File, checked, is_work, walk

DOCUMENTATION = r"""
module: student_work
short_description: The Pi's side of the students' work
description:
  - Tasks call the action plugin of the same name, which runs on the control node and documents the task.
  - A student's home is read and written with the student's powers only, so a link in it cannot lead elsewhere, and
    within a time limit.
  - Work is every file in the student's home except programs' own files (C(is_work) in C(tree.py)). Links, pipes and
    the like are not work. A file's name is its path in the home.
options:
  asked:
    description:
      - As JSON, the C(student)'s account, the C(folder) with the lessons, C(pristine), the folder of the untouched
        lessons, and the C(verb).
      - V(list) the files, up to C(limit) bytes in all; V(pack) C(files) into a parcel; V(plan) where C(files) would go;
        V(write) the parcel's C(files); V(reset) the home if all files are C(kept), by name and sum, or to be
        C(discard)ed.
      - For V(plan) and V(write), C(over_lessons) says whether a file replaces an untouched lesson of the same name.
    type: str
    required: true
author: The mynn-pi authors
"""

SKEL = Path("/etc/skel")
LARGEST_LESSON = 1 << 24  # bytes


def lesson_of(name: str) -> str:
    """Return a file's name without the mark of a new version: `part2 (new 3).ipynb` becomes `part2.ipynb`."""
    return re.sub(r" \(new( \d+)?\)(?=(\.[^./]*)?$)", "", name)


def list_work(home: Path, known: dict[str, list[str]], limit: int) -> tuple[list[File], dict[str, str]]:
    """Return the files of work, and name → reason for those left out. Untouched lessons are in neither.

    The smallest come first, so that only a few large files exceed the limit. Runs as the student.
    """
    files: list[File] = []
    sizes: list[tuple[int, str]] = []
    left: dict[str, str] = {}
    for name, about in walk(home, is_work):
        if isinstance(about, str):
            left[name] = about
        elif stat.S_ISREG(about.st_mode):
            sizes.append((about.st_size, name))
    for _, name in sorted(sizes):
        versions = known.get(name, []) + known.get(lesson_of(name), [])
        try:
            file = measured(home / name, max(limit, LARGEST_LESSON) if versions else limit, name)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ELOOP, errno.EINVAL):  # it is still a file
                left[name] = "beyond" if error.errno == errno.EFBIG else "closed"
            continue
        if file.sum in versions:
            continue
        if file.size > limit:
            left[name] = "beyond"
        else:
            files.append(file)
            limit -= file.size
    return files, left


def restore_baseline(folder: Path, pristine: Path, skel: Path, dry: bool) -> list[str]:
    """Reset a home to the lessons, their links and a new home's hidden files. Runs as the student.

    skel: the folder with the hidden files. Returns the changes. If there are any, the whole home is made anew.
    """
    home = folder.parent
    contents = {FOLDER + name: content for name, content in lessons_in(pristine).items()}
    contents |= {path.name: path.read_bytes() for path in skel.glob(".*") if path.is_file()}
    links = {FOLDER + name: target for name, target in links_in(pristine).items()}
    parents = {str(parent) for name in contents for parent in Path(name).parents}
    right, strays = set(), []
    for name, about in walk(home, lambda _: True):
        path, content = home / name, contents.get(name)
        same = content is not None and fingerprint(path, len(content)) == sha256(content)
        if same or (name in links and path.is_symlink() and str(path.readlink()) == links[name]):
            right.add(name)
        elif name not in parents or isinstance(about, str):  # a file in a folder's place shows as missing lessons
            strays.append(name)
    missing = sorted({*contents, *links} - right)
    if (strays or missing) and not dry:
        clear(home)
        for name, content in contents.items():
            file = File(name, len(content), sha256(content), int(time.time()), False)
            write(home, file, io.BytesIO(content))
        for name, target in links.items():
            (home / name).symlink_to(target)
    return [f"{home / name} removed" for name in sorted(strays)] + [f"{home / name} as at first" for name in missing]


def clear(home: Path) -> None:
    """Empty the home, including deep or closed folders, as the student. OSError: something is left."""
    for command in (["chmod", "--recursive", "u+rwX", str(home)], ["find", str(home), "-mindepth", "1", "-delete"]):
        # As the student only: this process still has root's real ids.
        subprocess.run(command, user=os.geteuid(), group=os.getegid(), env={}, capture_output=True, check=False)
    for rest in home.iterdir():
        raise OSError(errno.EPERM, "it could not be removed", str(rest))


@contextmanager
def new_parcel(place: Path) -> Iterator[IO[bytes]]:
    """Yield a stream into a new parcel. The parcel belongs to its folder's owner, the account that transfers it.

    A root process (gzip) writes the parcel: a card that a student has filled still has room for root.
    """
    place.unlink(missing_ok=True)
    pipe, nothing = subprocess.PIPE, subprocess.DEVNULL
    with (
        place.open("xb") as parcel,
        subprocess.Popen(["gzip", "-1"], stdin=pipe, stdout=parcel, stderr=nothing) as tool,
    ):
        os.chown(place, place.parent.stat().st_uid, -1)
        with suppress(BrokenPipeError):  # gzip has ended
            yield tool.stdin  # type: ignore[misc]
    if tool.returncode:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(place))


def do(
    verb: str, folder: Path, pristine: Path, account: pwd.struct_passwd, given: Any, dry: bool, skel: Path = SKEL
) -> Any:
    """Run a verb and return its answer."""
    home = folder.parent
    parcel: Any
    lessons = Memory.read(pristine).known_in_home()
    over = lessons if given.get("over_lessons") else {}
    files = [File(checked(name), *about) for name, *about in given.get("files", [])]

    def work() -> Any:
        # After verbs that only read, folders that were opened are closed again.
        with opened([home, folder], keep=verb not in ("list", "pack") and not dry) as opens:
            if verb == "list":
                return list_work(home, lessons, given["limit"])
            if verb == "pack":
                return pack(parcel, files, lambda file: open_regular(home / file.name))
            if verb == "plan":
                needed, changes, left = plan(folder, files, over, {}, dry)
                sizes = [size_of(batch) for batch in batches([file for file in files if file.name in set(needed)])]
                if shutil.disk_usage(home).free < sum(sizes) + max(sizes, default=0):  # files and largest parcel
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(home))
                return needed, opens + changes, left
            if verb == "write":
                for file in files:
                    write(home, file, parcel, over)
                return None
            there, left = list_work(home, lessons, given["limit"])
            lost = [*left, *(file.name for file in there if given["kept"].get(file.name) != file.sum)]
            refused = lost and not given["discard"]
            return sorted(lost), [] if refused else opens + restore_baseline(folder, pristine, skel, dry)

    stream: Any = {"pack": new_parcel, "write": gzip.open}.get(verb, lambda _: nullcontext())
    with stream(place_of(pristine)) as parcel:
        return as_student(account, work)


def main() -> None:
    """Run the module."""
    # Not secret, but no_log keeps the students' work out of the Pi's log.
    spec = {"asked": {"type": "str", "required": True, "no_log": True}}
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    asked = json.loads(module.params["asked"])
    verb, student, folder, pristine = (asked.pop(name) for name in ("verb", "student", "folder", "pristine"))
    try:
        account = pwd.getpwnam(student)
    except KeyError:
        module.fail_json(msg=f"There is no account {student} on this Pi: run `make site` first.")
    try:
        answer = do(verb, Path(folder), Path(pristine), account, asked, module.check_mode)
    except OSError as error:
        where = printable(error.filename or folder)
        # On the control node, failures.yml knows a full or worn-out card by these words.
        what = "See what is in that place on the Pi, or move it away, and run this again."
        module.fail_json(msg=f"{student}'s folder: {where}: {error.strerror}. {what}")
    module.exit_json(changed=False, answer=json.dumps(answer))


if __name__ == "__main__":
    main()
