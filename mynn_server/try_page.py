r"""Request handlers for the page `/try/`: a network in the pupil's browser, and the work that the Pi keeps.

Reading needs no sign-in: the page has no secrets, and pupils can start at once. Keeping needs one, and the cookie
`_xsrf` sent also as the header `X-XSRFToken`, as on the start page. Addresses are relative to the page:

    GET keep        204 and the cookie `_xsrf` if signed in; else 403 (then go to `../login?next=/try/`)
    POST network    `?rate=0.1&rule=book`; the body has the weights of a network for digits, in network.js's order, as
                    float32, at most 4 MB. They are saved as my_network.npz, unless the network there recognises more
                    of the page's 1,000 test digits
    POST drawings   lines `label,784 pixels` ending with \n, as in my_digits.csv, at most 500; they are added there
    GET network     `{"weights": those in my_network.npz, as above but in base64, "learningRate": 0.1, "rule": "book",
                    "digits": the last ten lines of my_digits.csv}`
    GET signs       the drawings in my_signs.csv (own_classes.py), as lines, and the cookie `_xsrf`; 403 as for keep
    POST signs      such lines, at most 500; a drawing without a name is removed

A POST is answered with 200 and `{"kept": true or false, "message": a sentence}`. `kept` is false if the network there
is better, or the file there is not a network. An error is `{"message": a sentence}`: 400, unusable; 403, signed out,
or the header is missing; 413, too large (over 64 kB if not signed in); 503, too little memory now.
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
from mynn.translation import N_, _, in_figures, ngettext
from mynn_server import keep_network, own_classes
from mynn_server.kernel_manager import COMMAND
from mynn_server.linux import memory
from mynn_server.try_files import CHUNK, TAKEN, find

MOST_DRAWINGS = 500  # in one request
TAKEN_HOME = 10  # drawings on the page to take home
LEAST_FREE = 60  # MB: for a program with numpy
PATIENCE = 120  # seconds for that program; a Pi Zero takes about ten
NO_MEMORY = N_("The Pi has too little memory for this now. End a lesson on the start page, then keep it again.")


class TryPage(JupyterHandler):
    """Handler for the page's static files."""

    @allow_unauthenticated
    async def get(self, name: str | None) -> None:
        """Send a file in chunks: thirty browsers may ask for all digits at once."""
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
                except (TimeoutError, StreamClosedError):  # the browser does not read, or has gone
                    cast("Any", self.request.connection).stream.close()
                    return

    def compute_etag(self) -> str | None:
        """Return None, to compute no ETag: `get` has set one."""
        return None


class Keeping(APIHandler):
    """Base class of the handlers that store work; on its own, the check whether the browser is signed in."""

    lock = asyncio.Lock()

    def initialize(self) -> None:
        """Find the student's folder."""
        self.folder = Path(str(self.contents_manager.root_dir))

    @authenticated
    async def get(self) -> None:
        """Confirm the sign-in, and set the cookie that POST needs."""
        self.xsrf_token  # noqa: B018 - sets the cookie
        self.set_header("Cache-Control", "no-store")
        self.set_status(204)

    def sent(self, most: int) -> bytes:
        """Return the request's body; refuse more than `most` bytes."""
        if len(self.request.body) > most:
            raise HTTPError(413, _("This is larger than {size} kB, so it is not kept.").format(size=most >> 10))
        return self.request.body

    async def work_on(self, name: str, work: Callable[[Path], Any]) -> Any:
        """Return the result of `work` on one of the student's files; answer a DataError with status 400."""
        path = self.folder / name
        if path.exists() and not path.is_file():  # opening a FIFO would block
            sentence = _("{name} is not a file: rename it, then keep the drawings again.")
            raise HTTPError(400, sentence.format(name=name))
        async with self.lock:
            try:
                return await asyncio.to_thread(work, path)
            except DataError as error:
                raise HTTPError(400, str(error).replace(str(path), name)) from None

    def kept(self, name: str, count: int) -> None:
        """Answer how many drawings the file has now."""
        message = ngettext(
            "Kept in {file}, which has {count} drawing now.", "Kept in {file}, which has {count} drawings now.", count
        )
        self.finish({"kept": True, "message": message.format(file=name, count=in_figures(f"{count:,}"))})


class KeepNetwork(Keeping):
    """Handler that saves a network, or sends the saved one.

    A separate program checks and compares it. Numpy takes 22 MB, which this server would never give back.
    """

    lock = asyncio.Lock()

    @authenticated
    async def get(self) -> None:
        """Send the saved network and the last drawings, for the page to take home."""
        digits = (await self.work_on(rows.NAME, rows.read))[-TAKEN_HOME:]
        answer = await self.asked(b"")
        self.set_header("Cache-Control", "no-store")
        self.finish(answer | {"digits": [line.decode() for line in digits if rows.is_whole(line)]})

    @authenticated
    async def post(self) -> None:
        """Save a network, unless a better one is there."""
        body = self.sent(keep_network.LARGEST)
        self.finish(await self.asked(body, *[self.get_query_argument(name) for name in ("rate", "rule")]))

    async def asked(self, body: bytes, *about: str) -> dict[str, Any]:
        """Return the program's answer."""
        async with self.lock:
            if memory()["free"] < LEAST_FREE:
                raise HTTPError(503, _(NO_MEMORY))
            status, answer = await asyncio.to_thread(self.run, body, *about)
        if status == keep_network.UNUSABLE:
            raise HTTPError(400, answer["message"])
        return answer

    def run(self, body: bytes, *about: str) -> tuple[int, dict[str, Any]]:
        """Run the program; return its exit status and answer. If memory is short, Linux kills it, not the server."""
        command = [*COMMAND[:-1], "-I", "-m", "mynn_server.keep_network", *about]
        try:
            done = subprocess.run(command, cwd=self.folder, input=body, stdout=subprocess.PIPE, timeout=PATIENCE)
            return done.returncode, json.loads(done.stdout)
        except (subprocess.TimeoutExpired, ValueError):
            raise HTTPError(503, _(NO_MEMORY)) from None


class KeepDrawings(Keeping):
    """Handler that adds drawings to my_digits.csv."""

    @authenticated
    async def post(self) -> None:
        """Add the drawings that were sent."""
        lines = self.sent(rows.LONGEST * MOST_DRAWINGS).splitlines()
        if not 0 < len(lines) <= MOST_DRAWINGS or not all(map(rows.is_whole, lines)):
            sentence = _("These are not 1 to {most} drawings, so they are not kept.")
            raise HTTPError(400, sentence.format(most=MOST_DRAWINGS))
        self.kept(rows.NAME, await self.work_on(rows.NAME, lambda path: rows.add(lines, path)))


class KeepOwnClasses(Keeping):
    """Handler that sends and changes my_signs.csv, the drawings for classes that the student made up."""

    @authenticated
    async def get(self) -> None:
        """Send the stored drawings."""
        drawings = await self.work_on(own_classes.NAME, own_classes.read)
        self.xsrf_token  # noqa: B018 - sets the cookie
        self.set_header("Cache-Control", "no-store")
        self.finish(b"\n".join(own_classes.text(drawings)), set_content_type="text/csv; charset=utf-8")

    @authenticated
    async def post(self) -> None:
        """Add, rename or remove drawings."""
        lines = self.sent(own_classes.LONGEST * own_classes.MOST).splitlines()
        self.kept(own_classes.NAME, await self.work_on(own_classes.NAME, lambda path: own_classes.change(lines, path)))
