"""The proxy through which alone apt-cacher-ng reaches the network.

apt-cacher-ng's own settings limit the mirrors, but not the redirects that it follows. Raspberry Pi OS needs these: its
mirror redirects each request to one nearby. So each address is checked here.
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
    """Return whether an address may be contacted: a mirror's, or any on the Internet.

    A mirror may be on the school's own network, and on this computer only if it is named by a loopback address.
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    ip = getattr(ip, "ipv4_mapped", None) or ip
    if asked in mirrors:
        return not (ip.is_loopback or ip.is_unspecified) or asked.host in ("localhost", str(ip))
    return asked.port == 80 and ip.is_global and not ip.is_multicast


def connect(asked: Mirror, mirrors: Iterable[Mirror]) -> socket.socket:
    """Return a connection to a mirror. PermissionError: this is not allowed. OSError: it does not answer."""
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
    """One request, forwarded unchanged like its answer, except that the connection ends with it."""

    timeout = SECONDS
    disable_nagle_algorithm = True  # else an answer's body waits 40 ms for the ACK of its head
    server: Proxy

    def handle(self) -> None:
        """Forward or refuse the request."""
        lines = [line.decode("latin-1") for line in takewhile(bytes.strip, iter(self.read_line, b""))]
        try:
            mirror = self.sent(lines)
        except (PermissionError, IndexError, ValueError):
            self.refuse("403 Not a mirror")
        except OSError:
            self.refuse("504 No answer")
        else:
            with mirror, suppress(OSError):  # apt-cacher-ng notices an answer that is cut short
                while part := mirror.recv(65536):
                    self.wfile.write(part)

    def sent(self, lines: list[str]) -> socket.socket:
        """Send the request to the mirror. Returns the connection."""
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
    """Serves on a free loopback port."""

    daemon_threads = True

    def __init__(self, mirrors: Iterable[Mirror]) -> None:
        super().__init__(("127.0.0.1", 0), Request)
        self.mirrors = frozenset(mirrors)

    def server_bind(self) -> None:
        """Bind a free port below 32768, the limit of apt-cacher-ng."""
        while True:
            self.server_address = ("127.0.0.1", random.randrange(20000, 32768))
            with suppress(OSError):
                super().server_bind()
                return

    @property
    def port(self) -> int:
        """The port."""
        return int(self.server_address[1])
