#!/usr/bin/python3
"""Ansible module: wait until a student shows something else on the wall."""

from __future__ import annotations

import pwd
import time
from hashlib import sha256
from pathlib import Path

from ansible_collections.mynn.pi.plugins.module_utils.polled import answer
from ansible_collections.mynn.pi.plugins.module_utils.students_folder import as_student, open_regular

DOCUMENTATION = r"""
module: wall
short_description: Wait until a student shows something else on the wall
description:
  - The action C(poll_students) calls it.
  - Answers once a student's C(on_the_wall.json) differs from what is known, or after C(patience) seconds. Meanwhile it
    only asks for the files' times, which costs a Pi Zero nothing. They are read with the student's powers.
  - Nothing is parsed here; the control node checks what it gets.
options:
  students: {description: "By account, the student's C(folder) with the lessons.", type: dict, required: true}
  known: {description: "By account, the SHA256 sum of what is known.", type: dict, default: {}}
  patience: {description: "How long to wait, in seconds.", type: float, required: true}
  interval: {description: "How long until the next look, in seconds.", type: float, required: true}
author: The mynn-pi authors
"""

RETURN = r"""
shown:
  description: By account, the file's text; without those who show nothing that can be read.
  returned: always
  type: dict
"""

FILE = "on_the_wall.json"  # as in mynn/wall.py
LARGEST = 32 * 1024  # as there
PATIENCE = 10.0  # seconds, to read a student's file


def text_of(path: Path) -> str | None:
    """Return a file's text; None if there is none, or if it is none of ours."""
    try:
        with open_regular(path) as file:
            content = file.read(LARGEST + 1)
        return content.decode() if len(content) <= LARGEST else None
    except (OSError, UnicodeDecodeError):
        return None


def shown_by(account: pwd.struct_passwd, path: Path) -> str | None:
    """Do so with the student's powers."""
    try:
        text: str | None = as_student(account, lambda: text_of(path), PATIENCE)
    except OSError:
        return None
    return text


def stamp(path: Path) -> tuple[int, ...]:
    """Return what changes with a file. It follows no link in the file's place, and opens nothing."""
    try:
        found = path.lstat()
    except OSError:
        return ()
    return (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def look(
    places: dict[str, tuple[pwd.struct_passwd, Path]], known: dict[str, str], patience: float, interval: float
) -> dict[str, str]:
    """Return what students show, by account, once it differs from what is known, or when patience ends.

    places: by account, the account and its file. known: by account, the SHA256 sum of a text.
    """
    end = time.monotonic() + patience
    while True:
        stamps = {name: stamp(path) for name, (_, path) in places.items()}
        found = {name: shown_by(*place) if stamps[name] else None for name, place in places.items()}
        shown = {name: text for name, text in found.items() if text is not None}
        if {name: sha256(text.encode()).hexdigest() for name, text in shown.items()} != known:
            return shown
        while stamps == {name: stamp(path) for name, (_, path) in places.items()}:
            if time.monotonic() > end:
                return shown
            time.sleep(interval)


def main() -> None:
    """Run the module."""
    answer(look, lambda account, student: (account, Path(student["folder"]) / FILE))


if __name__ == "__main__":
    main()
