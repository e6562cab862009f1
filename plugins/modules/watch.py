#!/usr/bin/python3
"""Ansible module: wait until a student's notebook server says something else."""

from __future__ import annotations

import select
import socket
import struct
import time
from hashlib import sha256
from pathlib import Path

from ansible_collections.mynn.pi.plugins.module_utils.polled import answer

DOCUMENTATION = r"""
module: watch
short_description: Wait until a student's notebook server says something else
description:
  - The action C(poll_students) calls it.
  - Asks each server at a socket of its own (mynn_server/teacher.py), every C(interval), and
    answers once one says something else than is known, or after C(patience) seconds.
  - Only what the student's own account says counts. Nothing is parsed here; the control node checks what it gets.
options:
  students: {description: "By account, the file with the password's hash, C(hash_file).", type: dict, required: true}
  known: {description: "By account, the SHA256 sum of what is known.", type: dict, default: {}}
  patience: {description: "How long to wait, in seconds.", type: float, required: true}
  interval: {description: "How long until the next question, in seconds.", type: float, required: true}
author: The mynn-pi authors
"""

RETURN = r"""
shown:
  description: By account, what its server says; empty if it does not answer. Without those whose servers do not run.
  returned: always
  type: dict
"""

LARGEST = 32 * 1024  # bytes
PATIENCE = 5.0  # seconds, for a server's answer


def name_of(hash_file: Path) -> str:
    """Return the name of a server's socket, as mynn_server.credentials has it; "": none."""
    try:
        hashed = hash_file.read_bytes().partition(b"\n")[0]
    except OSError:
        return ""
    return sha256(b"teacher" + hashed).hexdigest()


def connect(name: str, uid: int) -> socket.socket | None:
    """Return a connection to an account's own abstract socket, if it listens there."""
    connection = socket.socket(socket.AF_UNIX)
    connection.setblocking(False)
    try:
        connection.connect(f"\0{name}")
        peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        if struct.unpack("3i", peer)[1] == uid:  # process, user, group
            return connection
    except OSError:
        pass
    connection.close()
    return None


def ask(servers: dict[str, tuple[int, str]], patience: float) -> dict[str, str]:
    """Return what the servers of accounts say, all at once. servers: by account, its id and its socket's name."""
    asked = {connection: name for name, place in servers.items() if (connection := connect(place[1], place[0]))}
    said = dict.fromkeys(asked.values(), b"")
    done: dict[str, str] = dict.fromkeys(said, "")
    end = time.monotonic() + patience
    while asked and (ready := select.select(list(asked), [], [], max(0.0, end - time.monotonic()))[0]):
        for connection in ready:
            name = asked[connection]
            try:
                block = connection.recv(LARGEST)
            except OSError:
                block, said[name] = b"", b""
            said[name] += block
            if block and len(said[name]) <= LARGEST:
                continue
            if not block:
                done[name] = said[name].decode(errors="replace")
            del asked[connection]
            connection.close()
    for connection in asked:
        connection.close()
    return done


def look(
    servers: dict[str, tuple[int, str]], known: dict[str, str], patience: float, interval: float
) -> dict[str, str]:
    """Return what the servers say, once it differs from what is known, or when patience ends.

    servers: as for `ask`. known: by account, the SHA256 sum of a text.
    """
    end = time.monotonic() + patience
    while True:
        if patience:  # also before the first question: however much happens, no more is asked and sent than that
            time.sleep(interval)
        shown = ask(servers, PATIENCE)
        sums = {name: sha256(text.encode()).hexdigest() for name, text in shown.items()}
        if sums != known or time.monotonic() >= end:
            return shown


def main() -> None:
    """Run the module."""
    answer(look, lambda account, student: (account.pw_uid, name_of(Path(student["hash_file"]))))


if __name__ == "__main__":
    main()
