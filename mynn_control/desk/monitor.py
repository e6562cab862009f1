"""SSH client of the desk: a process per Pi, which receives a line of JSON whenever something changes there."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError

from ansible_collections.mynn.pi.plugins.module_utils.schema import LARGEST, misfit
from ansible_collections.mynn.pi.plugins.module_utils.text import printable
from mynn import wall
from mynn_control.desk.connections import PROMPT, Connection, connections
from mynn_control.desk.runs import Fleet
from mynn_control.own_files import modified
from mynn_control.report_schemas import CLOSED, by_name, of
from mynn_control.translation import N_
from mynn_server.look import LARGEST_ANSWER, NOTEBOOK
from mynn_server.status_stream import VERSION

PAUSE = 0.3  # seconds between checks for changed files and new answers
RETRY = 5.0  # seconds until a Pi that did not answer is asked again
INTERVAL = 1.0  # seconds between a Pi's lines: limits the load of a Pi that prints without end
TIMEOUT = 60.0  # seconds for a Pi's program to begin (a Pi Zero is slow), or to end
RETRY_SET_UP = 30.0  # seconds until a Pi that is not set up is asked again
LOOK = 10.0  # seconds for a Pi to answer with a notebook
LINES = 200  # most lines of greetings, and of errors, that a Pi may print
PASSWORD_WANTED = N_("sudo on the Pis wants a password before the desk can ask them what the class does.")
NO_PI = N_("There is no Pi in the list yet: find yours, or add them by name, on the tab Pis.")
STRANGE_KEY = re.compile("host key|identification has changed", re.I)  # from errors of mitogen and ssh
NOT_SET_UP = "it has no mynn-pi of this version"
NO_PROGRAM = re.compile("No module named|command not found|No such file")  # from errors of Python, sudo and the shell
PAGES = ("class", "wall")


class LostError(Exception):
    """A connection to a Pi ends. The message is the reason."""


def invalid(where: str) -> LostError:
    """Return the error for an invalid answer. where: the part that is wrong."""
    return LostError(f"its answer is invalid ({where}): flash its card again")


def schema(students: Iterable[str]) -> dict[str, Any]:
    """Return the schema of a line from a Pi with these students: page → account → text."""
    whole = r"^[^\ud800-\udfff]*\Z"  # no lone surrogates
    text = {"type": ["string", "null"], "maxLength": wall.LARGEST, "pattern": whole}
    looked = {"type": ["string", "null"], "maxLength": LARGEST_ANSWER, "pattern": r"^[ -~]*\Z"}
    pages = dict.fromkeys(PAGES, CLOSED | of({}, **dict.fromkeys(students, text)))
    return CLOSED | of({}, **pages, look=by_name(rf"^[^/]{{1,60}}/{NOTEBOOK.pattern}\Z", looked, 1))


class Answers:
    """The latest answers of all Pis.

    pis: name → `place` in the inventory; `students` (account → URL); `shown` (page → account → text, not parsed yet);
    `lost`, the reason why it does not answer ("": it answers; None: not asked yet).
    off: Pis that were switched off. An answer removes a Pi only after it was lost: a late answer does not count.
    """

    def __init__(self) -> None:
        self.pis: dict[str, dict[str, Any]] = {}
        self.off: set[str] = set()
        self._next = self.pis  # always a new dict: other threads draw pages from `pis`, as of the last update

    def queue(self, pi: str, **news: Any) -> None:
        """Add news of a Pi for the next update. A text of None removes the one shown."""
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

    def remove(self, pi: str) -> None:
        """Drop a Pi at the next update."""
        self._next = {name: known for name, known in self._next.items() if name != pi}

    def update(self) -> bool:
        """Make the queued news current. Returns whether there were any."""
        before, self.pis = self.pis, self._next
        return self.pis is not before

    def in_order(self) -> list[tuple[str, dict[str, Any]]]:
        """Return the Pis in the inventory's order."""
        return sorted(self.pis.items(), key=lambda pi: pi[1]["place"])

    def shown(self, page: str) -> dict[str, dict[str, str]]:
        """Return the texts for a page: Pi, in the inventory's order → account → text."""
        return {name: pi["shown"][page] for name, pi in self.in_order()}

    @property
    def answering(self) -> int:
        """Number of Pis that answer."""
        return sum(pi["lost"] == "" for pi in self.pis.values())


class Monitor:
    """SSH connections to all Pis. They are set up again whenever one of `files` is written.

    trouble: why some or all Pis cannot be asked, a sentence; else empty. password: for sudo on the Pis; it stays
    in memory until the desk ends, and reaches sudo through a pipe.
    """

    def __init__(self, fleet: Fleet, student: str, files: Sequence[Path], answers: Answers) -> None:
        self.fleet, self.student, self.files, self.answers = fleet, student, files, answers
        self.trouble = self.password = ""
        self._written: list[int] = []
        self._tasks: dict[Connection, asyncio.Task[None]] = {}
        self._processes: dict[str, Process] = {}  # by Pi, while it answers
        self._loop: asyncio.AbstractEventLoop | None = None
        self._looks: dict[tuple[str, str], Future[str | None]] = {}  # by Pi and ACCOUNT/NAME: notebooks to come

    def set_password(self, password: str) -> None:
        """Continue with this password for sudo."""
        self.password, self.trouble = password, ""

    def send(self, pi: str, request: Mapping[str, Any]) -> bool:
        """Send a request (status_stream.Poller.answer) to a Pi, from any thread. False: it does not answer."""
        process = self._processes.get(pi)
        if not process or not process.stdin or not self._loop:
            return False
        self._loop.call_soon_threadsafe(process.stdin.write, f"{json.dumps(request)}\n".encode())
        return True

    def look(self, pi: str, student: str, name: str) -> str | None:
        """Return a student's notebook as it is now (look.shortened), from any thread; None if the Pi gives none."""
        coming = self._looks.setdefault((pi, f"{student}/{name}"), Future())
        with suppress(TimeoutError):
            return coming.result(LOOK) if self.send(pi, {"look": [student, name]}) else None
        return None

    def _looked(self, pi: str, notebooks: Mapping[str, str | None]) -> None:
        for place, text in notebooks.items():
            if coming := self._looks.pop((pi, place), None):  # nobody waits for other notebooks
                coming.set_result(text)

    async def run(self, update: Callable[[], None], on_start: Callable[[], None]) -> None:
        """Monitor the Pis until Ctrl-C or SIGTERM. update: called every PAUSE. on_start: once signals are handled."""
        stopped, loop = asyncio.Event(), asyncio.get_running_loop()
        self._loop = loop
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, stopped.set)  # stays: an impatient teacher may press Ctrl-C again
        on_start()
        try:
            while not stopped.is_set():
                if (now := modified(*self.files)) != self._written:
                    self._written = now
                    await self._reload()
                update()
                with suppress(TimeoutError):
                    await asyncio.wait_for(stopped.wait(), PAUSE)
        finally:
            await self._disconnect(list(self._tasks))

    async def _reload(self) -> None:
        """Read the connection settings; drop connections whose settings changed, and start new ones."""
        try:
            new = await asyncio.to_thread(lambda: list(connections(self.fleet, self.student)))
        except (AnsibleError, OSError) as error:
            self.trouble = str(error)
            return
        self.trouble = "" if new else NO_PI
        await self._disconnect([connection for connection in self._tasks if connection not in new])
        for connection in (connection for connection in new if connection not in self._tasks):
            self.answers.queue(connection.pi, place=connection.place, students=dict(connection.students), lost=None)
            self._tasks[connection] = asyncio.create_task(self._follow(connection))

    async def _disconnect(self, ended: Iterable[Connection]) -> None:
        """End the connections to these Pis."""
        tasks = {connection: self._tasks.pop(connection) for connection in ended}
        for connection, task in tasks.items():
            task.cancel()
            self.answers.remove(connection.pi)
        await asyncio.gather(*tasks.values(), return_exceptions=True)

    async def _follow(self, connection: Connection) -> None:
        while True:
            try:
                lost = await self._receive(connection)
            except OSError as error:  # such as: ssh is not installed
                lost = str(error)
            if lost == PASSWORD_WANTED:
                self.trouble = PASSWORD_WANTED
                while self.trouble == PASSWORD_WANTED:
                    await asyncio.sleep(PAUSE)
            else:
                self.answers.queue(connection.pi, lost=printable(lost))
                await asyncio.sleep(RETRY_SET_UP if lost == NOT_SET_UP else RETRY)

    async def _receive(self, connection: Connection) -> str:
        """Receive a Pi's news until its program ends. Returns why it ended."""
        process = await _start_ssh(connection)
        errors = asyncio.create_task(self._read_errors(connection, process))
        try:
            async with asyncio.timeout(TIMEOUT):
                await _handshake(connection, process)
            self._processes[connection.pi] = process
            allowed = schema(name for name, _ in connection.students)
            while line := await _line(process.stdout):
                said = _parsed(line, allowed)
                self._looked(connection.pi, said.pop("look", {}))
                self.answers.queue(connection.pi, shown=said, lost="")
                await asyncio.sleep(INTERVAL)
            async with asyncio.timeout(TIMEOUT):
                return await errors
        except LostError as error:
            return str(error)
        except TimeoutError:
            return "its program did not begin, or did not end"
        finally:
            self._processes.pop(connection.pi, None)
            _kill(process)
            errors.cancel()
            await asyncio.gather(errors, return_exceptions=True)
            await process.communicate()

    async def _read_errors(self, connection: Connection, process: Process) -> str:
        """Read standard error and give sudo its password. Returns why the connection ended, often the last line."""
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
                if given or not (given := self.password or connection.password):
                    _kill(process)
                    return PASSWORD_WANTED
                process.stdin.write(f"{given}\n".encode())
        _kill(process)
        return "it prints without end"


async def _start_ssh(connection: Connection) -> Process:
    """Start ssh. If cancelled, kill it and its children: asyncio would kill one process, and wait for the others."""
    program = asyncio.create_subprocess_exec(
        *connection.argv, stdin=PIPE, stdout=PIPE, stderr=PIPE, limit=LARGEST, start_new_session=True
    )
    starting = asyncio.ensure_future(program)
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        process = await starting
        _kill(process)
        await process.communicate()
        raise


async def _handshake(connection: Connection, process: Process) -> None:
    """Wait for the greeting of a Pi's program, and send the request."""
    assert process.stdin
    for _ in range(LINES):  # the login shell may print lines first
        line = await _line(process.stdout)
        if line.startswith(b'{"mynn": '):
            if line.strip() != f'{{"mynn": {VERSION}}}'.encode():
                raise LostError(NOT_SET_UP)
            process.stdin.write(f"{connection.request}\n".encode())
            return
        if not line:
            return
    raise invalid("too many lines")


def _kill(process: Process) -> None:
    """Kill ssh and its children, such as a second ssh for a jump host."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


async def _line(stream: asyncio.StreamReader | None) -> bytes:
    """Return the next line; empty at the end. LostError: the line is too long."""
    assert stream
    try:
        return await stream.readline()
    except ValueError:
        raise invalid("a line is too long") from None


def _parsed(line: bytes, allowed: dict[str, Any]) -> dict[str, Any]:
    """Return a line's JSON content. LostError: it does not match the schema."""
    try:
        said: dict[str, Any] = json.loads(line)
    except (ValueError, RecursionError):
        raise invalid("malformed") from None
    if wrong := misfit(said, allowed):
        raise invalid(wrong)
    return said
