r"""The page `/try/`: a network in the pupil's own browser. The Pi sends it and keeps what comes of it.

Anybody may read it: it has no secrets, and a pupil sees it at once. Whoever keeps something is signed in, and sends the
cookie `_xsrf` as the header `X-XSRFToken`, too, as the start page does. Addresses below are as the page has them.

    GET keep        204, and the cookie `_xsrf`, for who is signed in; else 403 (then `../login?next=/try/` is the way)
    POST network    `?rate=0.1&rule=book` and the weights of a network for digits, as network.js has them, each a
                    float32, at most 4 MB: to be kept as my_network.npz, if that does not read more of the page's 1,000
                    test digits
    POST drawings   lines `label,784 pixels` ending with \n, as in my_digits.csv, at most 500: to be added there
    GET signs       the drawings in my_signs.csv (signs.py), as lines, and the cookie `_xsrf`; 403 as for keep
    POST signs      such lines, at most 500; a drawing without a name is taken away

To the POSTs the answer is 200 and `{"kept": true or false, "message": a sentence}`: `kept` is false where the better
network stays, or something else has its name. An error is `{"message": a sentence}`: 400, this cannot be used or kept;
403, the sign-in is over, or the header is missing; 413, too large (so it is for any stranger who sends more than 64
kB); 503, too little memory now.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from jupyter_server.auth.decorator import allow_unauthenticated
from jupyter_server.base.handlers import APIHandler, JupyterHandler
from tornado.iostream import StreamClosedError
from tornado.web import HTTPError, authenticated

from mynn import rows
from mynn.errors import DataError
from mynn.words import _, in_figures, marked, ngettext
from mynn_server import keep_network, signs
from mynn_server.linux import memory
from mynn_server.programs import COMMAND
from mynn_server.try_files import CHUNK, TAKEN, find

MOST_DRAWINGS = 500  # in one request
LEAST_FREE = 60  # MB: for a program with numpy
PATIENCE = 120  # seconds for it; a Pi Zero takes some ten
NO_MEMORY = marked("The Pi has too little memory for this now. End a lesson on the start page, then keep it again.")


class TryPage(JupyterHandler):
    """Sends the page's files."""

    @allow_unauthenticated
    async def get(self, name: str | None) -> None:
        """Send a file, in pieces: thirty browsers may ask for all digits at once."""
        if name is None:
            return self.redirect(f"{self.request.path}/")
        try:
            path, headers = find(name)
            file = path.open("rb")
        except (LookupError, OSError):
            raise HTTPError(404, _("There is no such page.")) from None
        with file:
            for header, value in headers.items():
                self.set_header(header, value)
            if self.check_etag_header():
                self.set_status(304)
                return
            while piece := file.read(CHUNK):
                self.write(piece)
                try:
                    await asyncio.wait_for(self.flush(), TAKEN)  # until the piece is sent
                except (TimeoutError, StreamClosedError):  # who asked does not read, or has gone
                    cast("Any", self.request.connection).stream.close()
                    return

    def compute_etag(self) -> str | None:
        """Return none besides the file's."""
        return None


class Keeping(APIHandler):
    """Whether somebody may keep things, and what is common to keeping them."""

    turn = asyncio.Lock()

    def initialize(self) -> None:
        """Find the student's folder."""
        self.folder = Path(str(self.contents_manager.root_dir))

    @authenticated
    async def get(self) -> None:
        """Answer who is signed in, and set the cookie that POST needs."""
        self.xsrf_token  # noqa: B018 - sets the cookie
        self.set_header("Cache-Control", "no-store")
        self.set_status(204)

    def sent(self, most: int) -> bytes:
        """Return what was sent, if it is not larger than that."""
        if len(self.request.body) > most:
            raise HTTPError(413, _("This is larger than {size} kB, so it is not kept.").format(size=most >> 10))
        return self.request.body

    async def work_on(self, name: str, work: Callable[[Path], Any]) -> Any:
        """Return what some work on one of the student's files gives; its DataError is the answer."""
        path = self.folder / name
        if path.exists() and not path.is_file():  # what opens a FIFO waits
            sentence = _("{name} is not a file: rename it, then keep the drawings again.")
            raise HTTPError(400, sentence.format(name=name))
        async with self.turn:
            try:
                return await asyncio.to_thread(work, path)
            except DataError as error:
                raise HTTPError(400, str(error).replace(str(path), name)) from None

    def kept(self, name: str, count: int) -> None:
        """Answer that drawings are kept."""
        message = ngettext(
            "Kept in {file}, which has {count} drawing now.", "Kept in {file}, which has {count} drawings now.", count
        )
        self.finish({"kept": True, "message": message.format(file=name, count=in_figures(f"{count:,}"))})


class KeepNetwork(Keeping):
    """Keeps a network.

    A program of its own checks and compares it: with numpy, it takes 22 MB more than Python, which this server would
    never give back.
    """

    turn = asyncio.Lock()

    @authenticated
    async def post(self) -> None:
        """Keep a network, unless a better one is there."""
        body = self.sent(keep_network.LARGEST)
        about = [self.get_query_argument(name) for name in ("rate", "rule")]
        async with self.turn:
            if memory()["free"] < LEAST_FREE:
                raise HTTPError(503, _(NO_MEMORY))
            status, answer = await asyncio.to_thread(self.run, body, *about)
        if status == keep_network.UNUSABLE:
            raise HTTPError(400, answer["message"])
        self.finish(answer)

    def run(self, body: bytes, rate: str, rule: str) -> tuple[int, dict[str, Any]]:
        """Return the program's exit status and answer. If memory is short, Linux ends it before the server."""
        command = [*COMMAND[:-1], "-I", "-m", "mynn_server.keep_network", rate, rule]
        try:
            done = subprocess.run(command, cwd=self.folder, input=body, stdout=subprocess.PIPE, timeout=PATIENCE)
            return done.returncode, json.loads(done.stdout)
        except (subprocess.TimeoutExpired, ValueError):
            raise HTTPError(503, _(NO_MEMORY)) from None


class KeepDrawings(Keeping):
    """Keeps drawings."""

    @authenticated
    async def post(self) -> None:
        """Add drawings to the student's own."""
        lines = self.sent(rows.LONGEST * MOST_DRAWINGS).splitlines()
        if not 0 < len(lines) <= MOST_DRAWINGS or not all(map(rows.is_whole, lines)):
            sentence = _("These are not 1 to {most} drawings, so they are not kept.")
            raise HTTPError(400, sentence.format(most=MOST_DRAWINGS))
        self.kept(rows.NAME, await self.work_on(rows.NAME, lambda path: rows.add(lines, path)))


class KeepSigns(Keeping):
    """Keeps drawings for classes of the student's own, and gives them back."""

    @authenticated
    async def get(self) -> None:
        """Send those that are kept."""
        drawings = await self.work_on(signs.NAME, signs.read)
        self.xsrf_token  # noqa: B018 - sets the cookie
        self.set_header("Cache-Control", "no-store")
        self.finish(b"\n".join(signs.text(drawings)), set_content_type="text/csv; charset=utf-8")

    @authenticated
    async def post(self) -> None:
        """Add drawings, and take some away."""
        lines = self.sent(signs.LONGEST * signs.MOST).splitlines()
        self.kept(signs.NAME, await self.work_on(signs.NAME, lambda path: signs.change(lines, path)))
