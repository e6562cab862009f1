"""Request handlers for the start page: lessons, running programs, memory, and the student's files.

One answer, `start/status`, has all that the page shows. The page ends programs and changes files through Jupyter's own
REST API.
"""

from __future__ import annotations

import asyncio
import filecmp
import json
import os
import re
import socket
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jupyter_core.utils import ensure_async
from jupyter_server.base.handlers import JupyterHandler
from tornado.web import HTTPError, authenticated

from mynn import tasks
from mynn.files import write_text
from mynn.outline import NOT_AS_EXPECTED, outline
from mynn.translation import LANGUAGES, _, language, lessons_folder
from mynn_server.contents import CARD_FULL, card_full
from mynn_server.kernel_manager import running
from mynn_server.language import JUPYTERS, choose, is_ours
from mynn_server.linux import SHORT, memory, memory_of, read_regular
from mynn_server.pages import FILES
from mynn_server.talk import FROM_TEACHER, TO_TEACHER, number, stored, talk

NOT_LISTED = (tasks.FILE, "on_the_wall.json", FROM_TEACHER, TO_TEACHER)
LARGEST_MESSAGE = 4_000  # bytes of the teacher's message
MOST_FILES = 500  # listed on the page
BEGAN = time.time()  # tells a page that the notebook server has started again


def message(path: Path) -> dict[str, Any] | None:
    """Return the teacher's message and its age in minutes; None once it has expired.

    Only root can write the file (the role message).
    """
    try:
        written = json.loads(read_regular(path, LARGEST_MESSAGE))
        minutes = max(0, int((time.time() - path.stat().st_mtime) / 60))
        return {"text": str(written["text"]), "minutes": minutes} if minutes < written["minutes"] else None
    except NOT_AS_EXPECTED:
        return None


def progress(path: Path) -> tasks.Record:
    """Return a student's progress. The student can change the file, so it may hold anything."""
    try:
        return tasks.parse(read_regular(path, tasks.LARGEST)) or tasks.Record()
    except OSError:
        return tasks.Record()


def own_files(folder: Path, lessons: set[str]) -> list[dict[str, Any]]:
    """Return the student's files without the lessons: folders first, then notebooks, then other files."""
    files: list[dict[str, Any]] = []
    for entry in os.scandir(folder):
        is_utf8 = entry.name == entry.name.encode(errors="ignore").decode()  # a URL needs UTF-8
        if not is_utf8 or entry.name.startswith(".") or entry.name in lessons or entry.name in NOT_LISTED:
            continue
        if is_ours(entry.name) and entry.is_dir():
            continue
        kind = "folder" if entry.is_dir() else "notebook" if entry.name.endswith(".ipynb") else "ordinary"
        files.append({"name": entry.name, "kind": kind, "size": entry.stat(follow_symlinks=False).st_size})
    order = ("folder", "notebook", "ordinary")
    return sorted(files, key=lambda file: (order.index(file["kind"]), file["name"].lower()))[:MOST_FILES]


def is_changed(own: Path, lesson: Path) -> bool:
    """Return whether a student's lesson is there, and differs from the untouched one."""
    try:
        return own.is_file() and not filecmp.cmp(own, lesson)
    except OSError:
        return False


class Status(JupyterHandler):
    """Handler for all that the page shows. Requests do not count as use, so an idle server still ends."""

    def initialize(self, lessons: Path, message_file: Path) -> None:
        """Set the folder of the untouched lessons, and the file of the teacher's message."""
        self.lessons = lessons
        self.message_file = message_file
        self.folder = Path(str(self.contents_manager.root_dir))

    @authenticated
    async def get(self) -> None:
        """Send the lessons in order, the student's files, running programs, memory, and the teacher's message."""
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
                "changed": is_changed(self.folder / name, self.lessons / name),
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
                "talk": talk(self.folder),
                "pi": socket.gethostname(),
                "language": language(),
                "languages": LANGUAGES,
            }
        )


class Lesson(Status):
    """Handler that restores a lesson that the student has deleted or renamed."""

    @authenticated
    async def post(self) -> None:
        """Save an untouched copy, unless the name is taken."""
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


class Talk(JupyterHandler):
    """Handler for the pupil's side. Lessons ask it every three seconds, and so learn whether the Pi answers."""

    @authenticated
    async def get(self) -> None:
        """Send what `talk` returns, and when this server began."""
        self._answer()

    def _answer(self) -> None:
        self.set_header("Cache-Control", "no-store")
        self.finish(talk(Path(str(self.contents_manager.root_dir))) | {"began": BEGAN})

    @authenticated
    async def post(self) -> None:
        """Save the number of the last line `read`, or a call for `help` from a lesson's path; empty takes it back."""
        folder = Path(str(self.contents_manager.root_dir))
        said, path = stored(folder / TO_TEACHER), sent(self, "help")
        said["read"] = max(number(sent(self, "read")), number(said.get("read")))
        if path is not None:
            helped = number(stored(folder / FROM_TEACHER).get("helped"))
            said |= {"path": str(path)[:300], "asked": max(helped + 1, int(time.time())) if path else 0}
        try:
            write_text(folder / TO_TEACHER, json.dumps(said))
        except OSError as error:
            raise HTTPError(507, _(CARD_FULL)) from error
        self._answer()


class Language(JupyterHandler):
    """Handler that changes the student's language."""

    @authenticated
    async def post(self) -> None:
        """Set the chosen language for pages, and for kernels that start from now on."""
        try:
            choose(Path(str(self.contents_manager.root_dir)), str(sent(self, "language")))
        except ValueError:
            raise HTTPError(400, "There is no such language.") from None
        self.set_status(204)


class JupytersWords(JupyterHandler):
    """Handler that sends what Jupyter's own pages say, from Jupyter's language packs.

    Jupyter's address `lab/api/translations` sends the words of the server's locale, which cannot change while it runs.
    """

    @authenticated
    async def get(self, locale: str | None) -> None:
        """Send the words in the student's language; without a locale, no list of languages: the start page has one."""
        from jupyterlab_server.translation_utils import get_language_pack

        code = JUPYTERS.get(language()) if locale else None
        words, message = await asyncio.to_thread(get_language_pack, code) if code else ({}, "")
        self.finish({"data": words, "message": message})


def sent(handler: JupyterHandler, name: str) -> Any:
    """Return a field of the request's JSON; None if it is missing."""
    body = handler.get_json_body()
    return body.get(name) if isinstance(body, dict) else None
