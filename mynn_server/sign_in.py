"""Sign-in to Jupyter: identity provider, login handler, and limits on connections."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from typing import Any

from jupyter_server.auth.decorator import allow_unauthenticated
from jupyter_server.auth.identity import PasswordIdentityProvider
from jupyter_server.auth.login import LoginFormHandler
from jupyter_server.serverapp import ServerWebApplication
from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPServerRequest
from tornado.iostream import IOStream
from tornado.web import RequestHandler, decode_signed_value

from mynn.translation import N_, _, language
from mynn_server.rate_limit import PAUSE, TooManyError, network_of, rate_limited, spellings

WRONG = N_("That is not the password of {name}: it is on the label.")
LARGEST_OF_STRANGERS = 64 << 10  # bytes of a request before sign-in: room for a password
MOST_CONNECTIONS = 256  # per network, which with IPv6 is the whole class; a browser opens six for a page
IDLE = 60  # seconds until a connection without a request is closed


def limit_connections(server: HTTPServer) -> None:
    """Close idle connections, and limit those of each network, so that others can still connect."""
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


class Students(PasswordIdentityProvider):
    """Identity provider that accepts a cookie only from the network to which it was issued.

    Browsers send cookies to all ports of a host. So the server of another student on the same Pi receives this cookie,
    too, but cannot use it from that Pi.
    """

    def get_cookie_name(self, handler: RequestHandler) -> str:
        """Return the cookie's name, which its signature covers."""
        network = hashlib.sha256(str(network_of(str(handler.request.remote_ip))).encode())
        return f"{super().get_cookie_name(handler)}-{network.hexdigest()[:16]}"

    def passwd_check(self, password: str) -> bool:
        """Check a password, also in small letters."""
        return any(super(Students, self).passwd_check(one) for one in spellings(password))


class SignIn(LoginFormHandler):
    """Login handler: one password at a time per network, with a delay after a wrong one."""

    @allow_unauthenticated
    async def post(self) -> None:
        """Check a password once the rate limit allows."""
        try:
            async with rate_limited(str(self.request.remote_ip)):
                super().post()
                if self.get_status() == 401:
                    await asyncio.sleep(PAUSE)
        except TooManyError as error:
            self.set_status(429)
            self._render({"error": str(error)})

    def _redirect_safe(self, url: str, default: str | None = None) -> None:
        try:
            super()._redirect_safe(url, default)
        except ValueError:  # not an address, or one with a line break
            self.redirect(self.base_url)

    def get_template(self, name: str) -> Any:
        """Return a template in the current language, if there is one, else in English."""
        return self.settings["jinja2_env"].select_template([f"{language()}/{name}", name])

    def _render(self, message: dict[str, str] | None = None) -> None:
        name = self.jinja_template_vars["student"] or self.jinja_template_vars["pi"]
        super()._render({"error": _(WRONG).format(name=name)} if self.get_status() == 401 else message)


def is_signed_in(application: ServerWebApplication, request: HTTPServerRequest) -> bool:
    """Return whether a request has a valid cookie from this server."""
    key = application.settings["cookie_secret"]
    valid = application.settings["identity_provider"].get_secure_cookie_kwargs
    cookies = ((name, cookie.value) for name, cookie in request.cookies.items() if name.startswith("username-"))
    return any(decode_signed_value(key, name, value, **valid) for name, value in cookies)
