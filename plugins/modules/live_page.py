#!/usr/bin/python3
"""Ansible module: what a live page shows of a Pi's students."""

from __future__ import annotations

import pwd
import socket
import struct
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mynn.pi.plugins.module_utils.students_folder import as_student, open_regular

DOCUMENTATION = r"""
module: live_page
short_description: What a live page shows of a Pi's students
description:
  - Waits until it differs from what is known, or until C(patience) ends. The action of the same name asks again and
    again if it has the argument C(answers).
  - For the page C(wall), a file in each student's folder, which is read with the student's powers.
  - For the page C(watch), what each notebook server answers at its socket (mynn_server). Only an answer from the
    student's own account counts; where another account has taken the socket's name, it is C(stranger).
  - Nothing is parsed here; the control node checks what it gets.
options:
  page: {description: Which page., choices: [wall, watch], required: true}
  students: {description: "By account, what belongs to it (module_utils/students.py).", type: dict, required: true}
  file: {description: The file's name in the student's folder., type: str, default: ""}
  largest: {description: How many bytes one student's text may have., type: int, default: 32768}
  known: {description: "By account, the SHA256 sum of what is known.", type: dict, default: {}}
  patience: {description: "How long to wait, in seconds.", type: float, default: 0}
  interval: {description: "How long until the next look, in seconds.", type: float, default: 0}
author: The mynn-pi authors
"""

RETURN = r"""
shown:
  description: >-
    By account, a text; without those who show none, or whose servers do not run. It is empty if a server runs and does
    not answer.
  returned: always
  type: dict
"""

READ = 10  # seconds that a student's file may take
STRANGER = "stranger"
ANSWER = 5.0  # seconds that a notebook server may take
Look = Callable[[], dict[str, str]]


def wait(look: Look, known: dict[str, str], patience: float, interval: float) -> dict[str, str]:
    """Look until something else is shown than is known, by account and SHA256 sum, or until patience ends."""
    end = time.monotonic() + patience
    while True:
        if patience:  # also before the first look: however much happens, no more is asked and sent than that
            time.sleep(interval)
        shown = look()
        sums = {name: sha256(text.encode()).hexdigest() for name, text in shown.items()}
        if sums != known or time.monotonic() >= end:
            return shown


def files(places: dict[str, tuple[pwd.struct_passwd, Path]], largest: int) -> Look:
    """Return a function that returns the text in each student's file.

    A file is opened only after it has changed: otherwise a look costs a Pi Zero nothing.
    """
    read: dict[str, tuple[tuple[int, ...], str | None]] = {}

    def look() -> dict[str, str]:
        for name, (account, path) in places.items():
            now = stamp(path)
            if name not in read or read[name][0] != now:
                read[name] = now, text_of(account, path, largest) if now else None
        return {name: text for name, (_, text) in read.items() if text is not None}

    return look


def stamp(path: Path) -> tuple[int, ...]:
    """Return what changes with a file. It follows no link in the file's place, and opens nothing."""
    try:
        status = path.lstat()
    except OSError:
        return ()
    return (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def text_of(account: pwd.struct_passwd, path: Path, largest: int) -> str | None:
    """Return the text of a student's file, read with the student's powers; None if it is none of ours."""

    def read() -> str | None:
        try:
            with open_regular(path) as file:
                content = file.read(largest + 1)
            return content.decode() if len(content) <= largest else None
        except (OSError, UnicodeDecodeError):
            return None

    try:
        text: str | None = as_student(account, read, READ)
    except OSError:
        return None
    return text


def servers(places: dict[str, tuple[int, str]], largest: int) -> Look:
    """Return a function that asks all notebook servers at once. places: by account, its id and its socket's name."""

    def look() -> dict[str, str]:
        with ThreadPoolExecutor(max(1, len(places))) as pool:
            answers = pool.map(lambda place: answer_of(place[0], place[1], largest), places.values())
            return {name: answer for name, answer in zip(places, answers, strict=True) if answer is not None}

    return look


def answer_of(uid: int, name: str, largest: int) -> str | None:
    """Return what an account's server answers at its abstract socket; "" if it is silent, None if it does not run.

    It is STRANGER if another account has taken the socket's name, which every account can see. One that does not listen
    has taken it, too.
    """
    end = time.monotonic() + ANSWER
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(ANSWER)
        try:
            connection.connect(f"\0{name}")
            peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        except OSError:
            return STRANGER if is_taken(name) else None
        if struct.unpack("3i", peer)[1] != uid:  # process, user, group
            return STRANGER
        answer = b""
        try:
            while block := connection.recv(largest):
                answer += block
                if len(answer) > largest or time.monotonic() > end:
                    return ""
        except OSError:
            return ""
    return answer.decode(errors="replace")


def is_taken(name: str) -> bool:
    """Whether a socket of any kind has an abstract name."""
    return any(line.endswith(f" @{name}") for line in Path("/proc/net/unix").read_text(errors="replace").splitlines())


def socket_name(hash_file: Path) -> str:
    """Return the name of a server's socket, which it derives from the password's hash in the same way."""
    try:
        return sha256(b"teacher" + hash_file.read_bytes().partition(b"\n")[0]).hexdigest()
    except OSError:
        return ""


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        {
            "page": {"choices": ["wall", "watch"], "required": True},
            "students": {"type": "dict", "required": True},
            "file": {"type": "str", "default": ""},
            "largest": {"type": "int", "default": 32768},
            "known": {"type": "dict", "default": {}},
            "patience": {"type": "float", "default": 0},
            "interval": {"type": "float", "default": 0},
        },
        supports_check_mode=True,
    )
    asked: dict[str, Any] = module.params
    accounts = {account.pw_name: account for account in pwd.getpwall()}
    students = {name: student for name, student in asked["students"].items() if name in accounts}
    if asked["page"] == "wall":
        paths = {name: Path(student["folder"]) / asked["file"] for name, student in students.items()}
        look = files({name: (accounts[name], path) for name, path in paths.items()}, asked["largest"])
    else:
        names = {name: socket_name(Path(student["hash_file"])) for name, student in students.items()}
        look = servers({name: (accounts[name].pw_uid, place) for name, place in names.items()}, asked["largest"])
    shown = wait(look, asked["known"], asked["patience"], asked["interval"])
    module.exit_json(changed=False, shown=shown)


if __name__ == "__main__":
    main()
