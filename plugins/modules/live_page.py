#!/usr/bin/python3
"""Ansible module: what the desk's live pages show of a Pi's students."""

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
short_description: What the desk's live pages show of a Pi's students
description:
  - Waits until something differs from what is known, or until C(patience) ends. The action of the same name asks again
    and again if it has the argument C(answers).
  - For the page C(wall), a file in each student's folder, which is read with the student's powers.
  - For the page C(class), what each notebook server answers at its socket (mynn_server). Only an answer from the
    student's own account counts; where another account has taken the socket's name, it is C(stranger).
  - Nothing is parsed here; the control node checks what it gets.
options:
  pages: {description: "By page, how many seconds are between two looks.", type: dict, required: true}
  students: {description: "By account, what belongs to it (module_utils/students.py).", type: dict, required: true}
  file: {description: The file's name in the student's folder., type: str, default: ""}
  largest: {description: How many bytes one student's text may have., type: int, default: 32768}
  known: {description: "By page and account, the version of what is known.", type: dict, default: {}}
  since: {description: "By page, how many seconds ago the last look was.", type: dict, default: {}}
  patience: {description: "How long to wait, in seconds.", type: float, default: 0}
author: The mynn-pi authors
"""

RETURN = r"""
shown:
  description: >-
    By page that was looked at, and by account of which something else is known, a version and a text. The text is null
    if there is none, or if the server does not run. It is empty if a server runs and does not answer.
  returned: always
  type: dict
"""

READ = 10  # seconds that a student's file may take
STRANGER = "stranger"
MOST = 32  # servers that are asked at once
ANSWER = 5.0  # seconds that a notebook server may take
# Takes the versions that are known, by account. Returns, by account of which another is there, that and a text.
Look = Callable[[dict[str, str]], dict[str, tuple[str, str | None]]]


def wait(
    looks: dict[str, Look], intervals: dict[str, float], known: Any, since: dict[str, float], patience: float
) -> dict[str, Any]:
    """Look at each page in its interval until something else is there than is known, or until patience ends.

    Returns what is, by page. The first look, too, waits for the page's interval: however much happens on one page, no
    more is asked and sent than that, and it holds up no other.
    """
    now = time.monotonic()
    end, shown = now + patience, dict[str, Any]()
    due = {page: now + intervals[page] - since.get(page, intervals[page]) for page in looks}
    while True:
        for page in [page for page in looks if due[page] <= now]:
            shown[page] = looks[page](known.get(page, {}))
            due[page] = time.monotonic() + intervals[page]
        if any(shown.values()) or now >= end:
            return shown
        time.sleep(max(0.0, min(*due.values(), end) - time.monotonic()))
        now = time.monotonic()


def files(find: Callable[[], dict[str, tuple[pwd.struct_passwd, Path]]], largest: int) -> Look:
    """Return a function that returns the text in each student's file.

    A file is opened only after it has changed: otherwise a look costs a Pi Zero nothing.
    """

    def look(known: dict[str, str]) -> dict[str, tuple[str, str | None]]:
        places = find()
        stamps = {name: stamp(path) for name, (_, path) in places.items()}
        changed = [name for name, now in stamps.items() if known.get(name, "") != now]
        return {name: (stamps[name], text_of(*places[name], largest) if stamps[name] else None) for name in changed}

    return look


def stamp(path: Path) -> str:
    """Return what changes with a file. It follows no link in the file's place, and opens nothing."""
    try:
        status = path.lstat()
    except OSError:
        return ""
    return f"{status.st_ino} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"


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


def servers(find: Callable[[], dict[str, tuple[int, str]]], largest: int) -> Look:
    """Return a function that asks all notebook servers at once. find: by account, its id and its socket's name."""
    pool = ThreadPoolExecutor(MOST)  # for all looks: to start a thread takes longer than a question

    def look(known: dict[str, str]) -> dict[str, tuple[str, str | None]]:
        places = find()
        texts = [*pool.map(lambda place: answer_of(place[0], place[1], largest), places.values())]
        sums = ["" if text is None else sha256(text.encode()).hexdigest() for text in texts]
        answers = zip(places, sums, texts, strict=True)
        return {name: (version, text) for name, version, text in answers if known.get(name, "") != version}

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
            "pages": {"type": "dict", "required": True},
            "students": {"type": "dict", "required": True},
            "file": {"type": "str", "default": ""},
            "largest": {"type": "int", "default": 32768},
            "known": {"type": "dict", "default": {}},
            "since": {"type": "dict", "default": {}},
            "patience": {"type": "float", "default": 0},
        },
        supports_check_mode=True,
    )
    asked: dict[str, Any] = module.params

    def students() -> list[tuple[str, pwd.struct_passwd, dict[str, str]]]:
        """Return those that have an account by now: site.yml may make it, and set the server up, meanwhile."""
        accounts = {account.pw_name: account for account in pwd.getpwall()}
        return [(name, accounts[name], of) for name, of in asked["students"].items() if name in accounts]

    def paths() -> dict[str, tuple[pwd.struct_passwd, Path]]:
        return {name: (account, Path(of["folder"]) / asked["file"]) for name, account, of in students()}

    def sockets() -> dict[str, tuple[int, str]]:
        return {name: (account.pw_uid, socket_name(Path(of["hash_file"]))) for name, account, of in students()}

    looks = {"class": servers(sockets, asked["largest"]), "wall": files(paths, asked["largest"])}
    looks = {page: looks[page] for page in asked["pages"]}
    shown = wait(looks, asked["pages"], asked["known"], asked["since"], asked["patience"])
    module.exit_json(changed=False, shown=shown)


if __name__ == "__main__":
    main()
