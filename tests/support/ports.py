"""Ports of the loopback that nobody has."""

from __future__ import annotations

import random
import socket


def free_server() -> socket.socket:
    """Return a server at a port of the loopback that apt-cacher-ng can have too: it knows those below 32768."""
    while True:
        try:
            return socket.create_server(("127.0.0.1", random.randrange(20000, 32768)))
        except OSError:
            continue


def free_port() -> int:
    """Return such a port; nobody has it yet."""
    with free_server() as server:
        return int(server.getsockname()[1])
