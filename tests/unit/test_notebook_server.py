"""The client of a notebook server, where the server does not do as it should."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest
import websocket
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.web import Application
from tornado.websocket import WebSocketHandler

from tests.provisioned.notebook_server import Kernel


class Silent(WebSocketHandler):
    """A kernel that never answers, behind a server that pings, as Jupyter's does."""

    def on_message(self, message: str | bytes) -> None:
        """Say nothing."""


@pytest.fixture
def port() -> Iterator[int]:
    """Return the port of a server with such a kernel."""
    socket, number = bind_unused_port()
    loop, started = asyncio.new_event_loop(), threading.Event()

    async def serve() -> None:
        HTTPServer(Application([("/", Silent)], websocket_ping_interval=0.1)).add_socket(socket)
        started.set()

    def run() -> None:
        loop.run_until_complete(serve())
        loop.run_forever()

    thread = threading.Thread(target=run)
    thread.start()
    started.wait()
    yield number
    loop.call_soon_threadsafe(loop.stop)
    thread.join()


def test_a_kernel_that_does_not_answer_is_given_up(port: int) -> None:
    """Although the server's pings go on coming."""
    kernel = Kernel("silent", websocket.create_connection(f"ws://127.0.0.1:{port}/", timeout=60))
    with pytest.raises(TimeoutError, match="was not done after 1 s"):
        kernel.run("1 + 1", seconds=1)
