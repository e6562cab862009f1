"""Starlette app of the desk. Access control is in access.py."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import IO
from urllib.parse import parse_qsl

import uvicorn
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from mynn.files import replacing
from mynn_control import class_report
from mynn_control.desk import backup, work
from mynn_control.desk.access import (
    HANDOUT,
    HEADERS,
    RESTORE,
    AccessControl,
    HttpConnection,
    LimitedSocket,
    NetworkSettings,
)
from mynn_control.desk.look import MissingError
from mynn_control.desk.pages import AskPasswordError, Desk, Form
from mynn_control.labels import PAPERS
from mynn_control.translation import _

HOST = "127.0.0.1"  # other computers cannot reach it
PORT = 8900
LARGEST, LARGEST_SIGN_IN = 1 << 16, 4096  # bytes per request: from a page, such as all names; to sign in
PAUSE = 0.3  # seconds between checks for a new version of a page
QUIET = 15  # seconds without an event, after which one is sent: this detects a closed browser
Endpoint = Callable[[Request], Awaitable[Response]]
# The sheets of labels have inline CSS.
LABELS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
}
POLICY = "Content-Security-Policy"
FRAME = {POLICY: f"{HEADERS[POLICY]}; frame-src 'self'"}  # of a page that shows a pupil's notebook
# What a pupil wrote can run nothing, load nothing, and go nowhere.
NOTEBOOK = {
    POLICY: "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox; frame-ancestors 'self'; "
    "form-action 'none'; base-uri 'none'"
}


class Server:
    """uvicorn servers in threads. With a certificate, systemd's first socket (HTTP) redirects to the second (HTTPS)."""

    def __init__(self, desk: Desk, port: int = PORT, network: NetworkSettings | None = None) -> None:
        self.desk, self.network = desk, network
        certificate = network.certificate if network else None
        sockets = listening(port, network.address if network else HOST)[: 2 if certificate else 1]
        host, self.port = sockets[-1].getsockname()
        self.url = f"http{'s' if certificate else ''}://{host}:{self.port}"
        app, self.servers, self.threads = self._app(), [], []
        sockets = [LimitedSocket(one) for one in sockets] if network else sockets
        for one in sockets:
            pem = certificate if one is sockets[-1] else None
            options = uvicorn.Config(
                app,
                http=HttpConnection if network else "auto",
                ssl_certfile=pem,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
            )
            self.servers.append(uvicorn.Server(options))
            self.threads.append(threading.Thread(target=self.servers[-1].run, args=([one],), daemon=True))

    def __enter__(self) -> Server:
        """Start the threads."""
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the servers and their event streams."""
        for server in self.servers:
            server.should_exit = True
        for thread in self.threads:
            thread.join(10)

    def _app(self) -> Starlette:
        pages = {"/": "class", "/wall": "wall", "/wall/full": "full", "/tasks": "tasks", "/work": "work", "/pis": "pis"}
        pages |= {"/settings": "settings", "/names": "names", "/backup": "backup"}
        routes = [
            *(Route(path, self._page(tab)) for path, tab in pages.items()),
            Route("/look", self._on_request(self.desk.look_at, FRAME)),
            Route("/look/notebook", self._on_request(self.desk.notebook, NOTEBOOK)),
            Route("/task", self._on_request(partial(self.desk.look_at, task=True), HEADERS)),
            Route("/tasks.csv", self._table),
            Route("/class-report.json", self._report),
            *(Route(f"/labels/{paper.name}", self._labels(paper.name)) for paper in PAPERS),
            *(Route(f"/events/{tab}", self._events(tab)) for tab in (*pages.values(), "look")),
            Route("/backup/now", self._backup),
            Route("/work/{date}/{pi}.zip", self._collection),
            self._post_route(f"{HANDOUT}{{name}}", self._handout, work.LARGEST),
            *(self._post_route(path, self._form(action)) for path, action in self.desk.forms.items()),
            Mount("/static", StaticFiles(directory=Path(__file__).parent / "static")),
        ]
        if network := self.network:
            routes += [
                self._post_route("/sign-in", network.sign_in, LARGEST_SIGN_IN),
                self._post_route("/sign-out", network.sign_out),
            ]
            routes += [self._post_route(RESTORE, self._restore, backup.LARGEST)]
        names = network.names if network else frozenset({"localhost"})
        return Starlette(routes=routes, middleware=[Middleware(AccessControl, names=names, network=network)])

    @staticmethod
    def _post_route(path: str, endpoint: Endpoint, largest: int = LARGEST) -> Route:
        return Route(path, endpoint, methods=["POST"], max_body_size=largest)

    def _page(self, tab: str) -> Endpoint:
        async def page(_request: Request) -> Response:
            return HTMLResponse(self.desk.page(tab))

        return page

    @staticmethod
    def _on_request(draw: Callable[[Mapping[str, str]], str], headers: Mapping[str, str]) -> Endpoint:
        """Return a page that is drawn when it is asked for, from its query."""

        async def page(request: Request) -> Response:
            try:
                html = await run_in_threadpool(draw, dict(request.query_params))
            except MissingError as error:
                return PlainTextResponse(str(error), HTTPStatus.NOT_FOUND)
            return HTMLResponse(html.encode(errors="replace"), headers=headers)

        return page

    async def _table(self, _request: Request) -> Response:
        return Response(self.desk.table, media_type="text/csv")

    async def _report(self, _request: Request) -> Response:
        made = await run_in_threadpool(lambda: class_report.report(self.desk.database.pis()))
        return Response(made, media_type="application/json")

    def _labels(self, paper: str) -> Endpoint:
        async def labels(_request: Request) -> Response:
            path = self.desk.labels / f"labels-{paper}.html"
            if not path.is_file():
                return PlainTextResponse(_("There are no labels yet."), 404)
            return FileResponse(path, headers=LABELS)

        return labels

    async def _backup(self, _request: Request) -> Response:
        made = await run_in_threadpool(backup.create, self.desk.backup_files)
        return _download(made, time.strftime("mynn-pi-%Y-%m-%d.tar.gz"))

    async def _collection(self, request: Request) -> Response:
        date, pi = (request.path_params[name] for name in ("date", "pi"))
        if f"{date}/{pi}" not in work.collected(self.desk.work):
            return PlainTextResponse(_("There is no such collection."), 404)
        made = await run_in_threadpool(work.packed, self.desk.work, f"{date}/{pi}")
        return _download(made, f"{pi} {date}.zip")

    async def _handout(self, request: Request) -> Response:
        """Store an uploaded file for handing out."""
        try:
            with replacing(work.handout(self.desk.folder, request.path_params["name"])) as file:
                await _receive(request, file)
        except ValueError as error:
            return PlainTextResponse(str(error), HTTPStatus.CONFLICT)
        await run_in_threadpool(self.desk.redraw)
        return PlainTextResponse("")

    async def _restore(self, request: Request) -> Response:
        """Store an uploaded backup, and end the desk. Its service restarts it, and the backup is then restored."""
        if busy := self.desk.busy:
            return PlainTextResponse(busy, HTTPStatus.CONFLICT)
        try:
            with replacing(self.desk.backup_files.uploaded, 0o600) as file:
                await _receive(request, file)
                file.seek(0)
                await run_in_threadpool(backup.check, file)
        except backup.BackupError as error:
            return PlainTextResponse(str(error), HTTPStatus.CONFLICT)
        return PlainTextResponse("", background=BackgroundTask(os.kill, os.getpid(), signal.SIGTERM))

    def _form(self, action: Form) -> Endpoint:
        """Pass a form's fields to a function. The response is the error message, or empty."""

        async def form(request: Request) -> Response:
            given: dict[str, str] = {}
            for name, value in parse_qsl((await request.body()).decode(errors="replace"), keep_blank_values=True):
                given[name] = f"{given[name]},{value}" if name in given else value
            try:
                wrong = await run_in_threadpool(action, given)
            except AskPasswordError as question:
                return PlainTextResponse(str(question), HTTPStatus.PRECONDITION_REQUIRED)
            return PlainTextResponse(wrong, HTTPStatus.CONFLICT if wrong else HTTPStatus.OK)

        return form

    def _events(self, tab: str) -> Endpoint:
        """Stream a page's version as server-sent events: at once, and at each change."""

        async def lines() -> AsyncIterator[str]:
            known, quiet = -1, 0.0
            while not self.servers[-1].should_exit:
                if known != self.desk.versions[tab] or quiet >= QUIET:
                    known, quiet = self.desk.versions[tab], 0.0
                    yield f"data: {known}\n\n"
                await asyncio.sleep(PAUSE)
                quiet += PAUSE

        async def events(_request: Request) -> Response:
            await run_in_threadpool(self.desk.look, tab)
            return StreamingResponse(lines(), media_type="text/event-stream")

        return events


async def _receive(request: Request, file: IO[bytes]) -> None:
    """Write a request's body into a file."""
    async for chunk in request.stream():
        await run_in_threadpool(file.write, chunk)


def _download(made: Path, name: str) -> Response:
    """Send a file as a download, and delete it afterwards."""
    return FileResponse(made, filename=name, background=BackgroundTask(made.unlink))


def listening(port: int, address: str) -> list[socket.socket]:
    """Return systemd's sockets, or else one at this port, or at a free port if it is in use."""
    if given := os.environ.pop("LISTEN_FDS", ""):
        return [socket.socket(fileno=3 + number) for number in range(int(given))]
    try:
        return [socket.create_server((address, port))]
    except OSError:
        print(f"Port {port} of this computer is in use, so the desk takes another.")
        return [socket.create_server((address, 0))]
