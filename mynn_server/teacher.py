"""Answers the teacher's computer, which asks what runs (`make desk`)."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
import time
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from jupyter_core.utils import ensure_async
from jupyter_server.serverapp import ServerApp

from mynn import tasks
from mynn_server.linux import memory
from mynn_server.programs import OUT_OF_MEMORY, STOPPED, running
from mynn_server.start_page import progress

DIED = {OUT_OF_MEMORY: "memory", STOPPED: "stopped"}
OLD = 10.0  # seconds


async def listen(app: ServerApp, name: str) -> None:
    """Answer root, at a Unix socket. Nothing is read from there.

    The socket's name is abstract: in a folder for it, the student's programs could fill the memory of /run.
    """
    told = Told(app)

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            peer = writer.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
            if struct.unpack("3i", peer)[1] not in (0, os.getuid()):  # process, user, group
                return
            writer.write(await told.text())
        finally:
            writer.close()

    try:
        app.teacher = await asyncio.start_unix_server(answer, f"\0{name}")  # type: ignore[attr-defined]
    except OSError as error:  # another program has taken the name
        app.log.warning("The teacher does not see what runs: %s", error)


class Told:
    """What the teacher is told. It is put together again when a program or the tasks changed, or after OLD seconds.

    The question comes every two seconds, and to put it together takes four times as long as to look whether to.
    """

    def __init__(self, app: ServerApp) -> None:
        self.app, self.tasks = app, Path(app.contents_manager.root_dir, tasks.FILE)
        self._of: object = None
        self._until = 0.0
        self._text = b""

    async def text(self) -> bytes:
        """Return it as JSON."""
        manager: Any = self.app.kernel_manager
        programs = {one: getattr(manager.get_kernel(one), "execution_state", "") for one in manager.list_kernel_ids()}
        if (of := (programs, changed(self.tasks))) != self._of or time.monotonic() > self._until:
            sessions: Any = await ensure_async(self.app.session_manager.list_sessions())
            said = state(sessions, manager) | tasks_of(self.tasks)
            self._of, self._until, self._text = of, time.monotonic() + OLD, json.dumps(said, sort_keys=True).encode()
        return self._text


def state(sessions: list[dict[str, Any]], kernel_manager: Any) -> dict[str, Any]:
    """Return what the teacher sees; the control node checks that it has this form.

    Memory goes in steps of 10 MB, and minutes in steps of 5, since each change is sent. How much each program takes is
    left out: Linux would have to go through all its pages. `began` is when it was started, in seconds since 1970.
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
    """Return for how many minutes a program has done nothing."""
    seconds = (datetime.now(UTC) - getattr(kernel, "last_activity", datetime.now(UTC))).total_seconds()
    return max(0, int(seconds / 300)) * 5


def tasks_of(path: Path) -> dict[str, Any]:
    """Return by task that the student has tried, whether it is right; and when that last changed, as in `began`."""
    when = changed(path)
    return {"tasks": _rights(path, when), "answered": max(0, when // 10**9)}


def changed(path: Path) -> int:
    """Return when a file changed, in nanoseconds since 1970; 0 if it is not there."""
    try:
        return path.lstat().st_mtime_ns
    except OSError:
        return 0


@lru_cache(maxsize=1)
def _rights(path: Path, changed: int) -> dict[str, bool]:
    """Return whether tasks are right; the file is read again when it has changed."""
    return {name: answer.right for name, answer in progress(path).tasks.items()}
