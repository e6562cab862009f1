"""Status socket for the teacher's desk (`make desk`): programs, free memory, tasks, and calls for help."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jupyter_core.utils import ensure_async
from jupyter_server.serverapp import ServerApp

from mynn import tasks
from mynn_server.kernel_manager import OUT_OF_MEMORY, STOPPED, running
from mynn_server.linux import memory
from mynn_server.start_page import progress
from mynn_server.talk import FROM_TEACHER, TO_TEACHER, talk

DIED = {OUT_OF_MEMORY: "memory", STOPPED: "stopped"}
OLD = 10.0  # seconds until a report is rebuilt


async def listen(app: ServerApp, name: str) -> None:
    """Serve the report to root and to this account on a Unix socket. Input is not read.

    The socket's name is abstract: through a folder for sockets, the student's programs could fill the memory of /run.
    """
    report = CachedReport(app)

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            peer = writer.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
            if struct.unpack("3i", peer)[1] not in (0, os.getuid()):  # process, user, group
                return
            writer.write(await report.text())
        finally:
            writer.close()

    try:
        app.teacher = await asyncio.start_unix_server(answer, f"\0{name}")  # type: ignore[attr-defined]
    except OSError as error:  # another program has taken the name
        app.log.warning("The teacher does not see what runs: %s", error)


class CachedReport:
    """Cached report for the teacher, rebuilt when a program or the tasks changed, or after OLD seconds.

    The desk asks every 1.5 seconds (status_stream.py). A rebuild takes four times as long as the check for changes.
    """

    def __init__(self, app: ServerApp) -> None:
        self.app, self.folder = app, Path(app.contents_manager.root_dir)
        self.files = [self.folder / name for name in (tasks.FILE, FROM_TEACHER, TO_TEACHER)]
        self._of: object = None
        self._until = 0.0
        self._text = b""

    async def text(self) -> bytes:
        """Return the report as JSON."""
        manager: Any = self.app.kernel_manager
        programs = {one: getattr(manager.get_kernel(one), "execution_state", "") for one in manager.list_kernel_ids()}
        if (of := (programs, list(map(changed, self.files)))) != self._of or time.monotonic() > self._until:
            sessions: Any = await ensure_async(self.app.session_manager.list_sessions())
            said = state(sessions, manager) | tasks_of(self.files[0]) | talk_of(self.folder)
            self._of, self._until, self._text = of, time.monotonic() + OLD, json.dumps(said, sort_keys=True).encode()
        return self._text


def state(sessions: list[dict[str, Any]], kernel_manager: Any) -> dict[str, Any]:
    """Return the running programs and the memory; the control node validates this schema.

    Free memory is in steps of 10 MB and minutes in steps of 5, since each change is sent. Memory per program is left
    out: Linux would have to walk all its pages. `began`: start time in seconds since 1970.
    """
    programs = [
        {
            "path": program["path"][:300],
            "busy": program["busy"],
            "began": getattr(kernel, "began", 0),
            "quiet": quiet_minutes(kernel),
            "died": DIED.get(program["died"], ""),
        }
        for program, kernel in running(sessions, kernel_manager)
    ]
    left = memory()
    return {"running": programs, "free": left["free"] // 10 * 10, "total": left["total"]}


def quiet_minutes(kernel: Any) -> int:
    """Return how many minutes a program has been idle, in steps of 5."""
    seconds = (datetime.now(UTC) - getattr(kernel, "last_activity", datetime.now(UTC))).total_seconds()
    return max(0, int(seconds / 300)) * 5


def tasks_of(path: Path) -> dict[str, Any]:
    """Return whether each attempted task is right, what was typed, and when, in seconds since 1970."""
    answers = progress(path).tasks
    rights, typed = ({name: getattr(one, part) for name, one in answers.items()} for part in ("right", "typed"))
    return {"tasks": rights, "typed": typed, "answered": max(0, changed(path) // 10**9)}


def talk_of(folder: Path) -> dict[str, Any]:
    """Return the number of the last line that the pupil read, the open call for help, or 0, and where it came from."""
    now = talk(folder)
    return {"read": now["read"], "asked": now["asked"], "about": now["path"]}


def changed(path: Path) -> int:
    """Return a file's modification time in nanoseconds since 1970; 0 if it is missing."""
    try:
        return path.lstat().st_mtime_ns
    except OSError:
        return 0
