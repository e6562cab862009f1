"""Free loopback ports."""

import random
import socket


def free_server() -> socket.socket:
    """Return a server at a free loopback port below 32768, the limit of apt-cacher-ng."""
    while True:
        try:
            return socket.create_server(("127.0.0.1", random.randrange(20000, 32768)))
        except OSError:
            continue


def free_port() -> int:
    """Return a free loopback port below 32768."""
    with free_server() as server:
        return int(server.getsockname()[1])
