"""The start page, which a student sees after signing in: the lessons, what runs, the memory, and the student's files.

All that the page shows comes in one answer, `start/status`. To end a program, and to change files, the page uses
Jupyter's own REST interface.
"""

from __future__ import annotations

import json
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
from mynn.outline import NOT_AS_EXPECTED, outline
from mynn.words import LANGUAGES, _, language, lessons_folder
from mynn_server.contents import card_full
from mynn_server.language import choose, is_ours
from mynn_server.linux import SHORT, memory, memory_of, read_regular
from mynn_server.pages import FILES
from mynn_server.programs import running

WRITTEN_BY_LESSONS = (tasks.FILE, "my_progress.damaged.json", "on_the_wall.json")
LARGEST_MESSAGE = 4_000  # bytes of the teacher's message
MOST_FILES = 500  # that the page lists


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
        if is_ours(entry.name) and entry.is_dir():
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
        lessons, place = [], lessons_folder(self.lessons)
        for stem, lesson in outline(self.lessons / place).items():
            name, standing = f"{place}{stem}.ipynb", record.standing(stem, lesson.tasks)
            picture = f"pictures/{re.sub(r'_[0-9]+$', '', stem)}.svg"  # a lesson in two halves has one picture
            seen = {
                "name": name,
                "picture": picture if picture in FILES else "pictures/lesson.svg",
                "there": (self.folder / name).is_file(),
                "done": standing.done,
            }
            lessons.append({**asdict(lesson), **asdict(standing), **seen})
        sessions: Any = await ensure_async(self.session_manager.list_sessions())
        programs = []
        for program, kernel in running(sessions, self.kernel_manager):
            died = program["died"]  # inside of _(), Babel would take the key for a sentence
            pid = getattr(kernel.provisioner, "pid", None)
            programs.append({**program, "died": _(died), "memory": memory_of(pid)})
        self.set_header("Cache-Control", "no-store")
        self.finish(
            {
                "lessons": lessons,
                "files": own_files(self.folder, {path.name for path in self.lessons.glob("*.ipynb")}),
                "running": programs,
                "memory": memory() | {"short": SHORT},
                "trouble": card_full(self.folder),
                "message": message(self.message_file),
                "language": language(),
                "languages": LANGUAGES,
            }
        )


class Lesson(Status):
    """Puts a lesson that the student has deleted or renamed back."""

    @authenticated
    async def post(self) -> None:
        """Save an untouched copy, unless there is something of that name."""
        name, place = sent(self, "name"), lessons_folder(self.lessons)
        if name not in [f"{place}{stem}.ipynb" for stem in outline(self.lessons / place)]:
            raise HTTPError(404, _("There is no such lesson."))
        if os.path.lexists(self.folder / name):
            raise HTTPError(409, _("This lesson is there already."))
        if place:
            await ensure_async(self.contents_manager.save({"type": "directory"}, place.rstrip("/")))
        text = (self.lessons / name).read_text(encoding="utf-8")
        lesson = {"type": "file", "format": "text", "content": text}
        await ensure_async(self.contents_manager.save(lesson, name))
        self.set_status(204)


class Language(JupyterHandler):
    """Changes the student's language."""

    @authenticated
    async def post(self) -> None:
        """Take the language that was chosen, for pages and for kernels that start from now on."""
        try:
            choose(Path(str(self.contents_manager.root_dir)), str(sent(self, "language")))
        except ValueError:
            raise HTTPError(400, "There is no such language.") from None
        self.set_status(204)


def sent(handler: JupyterHandler, name: str) -> Any:
    """Return a part of the JSON that was sent; None if it has no such part."""
    try:
        body = handler.get_json_body()
    except UnicodeDecodeError:
        raise HTTPError(400, "This is no JSON.") from None
    return body.get(name) if isinstance(body, dict) else None
