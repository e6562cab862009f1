"""How a student signs in, and what a stranger may send."""

from __future__ import annotations

import asyncio
import ipaddress
from collections import Counter

from jupyter_server.auth.decorator import allow_unauthenticated
from jupyter_server.auth.login import LoginFormHandler
from jupyter_server.serverapp import ServerWebApplication
from tornado.httputil import HTTPServerRequest
from tornado.web import decode_signed_value

PAUSE = 2  # seconds that a wrong password costs
MOST_WAITING = 32  # passwords from one network
LARGEST_OF_STRANGERS = 64 << 10  # bytes of a request: room for a password

turns: dict[object, asyncio.Lock] = {}
waiting: Counter[object] = Counter()


def network_of(address: str) -> object:
    """Return whose turn a password from an address takes: a computer has one IPv4 address, and many IPv6 addresses."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if ip.version == 4:
        return ip
    return ip.ipv4_mapped or ipaddress.ip_network((ip, 64), strict=False)


class SignIn(LoginFormHandler):
    """Takes one password at a time from each address, and is slow with wrong ones.

    Nobody is locked out: a user who shares an address with somebody who guesses waits for a minute, others do not wait.
    """

    @allow_unauthenticated
    async def post(self) -> None:
        """Check a password when it is its turn."""
        network = network_of(str(self.request.remote_ip))
        if waiting[network] >= MOST_WAITING:
            self.set_status(429)
            self._render(message={"error": "Too many passwords at once from your network. Try again soon."})
            return
        waiting[network] += 1
        try:
            async with turns.setdefault(network, asyncio.Lock()):
                super().post()
                if self.get_status() == 401:
                    await asyncio.sleep(PAUSE)
        finally:
            waiting[network] -= 1
            if not waiting[network]:
                del waiting[network], turns[network]


def is_signed_in(application: ServerWebApplication, request: HTTPServerRequest) -> bool:
    """Whether a request has a cookie of this server's."""
    key = application.settings["cookie_secret"]
    cookies = ((name, cookie.value) for name, cookie in request.cookies.items() if name.startswith("username-"))
    return any(decode_signed_value(key, name, value) for name, value in cookies)
