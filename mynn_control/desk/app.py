"""The desk's web application: for this computer only, and for its own pages only."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from http import HTTPStatus
from pathlib import Path
from urllib.parse import parse_qsl

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mynn_control.desk.pages import AskPasswordError, Desk, Form
from mynn_control.labels import PAPERS

HOST = "127.0.0.1"  # nobody else's computer can open the pages
PORT = 8900
LARGEST = 1 << 16  # bytes of a request from a page, such as one with all seats' names
PAUSE = 0.3  # seconds between looks for news
QUIET = 15  # seconds after which a browser that has gone is noticed
Endpoint = Callable[[Request], Awaitable[Response]]
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
# The sheets of labels hold their own style.
LABELS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
}


class Doors:
    """Refuses another name for this computer, which a site could point here, and another site's requests."""

    def __init__(self, app: ASGIApp, port: int) -> None:
        self.app = app
        self.hosts = {f"{host}:{port}" for host in (HOST, "localhost")}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        asked = Headers(scope=scope)
        own = asked.get("host") in self.hosts
        if scope["method"] not in ("GET", "HEAD"):
            own &= asked.get("origin") == f"http://{asked.get('host')}"
        app = self.app if own else PlainTextResponse("This is not for you.", HTTPStatus.FORBIDDEN)
        await app(scope, receive, send_with_headers)


class Server:
    """Serves a desk, in a thread of its own."""

    def __init__(self, desk: Desk, port: int = PORT) -> None:
        self.desk = desk
        self.socket = listening(port)
        self.port: int = self.socket.getsockname()[1]
        self.url = f"http://{HOST}:{self.port}"
        options = uvicorn.Config(
            self._app(), ws="none", lifespan="off", log_config=None, access_log=False, server_header=False
        )
        self.server = uvicorn.Server(options)
        self.thread = threading.Thread(target=self.server.run, args=([self.socket],), daemon=True)

    def __enter__(self) -> Server:
        """Begin."""
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End, also what pages wait for."""
        self.server.should_exit = True
        self.thread.join(10)

    def _app(self) -> Starlette:
        pages = {"/": "class", "/wall": "wall", "/wall/full": "full", "/tasks": "tasks", "/work": "work", "/pis": "pis"}
        pages |= {"/settings": "settings", "/names": "names"}
        routes = [
            *(Route(path, self._page(tab)) for path, tab in pages.items()),
            Route("/tasks.csv", self._table),
            *(Route(f"/labels/{paper.name}", self._labels(paper.name)) for paper in PAPERS),
            *(Route(f"/events/{tab}", self._events(tab)) for tab in pages.values()),
            *(Route(path, self._form(take), methods=["POST"]) for path, take in self.desk.forms.items()),
            Route("/stop", self._stop, methods=["POST"]),
            Route("/names", self._form(self.desk.name), methods=["POST"]),
            Route("/names/delete", self._form(lambda _: self.desk.forget_names()), methods=["POST"]),
            *(Route(f"/wall/{name}", self._press(name), methods=["POST"]) for name in self.desk.buttons),
            Mount("/static", StaticFiles(directory=Path(__file__).parent / "static")),
        ]
        return Starlette(routes=routes, middleware=[Middleware(Doors, port=self.port)], max_body_size=LARGEST)

    def _page(self, tab: str) -> Endpoint:
        async def page(_: Request) -> Response:
            return HTMLResponse(self.desk.page(tab))

        return page

    async def _table(self, _: Request) -> Response:
        return Response(self.desk.table, media_type="text/csv")

    def _labels(self, paper: str) -> Endpoint:
        async def labels(_: Request) -> Response:
            path = self.desk.labels / f"labels-{paper}.html"
            there = path.is_file()
            return FileResponse(path, headers=LABELS) if there else PlainTextResponse("There are no labels yet.", 404)

        return labels

    async def _stop(self, _: Request) -> Response:
        await run_in_threadpool(self.desk.stop)
        return PlainTextResponse("")

    def _form(self, take: Form) -> Endpoint:
        """Hand over what a form says; the answer is why it was not done, or nothing."""

        async def form(request: Request) -> Response:
            given = dict(parse_qsl((await request.body()).decode(errors="replace"), keep_blank_values=True))
            try:
                wrong = await run_in_threadpool(take, given)
            except AskPasswordError as question:
                return PlainTextResponse(str(question), HTTPStatus.PRECONDITION_REQUIRED)
            return PlainTextResponse(wrong, HTTPStatus.CONFLICT if wrong else HTTPStatus.OK)

        return form

    def _press(self, name: str) -> Endpoint:
        async def press(request: Request) -> Response:
            place = (await request.body()).decode(errors="replace")
            done = await run_in_threadpool(self.desk.press, name, place)
            return PlainTextResponse("" if done else "There is nobody of that name.", 200 if done else 404)

        return press

    def _events(self, tab: str) -> Endpoint:
        """Tell a page whenever something is new; the first time at once."""

        async def lines() -> AsyncIterator[str]:
            known, quiet = -1, 0.0
            while not self.server.should_exit:
                if known != self.desk.versions[tab] or quiet >= QUIET:
                    known, quiet = self.desk.versions[tab], 0.0
                    yield f"data: {known}\n\n"
                await asyncio.sleep(PAUSE)
                quiet += PAUSE

        async def events(_: Request) -> Response:
            return StreamingResponse(lines(), media_type="text/event-stream")

        return events


def listening(port: int) -> socket.socket:
    """Return a socket at the port, or at another one if that is in use."""
    try:
        return socket.create_server((HOST, port))
    except OSError:
        print(f"Port {port} of this computer is in use, so the desk takes another.")
        return socket.create_server((HOST, 0))
