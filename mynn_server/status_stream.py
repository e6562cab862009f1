"""Stream of students' status to the desk, as lines of JSON: `python -I -m mynn_server.status_stream`, as root.

The desk (mynn_control/desk/monitor.py) starts this program over SSH. It prints {"mynn": VERSION} and reads one line,
{"students": {ACCOUNT: {"folder": ..., "hash_file": ...}}, "file": NAME, "largest": BYTES}. It prints a line at once,
then one after each change: the new texts by page and account, null for a text that is gone. It reads more lines, which
Poller.answer describes.

- Page `wall`: the file NAME in the student's folder, read with the student's rights.
- Page `class`: the answer of the student's notebook server at its socket (status_socket.py); empty if it is silent.
  Only an answer from the student's own account counts. STRANGER: another account has taken the socket's name.

Nothing is parsed here; the desk validates the texts. The program ends when its input does.
"""

from __future__ import annotations

import json
import pwd
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from mynn.files import write_text
from mynn_server import look
from mynn_server.credentials import status_socket_name
from mynn_server.linux import as_student, read_regular
from mynn_server.talk import FROM_TEACHER, number, stored

VERSION = 2  # of this protocol
# Seconds between two polls of the servers and the wall's files; the files cost a Pi Zero next to nothing.
PAUSE = 1.5
READ = 10  # seconds to read a student's file
STRANGER = "stranger"
MOST = 32  # servers asked in parallel
ANSWER = 5.0  # seconds for a notebook server's answer
Students = Mapping[str, Mapping[str, str]]
Texts = dict[str, str | None]  # by account


class Poller:
    """Poller that remembers the last texts and returns the new ones. asked: the desk's request."""

    def __init__(self, asked: Mapping[str, Any]) -> None:
        self.students: Students = asked["students"]
        self.file, self.largest = str(asked["file"]), int(asked["largest"])
        self.said: Texts = {}  # the servers' last answers
        self.stamps: dict[str, str] = {}  # by account: stamp of the wall's file
        self.untold: dict[str, str] = {}  # by account: the teacher's lines that are not written yet
        self.pool = ThreadPoolExecutor(MOST)  # reused: starting a thread takes longer than asking a server

    def news(self) -> dict[str, Texts]:
        """Poll once; return the new texts by page."""
        self._tell()
        # Read each time, since site.yml may add an account.
        accounts = {account.pw_name: account for account in pwd.getpwall() if account.pw_name in self.students}
        return {"class": self._servers(accounts), "wall": self._files(accounts)}

    def answer(self, asked: Mapping[str, Any]) -> dict[str, Texts]:
        """Do what the desk asks for in a later line; return new texts by page.

        {"tell": {ACCOUNT: TEXT}}: write the file with the teacher's lines (talk.py); an empty text removes it.
        {"look": [ACCOUNT, NAME]}: answers with the student's notebook, {"look": {"ACCOUNT/NAME": TEXT}} (look.py).
        """
        self.untold |= {name: text for name, text in asked.get("tell", {}).items() if name in self.students}
        self._tell()
        if "look" in asked:
            account, name = asked["look"]
            return {"look": {f"{account}/{name}": self._notebook(account, name)}}
        return {}

    def _tell(self) -> None:
        """Write the teacher's lines. What fails, as on a full card, is tried again at the next poll.

        Otherwise a pupil's page would show a place in the queue that the desk has long given up.
        """
        for name, text in [*self.untold.items()]:
            with suppress(OSError, KeyError):
                as_student(pwd.getpwnam(name), partial(tell, Path(self.students[name]["folder"]), text), READ)
                del self.untold[name]

    def _notebook(self, name: str, notebook: str) -> str | None:
        if name not in self.students or not look.NOTEBOOK.fullmatch(notebook):
            return None
        path = Path(self.students[name]["folder"], notebook)
        return text_of(pwd.getpwnam(name), path, look.LARGEST, look.shortened)

    def _servers(self, accounts: Mapping[str, pwd.struct_passwd]) -> Texts:
        def ask(name: str) -> str | None:
            at = socket_name(Path(self.students[name]["hash_file"]))
            return answer_of(accounts[name].pw_uid, at, self.largest)

        said = dict(zip(accounts, self.pool.map(ask, accounts), strict=True))
        new = {name: text for name, text in said.items() if self.said.get(name) != text}
        self.said |= new
        return new

    def _files(self, accounts: Mapping[str, pwd.struct_passwd]) -> Texts:
        """Return the texts of changed files. Others are not opened, so a poll costs a Pi Zero nothing."""
        paths = {name: Path(self.students[name]["folder"], self.file) for name in accounts}
        stamps = {name: stamp(path) for name, path in paths.items()}
        changed = [name for name in accounts if self.stamps.get(name, "") != stamps[name]]
        self.stamps |= stamps
        return {name: text_of(accounts[name], paths[name], self.largest) for name in changed}


def tell(folder: Path, text: str) -> None:
    """Write the file with the teacher's lines. An empty text removes it.

    The number of the last call that was answered stays: a desk that was started again does not know it, and the call
    would be open once more.
    """
    said = json.loads(text or "{}")
    helped = max(number(one.get("helped")) for one in (said, stored(folder / FROM_TEACHER)))
    if helped or said:
        write_text(folder / FROM_TEACHER, json.dumps(said | {"helped": helped}))
    else:
        (folder / FROM_TEACHER).unlink(missing_ok=True)


def stamp(path: Path) -> str:
    """Return a file's inode, size and times as text, empty if it is missing. Links are not followed."""
    try:
        status = path.lstat()
    except OSError:
        return ""
    return f"{status.st_ino} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"


def text_of(
    account: pwd.struct_passwd, path: Path, largest: int, parse: Callable[[bytes], str | None] = bytes.decode
) -> str | None:
    """Return a student's file, read with the student's rights; None if it is missing, empty, too large or not text."""

    def read() -> str | None:
        try:
            return parse(read_regular(path, largest)) or None
        except (OSError, UnicodeDecodeError):
            return None

    try:
        text: str | None = as_student(account, read, READ)
    except OSError:
        return None
    return text


def answer_of(uid: int, name: str, largest: int) -> str | None:
    """Return a server's answer at its abstract socket; "" if it is silent or too slow, None if it does not run.

    STRANGER: another account has taken the socket's name, which every account can see, even without listening there.
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
    """Return whether a socket of any kind has this abstract name."""
    return any(line.endswith(f" @{name}") for line in Path("/proc/net/unix").read_text(errors="replace").splitlines())


def socket_name(hash_file: Path) -> str:
    """Return the name of a server's socket; empty while the server has no password."""
    try:
        return status_socket_name(hash_file.read_bytes().partition(b"\n")[0])
    except OSError:
        return ""


def main() -> None:
    """Print new texts until the input ends."""
    print(json.dumps({"mynn": VERSION}), flush=True)
    if not (line := sys.stdin.readline()):
        return
    poller, lines = Poller(json.loads(line)), SimpleQueue[str]()
    threading.Thread(target=queue_lines, args=(lines,), daemon=True).start()
    print(json.dumps(poller.news()), flush=True)
    while True:
        try:
            if not (line := lines.get(timeout=PAUSE)):
                return
            news = poller.answer(json.loads(line))
        except Empty:
            news = poller.news()
        if any(news.values()):
            print(json.dumps(news), flush=True)


def queue_lines(lines: SimpleQueue[str]) -> None:
    """Queue the lines of standard input, and an empty one at its end."""
    for line in sys.stdin:
        lines.put(line)
    lines.put("")


if __name__ == "__main__":
    main()
