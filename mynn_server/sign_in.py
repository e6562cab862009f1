"""How a student signs in, and what a stranger may send."""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from jupyter_server.auth.decorator import allow_unauthenticated
from jupyter_server.auth.identity import PasswordIdentityProvider
from jupyter_server.auth.login import LoginFormHandler
from jupyter_server.serverapp import ServerWebApplication
from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPServerRequest
from tornado.iostream import IOStream
from tornado.web import HTTPError, RequestHandler, decode_signed_value

WRONG = "That is not this Pi’s password: it is on the label."
PAUSE = 2  # seconds that a wrong password costs
MOST_WAITING = 32  # passwords from one network
LARGEST_OF_STRANGERS = 64 << 10  # bytes of a request: room for a password
MOST_CONNECTIONS = 256  # from one network, which with IPv6 is the whole class; a browser opens six for a page
IDLE = 60  # seconds that a connection may ask for nothing

turns: dict[object, asyncio.Lock] = {}
waiting: Counter[object] = Counter()


def network_of(address: str) -> object:
    """Return whose turn a password from an address takes.

    A computer has one IPv4 address, and many IPv6 addresses. The Pi's own programs have all of 127.0.0.0/8.
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    ip = getattr(ip, "ipv4_mapped", None) or ip
    if ip.is_loopback:
        return "this Pi"
    return ip if ip.version == 4 else ipaddress.ip_network((ip, 64), strict=False)


def limit_connections(server: HTTPServer) -> None:
    """Let idle connections end, and no network have so many that nobody else could connect."""
    server.conn_params.header_timeout = IDLE
    open_now: Counter[object] = Counter()
    handle, end = server.handle_stream, server.on_close

    def handle_stream(stream: IOStream, address: Any) -> None:
        network = network_of(address[0])
        if open_now[network] >= MOST_CONNECTIONS:
            stream.close()
            return
        open_now[network] += 1
        handle(stream, address)

    def on_close(connection: Any) -> None:
        end(connection)
        network = network_of(connection.context.address[0])
        open_now[network] -= 1
        if not open_now[network]:
            del open_now[network]

    server.handle_stream, server.on_close = handle_stream, on_close  # type: ignore[method-assign, assignment]


class TooMany(HTTPError):
    """Too many secrets at once."""


@asynccontextmanager
async def turn(handler: RequestHandler) -> AsyncIterator[None]:
    """Wait until a network may try a secret: one at a time."""
    network = network_of(str(handler.request.remote_ip))
    if waiting[network] >= MOST_WAITING:
        raise TooMany(429, "Too many at once from your network. Try again soon.")
    waiting[network] += 1
    try:
        async with turns.setdefault(network, asyncio.Lock()):
            yield
    finally:
        waiting[network] -= 1
        if not waiting[network]:
            del waiting[network], turns[network]


class Students(PasswordIdentityProvider):
    """Takes a cookie from the network only that it was given to.

    Browsers send cookies to all ports of a computer. So a page at another port, of a neighbour on the same Pi, is sent
    a student's cookie, too; it is of no use on that Pi.
    """

    def get_cookie_name(self, handler: RequestHandler) -> str:
        """Return the cookie's name, which its signature covers."""
        network = hashlib.sha256(str(network_of(str(handler.request.remote_ip))).encode())
        return f"{super().get_cookie_name(handler)}-{network.hexdigest()[:16]}"

    def passwd_check(self, password: str) -> bool:
        """Check a password as it was typed, and then in small letters, which are all that our own consist of.

        Somebody who guesses does not get more tries by it: each costs its turn and its pause.
        """
        tries = dict.fromkeys([password, password.lower()])
        return any(super(Students, self).passwd_check(one) for one in tries)


class SignIn(LoginFormHandler):
    """Takes one password at a time from each address, and is slow with wrong ones.

    Nobody is locked out: a user who shares an address with somebody who guesses waits for a minute, others do not wait.
    """

    @allow_unauthenticated
    async def post(self) -> None:
        """Check a password when it is its turn."""
        try:
            async with turn(self):
                super().post()
                if self.get_status() == 401:
                    await asyncio.sleep(PAUSE)
        except TooMany as error:
            self.set_status(429)
            self._render({"error": str(error.log_message)})

    def _render(self, message: dict[str, str] | None = None) -> None:
        super()._render({"error": WRONG} if self.get_status() == 401 else message)


def is_signed_in(application: ServerWebApplication, request: HTTPServerRequest) -> bool:
    """Whether a request has a cookie of this server's that is still valid."""
    key = application.settings["cookie_secret"]
    valid = application.settings["identity_provider"].get_secure_cookie_kwargs
    cookies = ((name, cookie.value) for name, cookie in request.cookies.items() if name.startswith("username-"))
    return any(decode_signed_value(key, name, value, **valid) for name, value in cookies)
