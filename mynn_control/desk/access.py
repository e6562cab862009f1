"""Access control of the desk: only browsers on this computer, or on the network with the password, can use it.

Other sites' pages are refused. A computer that floods, lies or hangs harms only itself.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import socket
import time
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import argon2
import h11
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request, cookie_parser
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from mynn_control.render import render
from mynn_control.translation import N_, _
from mynn_server.rate_limit import PAUSE, TooManyError, network_of, rate_limited, spellings

COOKIE = "desk"
DAY = 24 * 60 * 60  # seconds that a session lasts
MOST_SESSIONS = 100
MOST_CONNECTIONS, MOST_OF_ALL = 32, 500  # per computer (a browser opens six), and in total
IDLE = 20  # seconds for a whole request to arrive; in an upload, for its next chunk
RESTORE, HANDOUT = "/restore", "/handout/"  # paths for uploads: of a backup, and of files to hand out
PUBLIC = ("/static/", "/sign-in")  # prefixes of paths that need no password
WRONG = N_("That is not the desk’s password. It is in this-pi.txt on its card, and on a screen connected to it.")
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
# The form works without JavaScript. Under no-referrer, browsers would send it with "Origin: null".
SIGN_IN = {
    "Content-Security-Policy": HEADERS["Content-Security-Policy"].replace("form-action 'none'", "form-action 'self'"),
    "Referrer-Policy": "same-origin",
}


@dataclass
class NetworkSettings:
    """Settings and sessions of a desk on the network. hashed: argon2 hash of its password.

    names: its host names. certificate: a file with the certificate and its key, for HTTPS. address: IPv4 address to
    listen on; IPv6 would make the class one computer for all limits. clock: file for the browser's time at
    sign-in, in seconds since 1970, because a desk's card has no clock (roles/desk).
    """

    hashed: str
    names: frozenset[str]
    certificate: Path | None = None
    address: str = "0.0.0.0"
    clock: Path | None = None
    _sessions: dict[str, float] = field(default_factory=dict)  # session token → expiry time
    _one: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def check_password(self, password: str) -> bool:
        """Return whether this is the password. One check at a time, because each takes 19 MiB and a processor."""
        for one in spellings(password):
            with suppress(argon2.exceptions.Argon2Error):
                async with self._one:
                    return await run_in_threadpool(argon2.PasswordHasher().verify, self.hashed, one)
        return False

    def new_session(self) -> str:
        """Begin a session, and return its token for the cookie. Above MOST_SESSIONS, the oldest one ends."""
        new, now = secrets.token_urlsafe(32), time.monotonic()
        kept = [(token, until) for token, until in self._sessions.items() if until > now]
        self._sessions = dict([*kept[1 - MOST_SESSIONS :], (new, now + DAY)])
        return new

    def has_session(self, cookies: str) -> bool:
        """Return whether these cookies contain the token of an open session."""
        return self._sessions.get(cookie_parser(cookies).get(COOKIE, ""), 0) > time.monotonic()

    async def sign_in(self, request: Request) -> Response:
        """Begin a session if the password is right. Delay the answer if it is wrong."""
        given = dict(parse_qsl((await request.body()).decode(errors="replace")))
        assert request.client
        try:
            async with rate_limited(request.client.host):
                if not await self.check_password(given.get("password", "")):
                    await asyncio.sleep(PAUSE)
                    return sign_in_page(_(WRONG))
        except TooManyError as error:
            return sign_in_page(str(error), HTTPStatus.TOO_MANY_REQUESTS)
        if self.clock and re.fullmatch("[0-9]{10}", given.get("now", "")):
            self.clock.write_text(given["now"])
        answer = RedirectResponse("/", HTTPStatus.SEE_OTHER)
        secure = request.url.scheme == "https"
        answer.set_cookie(COOKIE, self.new_session(), DAY, httponly=True, samesite="strict", secure=secure)
        return answer

    async def sign_out(self, request: Request) -> Response:
        """End a session."""
        self._sessions.pop(request.cookies.get(COOKIE, ""), None)
        return sign_in_page("")


def sign_in_page(wrong: str = "", status: int = HTTPStatus.UNAUTHORIZED) -> Response:
    """Return the sign-in page. wrong: the error message, if any."""
    return HTMLResponse(render("sign_in", {"wrong": wrong}), status, SIGN_IN)


class AccessControl:
    """ASGI middleware: refuses foreign host names (DNS rebinding), other sites (CSRF), and all without a session."""

    def __init__(self, app: ASGIApp, names: frozenset[str], network: NetworkSettings | None) -> None:
        self.app, self.names, self.network = app, names, network

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it. Adds HEADERS to the response."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        asked = Headers(scope=scope)
        app, network = self.app, self.network
        if not self._is_own(scope, asked):
            app = PlainTextResponse("This is not for you.", HTTPStatus.FORBIDDEN)
        elif network and network.certificate and scope["scheme"] == "http":
            app = RedirectResponse(f"https://{asked['host'].partition(':')[0]}")
        elif network and not (network.has_session(asked.get("cookie", "")) or scope["path"].startswith(PUBLIC)):
            app = sign_in_page()
        await app(scope, receive, send_with_headers)

    def _is_own(self, scope: Scope, asked: Headers) -> bool:
        """Return whether a request's Host is this computer, and its origin one of the desk's own pages."""
        address, port = scope["server"]
        usual = {"http": 80, "https": 443}[scope["scheme"]]
        hosts = {name if port == usual else f"{name}:{port}" for name in (*self.names, address)}
        host = asked.get("host")
        # Another site may link to the start page, but not load or download anything.
        reads = scope["path"] == "/" or asked.get("sec-fetch-site", "none") in ("none", "same-origin")
        reads = reads and scope["method"] in ("GET", "HEAD")
        return host in hosts and (reads or asked.get("origin") == f"{scope['scheme']}://{host}")


class LimitedSocket(socket.socket):
    """Listening socket that limits the connections per computer.

    uvicorn could limit them only after the TLS handshake, but asyncio takes 256 KiB for each from the start.
    """

    def __init__(self, listening: socket.socket) -> None:
        super().__init__(fileno=listening.detach())
        self.accepted: list[tuple[object, socket.socket]] = []

    def accept(self) -> tuple[socket.socket, Any]:
        """Accept a connection. ConnectionAbortedError, which asyncio handles: there are too many."""
        connection, address = super().accept()
        network = network_of(address[0])
        self.accepted = [(whose, one) for whose, one in self.accepted if one.fileno() >= 0]
        others = [whose for whose, _one in self.accepted]
        if others.count(network) >= MOST_CONNECTIONS or len(others) >= MOST_OF_ALL:
            connection.close()
            raise ConnectionAbortedError
        self.accepted.append((network, connection))
        return connection, address


class HttpConnection(H11Protocol):
    """HTTP connection that is aborted if no whole request arrives in time."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the deadline for the first request."""
        super().connection_made(transport)
        self.deadline: asyncio.TimerHandle | None = None
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Process received data, and update the deadline."""
        super().data_received(data)
        self._watch()

    def _watch(self) -> None:
        """Set a deadline until a request is complete. Each chunk of an upload renews it."""
        long = self.conn.their_state is h11.SEND_BODY and self.scope["path"].startswith((RESTORE, HANDOUT))
        comes = self.conn.their_state in (h11.IDLE, h11.SEND_BODY)
        if self.deadline and (long or not comes):
            self.deadline.cancel()
            self.deadline = None
        if comes and not self.deadline:
            self.deadline = self.loop.call_later(IDLE, self.transport.abort)
