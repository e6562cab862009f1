"""The Pis are asked over SSH, by a process for each, and answer whenever something is new."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError

from ansible_collections.mynn.pi.plugins.module_utils.schema import LARGEST, misfit
from ansible_collections.mynn.pi.plugins.module_utils.text import printable
from mynn import wall
from mynn_control.desk.runs import Pis
from mynn_control.desk.ways import PROMPT, Way, ways
from mynn_control.words import marked
from mynn_server.watch import VERSION

PAUSE = 0.3  # seconds between looks at what is to be done
AGAIN = 5.0  # seconds until a Pi that did not answer is asked again
NEXT = 1.0  # seconds until a Pi's next line is read: one that prints without end costs no more than that
BEGIN = 60.0  # seconds until a Pi's program has begun, which takes a Pi Zero some
UNTIL_SET_UP = 30.0  # and one that has to be set up first
LINES = 200  # of greetings and complaints that a Pi may print
WANTED = marked("sudo on the Pis wants a password before the desk can ask them what the class does.")
NO_PI = marked("There is no Pi in the list yet: find yours, or add them by name, on the tab Pis.")
STRANGE_KEY = re.compile("host key|identification has changed", re.I)  # as mitogen and ssh refuse one
NOT_SET_UP = "it has no mynn-pi of this version"
NO_PROGRAM = re.compile("No module named|command not found|No such file")  # as Python, sudo and the shell put it
PAGES = ("class", "wall")
HELLO = {"type": "object", "properties": {"mynn": {"type": "integer"}}, "required": ["mynn"]}


class LostError(Exception):
    """Why a Pi is not asked any longer."""


def invalid(where: str) -> LostError:
    """Return what is wrong with an answer."""
    return LostError(f"its answer is invalid ({where}): flash its card again")


def schema(students: Iterable[str]) -> dict[str, Any]:
    """Return the schema of what a Pi with these students shows."""
    whole = r"^[^\ud800-\udfff]*\Z"  # characters
    text = {"type": ["string", "null"], "maxLength": wall.LARGEST, "pattern": whole}
    return closed(PAGES, closed(students, text))


def closed(names: Iterable[str], values: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of an object that has no other names than these."""
    return {"type": "object", "properties": dict.fromkeys(names, values), "additionalProperties": False}


class Answers:
    """What the Pis answered.

    pis: by Pi, its `place` in the inventory, its `students` with their addresses, what they have `shown` (by page and
    account, a text that nobody has parsed yet), and why the Pi is `lost` ("": it answers; None: it was not asked yet).
    off: the Pis that were switched off, until they answer again; one whose answer was still on its way stays.
    """

    def __init__(self) -> None:
        self.pis: dict[str, dict[str, Any]] = {}
        self.off: set[str] = set()
        self._next = self.pis  # replaced, not changed: other threads draw pages of what was there at the last update

    def tell(self, pi: str, **news: Any) -> None:
        """Have news of a Pi, for the next update. A text that is None is not shown any more."""
        known = self._next.get(pi, {"lost": None, "shown": {page: {} for page in PAGES}})
        before, lost = known["lost"], news.get("lost", known["lost"])
        if lost is not None and lost != (before or ""):
            print(f"{pi} does not answer: {lost}" if lost else f"{pi} answers.", flush=True)
        shown = {page: texts | news.get("shown", {}).get(page, {}) for page, texts in known["shown"].items()}
        news["shown"] = {
            page: {student: text for student, text in texts.items() if text is not None}
            for page, texts in shown.items()
        }
        self._next = self._next | {pi: known | news}
        if lost == "" != before:
            self.off.discard(pi)

    def forget(self, pi: str) -> None:
        """Drop a Pi at the next update."""
        self._next = {name: known for name, known in self._next.items() if name != pi}

    def update(self) -> bool:
        """Take the news. Returns whether there are any."""
        before, self.pis = self.pis, self._next
        return self.pis is not before

    def in_order(self) -> list[tuple[str, dict[str, Any]]]:
        """Return the Pis in the inventory's order."""
        return sorted(self.pis.items(), key=lambda pi: pi[1]["place"])

    def shown(self, page: str) -> dict[str, dict[str, str]]:
        """Return by Pi, in the inventory's order, and by student, the text for a page."""
        return {name: pi["shown"][page] for name, pi in self.in_order()}

    @property
    def answering(self) -> int:
        """How many Pis answer."""
        return sum(pi["lost"] == "" for pi in self.pis.values())


class Asking:
    """What asks each Pi. The ways to them are looked up anew whenever one of the files is written.

    trouble: what keeps it from asking, in words; empty if nothing does. password: for sudo on the Pis, if it wants one;
    it is kept for as long as the desk is open, and goes to sudo through a pipe.
    """

    def __init__(self, pis: Pis, student: str, files: Sequence[Path], answers: Answers) -> None:
        self.pis, self.student, self.files, self.answers = pis, student, files, answers
        self.trouble = self.password = ""
        self._written: list[int] = []
        self._asked: dict[Way, asyncio.Task[None]] = {}

    def give(self, password: str) -> None:
        """Go on with a password."""
        self.password, self.trouble = password, ""

    async def keep_asking(self, update: Callable[[], None], begun: Callable[[], None]) -> None:
        """Ask, and have the answers looked at, until Ctrl-C. begun: called once Ctrl-C and SIGTERM end it."""
        stopped, loop = asyncio.Event(), asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, stopped.set)  # again and again: an impatient teacher may press Ctrl-C twice
        begun()
        try:
            while not stopped.is_set():
                if (written := self._times()) != self._written:
                    self._written = written
                    await self._renew()
                update()
                with suppress(TimeoutError):
                    await asyncio.wait_for(stopped.wait(), PAUSE)
        finally:
            await self._end(list(self._asked))

    def _times(self) -> list[int]:
        return [path.stat().st_mtime_ns if path.exists() else 0 for path in self.files]

    async def _renew(self) -> None:
        """Look the ways up, and begin to ask where there is a new one."""
        try:
            new = await asyncio.to_thread(lambda: list(ways(self.pis, self.student)))
        except (AnsibleError, OSError) as error:
            self.trouble = str(error)
            return
        self.trouble = "" if new else NO_PI
        await self._end([way for way in self._asked if way not in new])
        for way in (way for way in new if way not in self._asked):
            self.answers.tell(way.pi, place=way.place, students=dict(way.students), lost=None)
            self._asked[way] = asyncio.create_task(self._follow(way))

    async def _end(self, asked: Iterable[Way]) -> None:
        """Ask these Pis no more."""
        tasks = {way: self._asked.pop(way) for way in asked}
        for way, task in tasks.items():
            task.cancel()
            self.answers.forget(way.pi)
        await asyncio.gather(*tasks.values(), return_exceptions=True)

    async def _follow(self, way: Way) -> None:
        while True:
            try:
                lost = await self._hear(way)
            except OSError as error:  # there is no ssh
                lost = str(error)
            if lost == WANTED:
                self.trouble = WANTED
                while self.trouble == WANTED:
                    await asyncio.sleep(PAUSE)
            else:
                self.answers.tell(way.pi, lost=printable(lost))
                await asyncio.sleep(UNTIL_SET_UP if lost == NOT_SET_UP else AGAIN)

    async def _hear(self, way: Way) -> str:
        """Take a Pi's news until its program ends. Returns why it did."""
        process = await asyncio.create_subprocess_exec(
            *way.argv, stdin=PIPE, stdout=PIPE, stderr=PIPE, limit=LARGEST, start_new_session=True
        )
        complaint = asyncio.create_task(self._answer_complaints(way, process))
        try:
            async with asyncio.timeout(BEGIN):
                await _begin(way, process)
            await self._take_news(way, process)
            async with asyncio.timeout(BEGIN):
                return await complaint
        except LostError as error:
            return str(error)
        except TimeoutError:
            return "its program did not begin, or did not end"
        finally:
            complaint.cancel()
            await asyncio.gather(complaint, return_exceptions=True)
            _kill(process)
            await process.communicate()

    async def _take_news(self, way: Way, process: Process) -> None:
        of = schema(name for name, _ in way.students)
        while line := await _line(process.stdout):
            self.answers.tell(way.pi, shown=_parsed(line, of), lost="")
            await asyncio.sleep(NEXT)

    async def _answer_complaints(self, way: Way, process: Process) -> str:
        """Give sudo its password. Returns the last line of what ssh, sudo or the program complained of."""
        assert process.stdin
        last, given = "", ""
        for _ in range(LINES):
            try:
                line = await _line(process.stderr)
            except LostError:
                break
            if not line:
                return NOT_SET_UP if NO_PROGRAM.search(last) else last or "it ended by itself"
            last = line.decode(errors="replace").strip() or last
            if last == PROMPT:
                if given or not (given := self.password or way.password):
                    _kill(process)
                    return WANTED
                process.stdin.write(f"{given}\n".encode())
        _kill(process)
        return "it prints without end"


async def _begin(way: Way, process: Process) -> None:
    """Wait for a Pi's program, and say what it is asked."""
    assert process.stdin
    for _ in range(LINES):  # its shell may print some before
        line = await _line(process.stdout)
        if line.startswith(b'{"mynn": '):
            if _parsed(line, HELLO)["mynn"] != VERSION:
                raise LostError(NOT_SET_UP)
            process.stdin.write(f"{way.asked}\n".encode())
            return
        if not line:
            return
    raise invalid("too many lines")


def _kill(process: Process) -> None:
    """Kill ssh, with what it has started, such as another one for a jump host."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


async def _line(stream: asyncio.StreamReader | None) -> bytes:
    """Return the next line; nothing at the end. LostError: it is too long to be kept."""
    assert stream
    try:
        return await stream.readline()
    except ValueError:
        raise invalid("a line is too long") from None


def _parsed(line: bytes, of: dict[str, Any]) -> dict[str, Any]:
    """Return what a line says. LostError: it does not match the schema."""
    try:
        said: dict[str, Any] = json.loads(line)
    except (ValueError, RecursionError):
        raise invalid("malformed") from None
    if wrong := misfit(said, of):
        raise invalid(wrong)
    return said
