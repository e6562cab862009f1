"""The start page, which a student sees after signing in: the lessons, what runs, the memory, and the student's files.

The notebook server imports this from the page's archive. Everything that the page shows of a Pi comes in one answer,
`start/status`; to end a program, and for the student's files, the page uses Jupyter's own REST interface. The teacher's
computer is told what runs, too, at a socket (`make watch`), and what it says (`make message`) is part of the answer.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import re
import socket
import stat
import struct
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jupyter_core.utils import ensure_async
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.serverapp import ServerApp
from tornado.web import HTTPError, authenticated

EXTENSION = "mynn-start-page"
LOGO = "@jupyter-notebook/application-extension:logo"
LARGEST_PROGRESS = 64_000  # bytes
LARGEST_MESSAGE = 4_000  # bytes of the teacher's message
TOLD = 600  # seconds for which a program's death is told
OUT_OF_MEMORY = (
    "This lesson’s program needed more memory than is left, so the Pi stopped it. "
    "End other lessons on the start page, then run this one again from the top."
)
STOPPED = "This lesson’s program stopped unexpectedly and was started again. Run the lesson again from the top."


class Lessons:
    """The lessons, in order, as root's untouched copies in a folder describe themselves."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)
        self._read: dict[str, tuple[int, dict[str, Any]]] = {}  # by name: when it was changed, and its description

    def all(self) -> list[dict[str, Any]]:
        """Return the descriptions. They are read at the first request, and again when a file has changed."""
        found = {}
        for path in self.folder.glob("[!.]*.ipynb"):
            changed = path.stat().st_mtime_ns
            if self._read.get(path.name, (None,))[0] == changed:
                found[path.name] = self._read[path.name]
            else:
                found[path.name] = changed, described(path)
        self._read = found
        ordered = sorted(found.values(), key=lambda one: (one[1]["lesson"] or math.inf, one[1]["name"]))
        return [lesson for _, lesson in ordered]

    def text(self, name: str) -> str:
        """Return a lesson's untouched contents. LookupError: there is no such lesson."""
        if name not in (lesson["name"] for lesson in self.all()):
            raise LookupError(name)
        return (self.folder / name).read_text(encoding="utf-8")


def described(path: Path) -> dict[str, Any]:
    """Return what a notebook says of itself: its first heading, and the metadata `mynn`."""
    try:
        notebook = json.loads(path.read_bytes())
        cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "markdown"]
        metadata = notebook["metadata"].get("mynn", {})
        lesson, minutes, learn = (metadata.get(name) for name in ("lesson", "minutes", "learn"))
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        cells, lesson, minutes, learn = [], None, None, None
    heading = re.search(r"^# +(.+)$", "\n".join(cells), re.M)
    return {
        "name": path.name,
        "title": re.sub(r"[*`$]", "", heading[1]).strip() if heading else path.stem.replace("_", " "),
        "lesson": lesson if isinstance(lesson, int) else None,
        "minutes": minutes if isinstance(minutes, int) else None,
        "learn": learn if isinstance(learn, str) else "",
    }


def content(path: Path, largest: int) -> bytes:
    """Return a file's bytes; none if it is larger. OSError: it is missing, a link, or no file."""
    file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        found = os.read(file, largest + 1) if stat.S_ISREG(os.fstat(file).st_mode) else b""
    finally:
        os.close(file)
    return found if len(found) <= largest else b""


def progress(path: Path) -> dict[str, dict[str, Any]]:
    """Return which lessons a student has finished, by stem. The file is the student's: anything may be in its place."""
    try:
        stored = json.loads(content(path, LARGEST_PROGRESS))
        lessons = stored["lessons"] if stored["version"] == 1 else {}
        return {stem: {"score": score(one.get("score"))} for stem, one in lessons.items() if one.get("finished")}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return {}


def message(path: Path) -> dict[str, Any] | None:
    """Return what the teacher tells the class, and how many minutes ago that was; None when its time is over.

    Only root can write the file (the role message).
    """
    try:
        told = json.loads(content(path, LARGEST_MESSAGE))
        minutes = max(0, int((time.time() - path.stat().st_mtime) / 60))
        return {"text": str(told["text"]), "minutes": minutes} if minutes < told["minutes"] else None
    except (OSError, ValueError, LookupError, TypeError):
        return None


def score(value: object) -> float | None:
    """Return a share from 0 to 1, or None if it is something else."""
    return value if isinstance(value, (int, float)) and 0 <= value <= 1 else None


def amounts(path: str, unit: int = 1) -> dict[str, int]:
    """Return the figures in a file of Linux's, such as /proc/meminfo; without those in a line with no figure."""
    lines = re.findall(r"^(\w+):? +(\d+)", Path(path).read_text(encoding="ascii", errors="replace"), re.M)
    return {name: int(figure) * unit for name, figure in lines}


def memory() -> dict[str, int]:
    """Return the Pi's memory, and how much of it this server's programs may still take, in MB."""
    of_pi = amounts("/proc/meminfo", 1024)
    free = of_pi["MemAvailable"]
    try:
        # Where Linux counts it: what the limit of the server's unit leaves. Caches of files give way by themselves.
        group = "/sys/fs/cgroup" + Path("/proc/self/cgroup").read_text(encoding="utf-8").rpartition("::")[2].strip()
        limit, used = (int(Path(group, f"memory.{name}").read_text()) for name in ("max", "current"))
        caches = amounts(f"{group}/memory.stat")
        free = min(free, limit - used + caches["active_file"] + caches["inactive_file"])
    except (OSError, ValueError, LookupError):
        pass  # no such limit
    return {"free": max(free, 0) >> 20, "total": of_pi["MemTotal"] >> 20}


def taken(process: object) -> int | None:
    """Return the memory that would be free without a process, in MB; None if that is not known."""
    try:
        parts = amounts(f"/proc/{process}/smaps_rollup", 1024)
        # To the next 5 MB: what changes all the time is hard to read.
        return -(-(parts["Pss"] + parts["SwapPss"]) // (5 << 20)) * 5
    except (OSError, LookupError):
        return None


class Deaths:
    """Why students' programs died, as long as it is worth telling."""

    def __init__(self) -> None:
        self._told: dict[str, tuple[float, str]] = {}  # by kernel: when, and why
        self._killed = killed_for_memory()

    def watch(self, manager: Any, kernel: str) -> None:
        """From now on, notice when a kernel dies."""
        for event in ("restart", "dead"):
            manager.add_restart_callback(kernel, lambda: self._note(manager, kernel), event)

    def _note(self, manager: Any, kernel: str) -> None:
        """Note why a kernel has just died: by signal 9, and Linux has killed something for want of memory."""
        killed, before = killed_for_memory(), self._killed
        self._killed = killed
        process = getattr(manager.get_kernel(kernel).provisioner, "process", None)
        by_linux = getattr(process, "returncode", None) == -9 and killed > before
        self._told[kernel] = time.monotonic(), OUT_OF_MEMORY if by_linux else STOPPED

    def why(self, kernel: str) -> str:
        """Return a sentence; none if the kernel has not died lately."""
        now = time.monotonic()
        self._told = {name: (when, why) for name, (when, why) in self._told.items() if now - when < TOLD}
        return self._told.get(kernel, (now, ""))[1]


def killed_for_memory() -> int:
    """Return how many programs Linux has killed for want of memory since the Pi was started."""
    return amounts("/proc/vmstat").get("oom_kill", 0)


deaths = Deaths()


def running(sessions: list[dict[str, Any]], kernel_manager: Any) -> Iterator[tuple[dict[str, Any], Any]]:
    """Yield what runs: for which notebook, whether it is busy, and whether it died lately; and its manager."""
    for session in sessions:
        identity = session["kernel"]["id"]
        try:
            kernel = kernel_manager.get_kernel(identity)
        except KeyError:  # it ended meanwhile
            continue
        busy = session["kernel"].get("execution_state") == "busy"
        about = {"path": session["path"], "session": session["id"], "kernel": identity}
        yield {**about, "busy": busy, "died": deaths.why(identity)}, kernel


class Status(JupyterHandler):
    """Answers with all that the page shows of this Pi. Asking does not keep a server awake that nobody uses."""

    def initialize(self, lessons: Lessons, message_file: Path) -> None:
        """Take the lessons, and where the teacher's message is."""
        self.lessons = lessons
        self.message_file = message_file
        self.folder = Path(str(self.contents_manager.root_dir))

    @authenticated
    async def get(self) -> None:
        """Answer with the lessons in order, what runs, the memory, and the teacher's message."""
        self.xsrf_token  # noqa: B018 - sets the cookie that the page's script needs
        finished = progress(self.folder / "my_progress.json")
        lessons = [
            {**lesson, "there": (self.folder / lesson["name"]).is_file(), "finished": finished.get(lesson["name"][:-6])}
            for lesson in self.lessons.all()
        ]
        sessions: Any = await ensure_async(self.session_manager.list_sessions())  # type: ignore[no-untyped-call]
        programs = [
            {**program, "memory": taken(getattr(kernel.provisioner, "pid", None))}
            for program, kernel in running(sessions, self.kernel_manager)
        ]
        self.set_header("Cache-Control", "no-store")
        self.finish(
            {"lessons": lessons, "running": programs, "memory": memory(), "message": message(self.message_file)}
        )


class Lesson(Status):
    """Puts a lesson that the student has deleted or renamed back."""

    @authenticated
    async def post(self) -> None:
        """Save an untouched copy, unless there is something of that name."""
        body = self.get_json_body()
        name = str(body.get("name")) if isinstance(body, dict) else ""
        try:
            text = self.lessons.text(name)
        except LookupError as error:
            raise HTTPError(404, "There is no such lesson.") from error
        if os.path.lexists(self.folder / name):
            raise HTTPError(409, "This lesson is there already.")
        lesson = {"type": "file", "format": "text", "content": text}
        await ensure_async(self.contents_manager.save(lesson, name))  # type: ignore[no-untyped-call]
        self.set_status(204)


def handlers(folder: str, message_file: str) -> list[tuple[Any, ...]]:
    """Return the handlers, beside the one of the page's files.

    folder: of the untouched lessons. message_file: of root's, with the teacher's message.
    """
    shared = {"lessons": Lessons(folder), "message_file": Path(message_file)}
    return [(r"/start/status", Status, shared), (r"/start/lesson", Lesson, shared)]


class Teacher:
    """Tells the teacher's computer what runs: root, at a Unix socket. Nothing is read from there.

    The socket's name is abstract: in a folder for it, the student's programs could fill the memory of /run. Memory is
    told in steps of 10 MB, and times in steps of 5 minutes, since each change is sent. How much each program takes is
    not told: Linux would have to go through all its pages.
    """

    _server: asyncio.Server

    async def listen(self, name: str) -> None:
        """Begin."""
        try:
            self._server = await asyncio.start_unix_server(self._answer, f"\0{name}")
        except OSError as error:  # another program has taken the name
            ServerApp.instance().log.warning("The teacher does not see what runs: %s", error)

    async def _answer(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        app = ServerApp.instance()
        try:
            peer = writer.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
            if struct.unpack("3i", peer)[1] not in (0, os.getuid()):  # process, user, group
                return
            sessions: Any = await ensure_async(app.session_manager.list_sessions())
            writer.write(json.dumps(self.state(sessions, app.kernel_manager), sort_keys=True).encode())
        finally:
            writer.close()

    def state(self, sessions: list[dict[str, Any]], kernel_manager: Any) -> dict[str, Any]:
        """Return what is told, as mynn_control/watch.py knows it."""
        died = {OUT_OF_MEMORY: "memory", STOPPED: "stopped"}
        programs = [
            {
                "path": program["path"][:300],
                "busy": program["busy"],
                "quiet": quiet(kernel),
                "died": died.get(program["died"], ""),
            }
            for program, kernel in running(sessions, kernel_manager)
        ]
        left = memory()
        return {"running": programs, "free": left["free"] // 10 * 10, "total": left["total"]}


def quiet(kernel: Any) -> int:
    """Return for how many minutes a program has done nothing."""
    seconds = (datetime.now(UTC) - getattr(kernel, "last_activity", datetime.now(UTC))).total_seconds()
    return max(0, int(seconds / 300)) * 5


teacher = Teacher()


def extended(page: dict[str, Any]) -> dict[str, Any]:
    """Let a page of Jupyter's load notebook.js, which has a way back to the start page in place of the logo."""
    # A path from where extensions usually are: below lab/extensions/NAME.
    page["federated_extensions"].append(
        {"name": EXTENSION, "load": "../../../start/notebook.js", "extension": "./extension"}
    )
    page["disabledExtensions"].append(LOGO)
    return page
