#!/usr/bin/python3
"""Ansible module: install lessons in the students' folders, without ever losing a student's file."""

from __future__ import annotations

import base64
import io
import os
import pwd
import time
from contextlib import nullcontext, suppress
from functools import partial
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mynn.pi.plugins.module_utils.file_state import state_of, state_with
from ansible_collections.mynn.pi.plugins.module_utils.files import locked, replacing
from ansible_collections.mynn.pi.plugins.module_utils.lessons import HANDED_OUT, Memory, links_in
from ansible_collections.mynn.pi.plugins.module_utils.linux import as_student
from ansible_collections.mynn.pi.plugins.module_utils.students_folder import opened, plan, sha256, write
from ansible_collections.mynn.pi.plugins.module_utils.text import diff_of
from ansible_collections.mynn.pi.plugins.module_utils.tree import FOLDER, File

DOCUMENTATION = r"""
module: lessons
short_description: Put lessons into the students' folders
description:
  - A lesson is a notebook, or a picture that belongs to one.
  - Puts each lesson into every student's folder, and an untouched copy into a folder that only root can change.
  - Updates a lesson that the student has not touched. A touched lesson is left alone, and a new version is put beside
    it once, as C(NAME (new).ipynb). A missing lesson is restored.
  - A lesson is touched if it differs from every version that was handed out under its name. These versions, and the
    last one that each student was given, are recorded in C(.handed_out.json) beside the untouched copies; without this
    file, all lessons count as touched.
  - Each of the C(links) is put where nothing of that name is. Whatever is there is left alone.
  - If the student has put something else in place of a lesson's folder, that is left alone, and the folder's lessons
    are put beside it, as C(FOLDER (new)/NAME). A lesson for which every name beside it is taken is skipped.
  - A file or a foreign folder in place of the student's folder is kept beside it, as C(notebooks (old)).
  - The student's home is closed to other accounts, and open to the student.
  - Works in the student's folder with the student's powers only, so a link in it cannot lead elsewhere.
options:
  lessons:
    description: By file name, each lesson's contents in base64, or nothing if the untouched copy has them. The name may
      include a folder, as in C(a/b.png).
    type: dict
    required: true
  links:
    description: By name, the path of a folder that each student's folder gets a link to.
    type: dict
    default: {}
  students:
    description: By account, each student's folder.
    type: dict
    required: true
  pristine:
    description: The folder of the untouched copies. Any other file in it is removed.
    type: path
    required: true
author: The mynn-pi authors
"""

Links = dict[str, str]  # name → target path
QUEUE = 600.0  # seconds to wait for another run's lock


def close(home: Path, dry: bool) -> list[str]:
    """Remove access to the home for all but the student and the student's group. Returns the changes."""
    if not home.is_dir() or home.stat().st_uid != os.geteuid() or not home.stat().st_mode & 0o007:
        return []
    if not dry:
        home.chmod(0o750)
    return [f"{home} closed to others"]


def put_links(folder: Path, links: Links, dry: bool) -> list[str]:
    """Create each link whose name is free. Replaces nothing. Returns the changes."""
    changes = []
    for name, target in links.items():
        place = folder / name
        if not os.path.lexists(place):
            with suppress(FileExistsError):  # the student has just created one
                if not dry:
                    place.symlink_to(target)
                changes.append(f"{place} a link to {target}")
    return changes


def hand_out(
    folder: Path, lessons: dict[str, bytes], links: Links, memory: Memory, given: dict[str, str], dry: bool
) -> list[str]:
    """Install lessons and links in a student's folder, as the student. Returns the changes; `dry` makes none."""
    home, now = folder.parent, int(time.time())
    files = [File(FOLDER + name, len(content), sha256(content), now, False) for name, content in lessons.items()]
    known, given = memory.known_in_home(), {FOLDER + name: sum_ for name, sum_ in given.items()}
    inner = {(folder / name).parent for name in lessons} - {folder}
    with opened([home, folder, *sorted(inner)], keep=not dry) as opens:
        closed = close(home, dry)
        needed, changes, _ = plan(folder, files, known, given, dry)
        for file in files:
            if file.name in needed and not dry:
                with suppress(FileExistsError):  # all alternative names are taken
                    write(home, file, io.BytesIO(lessons[file.name.removeprefix(FOLDER)]), known, given)
        return opens + closed + changes + put_links(folder, links, dry)


def keep_pristine(pristine: Path, lessons: dict[str, bytes], links: Links, dry: bool) -> list[str]:
    """Make the pristine folder hold the lessons, the links and the record only. Returns the changes."""
    changes = []
    for name, content in lessons.items():
        changes += write_as_root(pristine / name, content, dry)
    linked = {name: target for name, target in links_in(pristine).items() if links.get(name) == target}
    right = {pristine / name for name in (*lessons, HANDED_OUT, *linked)}
    for stray in sorted(pristine.rglob("*")):
        if stray not in right and (stray.is_symlink() or not stray.is_dir()):
            changes.append(f"{stray} removed")
            if not dry:
                stray.unlink()
    for name, target in sorted(links.items() - linked.items()):
        changes.append(f"{pristine / name} a link to {target}")
        if not dry:
            (pristine / name).symlink_to(target)
    return changes


def write_as_root(path: Path, content: bytes, dry: bool) -> list[str]:
    """Ensure a file's content and its mode, 0644. Returns the changes."""
    if state_of(path) == state_with(content, "0644"):
        return []
    if not dry:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path, 0o644) as file:
            file.write(content)
    return [f"{path} {sha256(content)}"]


def account_of(student: str, dry: bool) -> pwd.struct_passwd:
    """Return a student's account; our own if check mode has not created it. KeyError: no such account."""
    try:
        return pwd.getpwnam(student)
    except KeyError:
        if not dry:
            raise KeyError(student) from None
        return pwd.getpwuid(os.geteuid())


def run(
    lessons: dict[str, bytes],
    students: dict[str, Path],
    pristine: Path,
    dry: bool = False,
    links: Links | None = None,
) -> list[str]:
    """Hand out the lessons and the links. Returns the changes; `dry` makes none.

    OSError: a folder cannot be written. KeyError: an account does not exist.
    """
    links = links or {}
    lock = pristine.with_name(f".{pristine.name}.lock")  # only root can open it
    if not dry:
        pristine.mkdir(parents=True, exist_ok=True)
    with nullcontext() if dry else locked(lock, QUEUE, mode=0o600):
        changes = keep_pristine(pristine, lessons, links, dry)
        memory = Memory.read(pristine)
        for name, content in lessons.items():
            known = memory.known.setdefault(name, [])
            if sha256(content) not in known:
                known.append(sha256(content))
        # Record a version as known before a student gets it, and as given afterwards: a run that is killed in between
        # loses no record.
        noted = write_as_root(pristine / HANDED_OUT, memory.bytes(), dry)
        for student, folder in students.items():
            given = memory.given.setdefault(student, {})
            work = partial(hand_out, folder, lessons, links, memory, given, dry)
            changes += as_student(account_of(student, dry), work)
            given |= {name: sha256(content) for name, content in lessons.items()}
        noted += write_as_root(pristine / HANDED_OUT, memory.bytes(), dry)
    return changes + noted[-1:]


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            # Not secret, but no_log keeps the lessons' text out of the Pi's log.
            "lessons": {"type": "dict", "required": True, "no_log": True},
            "links": {"type": "dict", "default": {}},
            "students": {"type": "dict", "required": True},
            "pristine": {"type": "path", "required": True},
        },
        supports_check_mode=True,
    )
    os.umask(0o022)
    asked = module.params
    parts = [name.split("/") for name in asked["lessons"]]
    if not parts or any(len(names) > 2 or any(name[:1] in ("", ".") for name in names) for names in parts):
        module.fail_json(msg="There are no lessons: lessons_source must name a folder with *.ipynb files in it.")
    students = {student: Path(folder) for student, folder in asked["students"].items()}
    pristine = Path(asked["pristine"])
    try:
        lessons = {
            name: (pristine / name).read_bytes() if text is None else base64.b64decode(text)
            for name, text in asked["lessons"].items()
        }
        links = {name: str(Path(target)) for name, target in asked["links"].items()}
        changes = run(lessons, students, pristine, module.check_mode, links)
    except KeyError as error:
        module.fail_json(msg=f"There is no account {error.args[0]}: create it first.")
    except OSError as error:
        module.fail_json(
            msg=f"The lessons could not be handed out: {error.filename or 'the card'}: {error.strerror}."
            " See what is in that place on the Pi, or move it away, and run this again."
        )
    module.exit_json(changed=bool(changes), diff=diff_of(changes))


if __name__ == "__main__":
    main()
