"""Where apt-cacher-ng may fetch from: it reaches the network through here alone.

Its own settings say which mirrors are asked. They do not say where a mirror may redirect to, and it follows that, which
Raspberry Pi OS needs: its mirror sends each request on to one nearby. So the address itself is looked at here.
"""

from __future__ import annotations

import ipaddress
import random
import socket
import socketserver
from collections.abc import Iterable
from contextlib import suppress
from itertools import takewhile
from urllib.parse import urlsplit

from mirrors import Mirror

MOST_HEAD = 65536  # bytes of a request
SECONDS = 30


def is_allowed(address: str, asked: Mirror, mirrors: Iterable[Mirror]) -> bool:
    """Tell whether an address may be asked: a mirror's, or any on the Internet.

    A mirror may be in the school's own network; on this computer only if it is named so.
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    ip = getattr(ip, "ipv4_mapped", None) or ip
    if asked in mirrors:
        return not (ip.is_loopback or ip.is_unspecified) or asked.host in ("localhost", str(ip))
    return asked.port == 80 and ip.is_global and not ip.is_multicast


def connect(asked: Mirror, mirrors: Iterable[Mirror]) -> socket.socket:
    """Return a connection to it. PermissionError: it may not be asked; OSError: it does not answer."""
    found = socket.getaddrinfo(asked.host, asked.port, type=socket.SOCK_STREAM)
    addresses = [address for address in (str(info[4][0]) for info in found) if is_allowed(address, asked, mirrors)]
    if not addresses:
        raise PermissionError(f"{asked} is no mirror")
    failure = OSError()
    for address in addresses:
        try:
            return socket.create_connection((address, asked.port), timeout=SECONDS)
        except OSError as error:
            failure = error
    raise failure


class Request(socketserver.StreamRequestHandler):
    """One request, handed on with its answer as they are, but that the connection ends with it."""

    timeout = SECONDS
    disable_nagle_algorithm = True  # else an answer's body waits 40 ms for the receipt of its head
    server: Proxy

    def handle(self) -> None:
        """Hand it on, or refuse."""
        lines = [line.decode("latin-1") for line in takewhile(bytes.strip, iter(self.read_line, b""))]
        try:
            mirror = self.sent(lines)
        except (PermissionError, IndexError, ValueError):
            self.refuse("403 Not a mirror")
        except OSError:
            self.refuse("504 No answer")
        else:
            with mirror, suppress(OSError):  # an answer that breaks off is too short, which apt-cacher-ng sees
                while part := mirror.recv(65536):
                    self.wfile.write(part)

    def sent(self, lines: list[str]) -> socket.socket:
        """Return the connection to the mirror that was sent the request."""
        method, address, _ = lines[0].split()
        url = urlsplit(address)
        if method not in ("GET", "HEAD") or url.scheme != "http" or not url.hostname:
            raise PermissionError("only GET and HEAD over HTTP")
        mirror = connect(Mirror(url.hostname, url.port or 80), self.server.mirrors)
        path = address.partition("://")[2].partition("/")[2]
        kept = [line for line in lines[1:] if not line.lower().startswith(("connection:", "proxy-"))]
        head = [f"{method} /{path} HTTP/1.1\r\n", *kept, "Connection: close\r\n", "\r\n"]
        mirror.sendall("".join(head).encode("latin-1"))
        return mirror

    def refuse(self, status: str) -> None:
        """Answer without a body."""
        self.wfile.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode("ascii"))

    def read_line(self) -> bytes:
        """Return the next line of the request."""
        return self.rfile.readline(MOST_HEAD)


class Proxy(socketserver.ThreadingTCPServer):
    """Takes requests at a free port of the loopback, while it is served."""

    daemon_threads = True

    def __init__(self, mirrors: Iterable[Mirror]) -> None:
        super().__init__(("127.0.0.1", 0), Request)
        self.mirrors = frozenset(mirrors)

    def server_bind(self) -> None:
        """Take a port that apt-cacher-ng knows: one below 32768."""
        while True:
            self.server_address = ("127.0.0.1", random.randrange(20000, 32768))
            with suppress(OSError):
                super().server_bind()
                return

    @property
    def port(self) -> int:
        """The port."""
        return int(self.server_address[1])
