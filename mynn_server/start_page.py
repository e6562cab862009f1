"""The start page, which a student sees after signing in: the lessons, what runs, the memory, and the student's files.

All that the page shows comes in one answer, `start/status`. To end a program, and to change files, the page uses
Jupyter's own REST interface.
"""

from __future__ import annotations

import functools
import json
import math
import os
import re
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jupyter_core.utils import ensure_async
from jupyter_server.base.handlers import JupyterHandler
from tornado.web import HTTPError, authenticated

from mynn import tasks
from mynn_server.linux import memory, memory_of, read_regular
from mynn_server.pages import FILES
from mynn_server.programs import running

WRITTEN_BY_LESSONS = (tasks.FILE, "my_progress.damaged.json", "on_the_wall.json")
LARGEST_MESSAGE = 4_000  # bytes of the teacher's message
MOST_FILES = 500  # that the page lists
NOT_AS_EXPECTED = (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError)


def lessons_in(folder: Path) -> list[dict[str, Any]]:
    """Return what the lessons say of themselves, in order; a file is read again when it has changed."""
    lessons = [describe(path, path.stat().st_mtime_ns) for path in folder.glob("[!.]*.ipynb")]
    return sorted(lessons, key=lambda lesson: (lesson["lesson"] or math.inf, lesson["name"]))


@functools.cache
def describe(path: Path, changed: int) -> dict[str, Any]:
    """Return what a lesson says of itself: its first heading, its tasks, and the metadata `mynn`. Root wrote it."""
    try:
        notebook = json.loads(path.read_bytes())
        cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "markdown"]
        metadata, names = notebook["metadata"].get("mynn", {}), tasks.tasks_of(notebook)
    except NOT_AS_EXPECTED:
        cells, metadata, names = [], {}, []
    heading = re.search(r"^# +(.+)$", "\n".join(cells), re.M)
    picture = f"pictures/{re.sub(r'_[0-9]+$', '', path.stem)}.svg"  # a lesson in two halves has one picture
    return {
        "name": path.name,
        "title": re.sub(r"[*`$]", "", heading[1]).strip() if heading else path.stem.replace("_", " "),
        "picture": picture if picture in FILES else "pictures/lesson.svg",
        "tasks": names,
        **{name: metadata.get(name) for name in ("lesson", "minutes", "learn")},
    }


def message(path: Path) -> dict[str, Any] | None:
    """Return the teacher's message, and how many minutes ago it was written; None when its time is over.

    Only root can write the file (the role message).
    """
    try:
        written = json.loads(read_regular(path, LARGEST_MESSAGE))
        minutes = max(0, int((time.time() - path.stat().st_mtime) / 60))
        return {"text": str(written["text"]), "minutes": minutes} if minutes < written["minutes"] else None
    except NOT_AS_EXPECTED:
        return None


def progress(path: Path) -> tasks.Record:
    """Return what a student has done. The file is the student's: anything may be in its place."""
    try:
        return tasks.parse(read_regular(path, tasks.LARGEST)) or tasks.Record()
    except OSError:
        return tasks.Record()


def own_files(folder: Path, lessons: set[str]) -> list[dict[str, Any]]:
    """Return what is in the student's folder besides the lessons: folders first, then notebooks, then files."""
    files: list[dict[str, Any]] = []
    for entry in os.scandir(folder):
        is_utf8 = entry.name == entry.name.encode(errors="ignore").decode()  # no address has any other
        if not is_utf8 or entry.name.startswith(".") or entry.name in lessons or entry.name in WRITTEN_BY_LESSONS:
            continue
        kind = "folder" if entry.is_dir() else "notebook" if entry.name.endswith(".ipynb") else "ordinary"
        files.append({"name": entry.name, "kind": kind, "size": entry.stat(follow_symlinks=False).st_size})
    order = ("folder", "notebook", "ordinary")
    return sorted(files, key=lambda file: (order.index(file["kind"]), file["name"].lower()))[:MOST_FILES]


class Status(JupyterHandler):
    """Answers with all that the page shows of this Pi. Asking does not keep a server awake that nobody uses."""

    def initialize(self, lessons: Path, message_file: Path) -> None:
        """Take the folder of the untouched lessons, and where the teacher's message is."""
        self.lessons = lessons
        self.message_file = message_file
        self.folder = Path(str(self.contents_manager.root_dir))

    @authenticated
    async def get(self) -> None:
        """Answer with the lessons in order, the student's files, what runs, the memory, and the teacher's message."""
        self.xsrf_token  # noqa: B018 - sets the cookie that the page's script needs
        record = progress(self.folder / tasks.FILE)
        lessons = []
        for lesson in lessons_in(self.lessons):
            standing = record.standing(lesson["name"].removesuffix(".ipynb"), lesson["tasks"])
            there = (self.folder / lesson["name"]).is_file()
            lessons.append({**lesson, "there": there, **asdict(standing), "done": standing.done})
        sessions: Any = await ensure_async(self.session_manager.list_sessions())
        programs = [
            {**program, "memory": memory_of(getattr(kernel.provisioner, "pid", None))}
            for program, kernel in running(sessions, self.kernel_manager)
        ]
        self.set_header("Cache-Control", "no-store")
        self.finish(
            {
                "lessons": lessons,
                "files": own_files(self.folder, {lesson["name"] for lesson in lessons}),
                "running": programs,
                "memory": memory(),
                "message": message(self.message_file),
            }
        )


class Lesson(Status):
    """Puts a lesson that the student has deleted or renamed back."""

    @authenticated
    async def post(self) -> None:
        """Save an untouched copy, unless there is something of that name."""
        try:
            body = self.get_json_body()
        except UnicodeDecodeError:
            raise HTTPError(400, "This is no JSON.") from None
        name: Any = body.get("name") if isinstance(body, dict) else None
        if name not in [lesson["name"] for lesson in lessons_in(self.lessons)]:
            raise HTTPError(404, "There is no such lesson.")
        if os.path.lexists(self.folder / name):
            raise HTTPError(409, "This lesson is there already.")
        text = (self.lessons / name).read_text(encoding="utf-8")
        lesson = {"type": "file", "format": "text", "content": text}
        await ensure_async(self.contents_manager.save(lesson, name))
        self.set_status(204)
