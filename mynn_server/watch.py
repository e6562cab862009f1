"""Tells the desk what a Pi's students do, for as long as it listens: `python -I -m mynn_server.watch`, as root.

The desk (mynn_control/desk/asking.py) starts this over SSH. It prints {"mynn": VERSION}, takes one line, {"students":
{ACCOUNT: {"folder": ..., "hash_file": ...}}, "file": NAME, "largest": BYTES}, and prints a line at once and then
whenever something is new: by page and account, a text, or null if there is none any more. Each line is JSON.

- For the page `wall`, the file of that name in the student's folder, which is read with the student's powers.
- For the page `class`, what the student's notebook server answers at its socket (teacher.py): empty if it is silent.
  Only an answer from the student's own account counts; where another account has taken the socket's name, it is
  STRANGER.

Nothing is parsed here; the desk checks what it gets. It ends when its input does.
"""

from __future__ import annotations

import json
import pwd
import select
import socket
import struct
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from mynn_server.credentials import teacher_socket
from mynn_server.linux import as_student, read_regular

VERSION = 1  # of what is asked and printed
# Seconds between looks: at the wall's files, which cost a Pi Zero next to nothing, and at the notebook servers.
PAUSE = 1.5
READ = 10  # seconds that a student's file may take
STRANGER = "stranger"
MOST = 32  # servers that are asked at once
ANSWER = 5.0  # seconds that a notebook server may take
Students = Mapping[str, Mapping[str, str]]
Texts = dict[str, str | None]  # by account


class Watch:
    """What is known, and what is new. asked: the line that was read."""

    def __init__(self, asked: Mapping[str, Any]) -> None:
        self.students: Students = asked["students"]
        self.file, self.largest = str(asked["file"]), int(asked["largest"])
        self.said: Texts = {}  # by the servers
        self.stamps: dict[str, str] = {}  # of the files
        self.pool = ThreadPoolExecutor(MOST)  # for all looks: to start a thread takes longer than a question

    def news(self) -> dict[str, Texts]:
        """Look once, and return by page what is new."""
        accounts = dict(self._accounts())
        return {"class": self._servers(accounts), "wall": self._files(accounts)}

    def _accounts(self) -> Iterator[tuple[str, pwd.struct_passwd]]:
        """Give those that exist by now: site.yml may make one meanwhile."""
        for account in pwd.getpwall():
            if account.pw_name in self.students:
                yield account.pw_name, account

    def _servers(self, accounts: Mapping[str, pwd.struct_passwd]) -> Texts:
        def ask(name: str) -> str | None:
            at = socket_name(Path(self.students[name]["hash_file"]))
            return answer_of(accounts[name].pw_uid, at, self.largest)

        said = dict(zip(accounts, self.pool.map(ask, accounts), strict=True))
        new = {name: text for name, text in said.items() if self.said.get(name) != text}
        self.said |= new
        return new

    def _files(self, accounts: Mapping[str, pwd.struct_passwd]) -> Texts:
        """Open a file only after it has changed: otherwise a look costs a Pi Zero nothing."""
        paths = {name: Path(self.students[name]["folder"], self.file) for name in accounts}
        stamps = {name: stamp(path) for name, path in paths.items()}
        changed = [name for name in accounts if self.stamps.get(name, "") != stamps[name]]
        self.stamps |= stamps
        return {name: text_of(accounts[name], paths[name], self.largest) for name in changed}


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
            return read_regular(path, largest).decode() or None
        except (OSError, UnicodeDecodeError):
            return None

    try:
        text: str | None = as_student(account, read, READ)
    except OSError:
        return None
    return text


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
    """Return the name of a server's socket; nothing if it has no password yet."""
    try:
        return teacher_socket(hash_file.read_bytes().partition(b"\n")[0])
    except OSError:
        return ""


def main() -> None:
    """Print what is new, until nobody listens."""
    print(json.dumps({"mynn": VERSION}), flush=True)
    if not (line := sys.stdin.readline()):
        return
    watch = Watch(json.loads(line))
    news = watch.news()
    print(json.dumps(news), flush=True)
    while not select.select([sys.stdin], [], [], PAUSE)[0]:
        news = watch.news()
        if any(news.values()):
            print(json.dumps(news), flush=True)


if __name__ == "__main__":
    main()
