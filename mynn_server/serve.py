"""Run the notebook server, with a progress page while it loads: `python -I -m mynn_server.serve PORT`.

A Pi Zero takes seconds to load Jupyter. This program listens first, so that a student sees at once that the Pi is on,
and no student's program can take the port. Until Jupyter answers, browsers get a page that reloads itself, and the
files of /try/, which needs no notebook server. All other requests, and all encrypted ones, wait for the server.

With several students, each server gets its socket from systemd, and PORT is not used.
"""

from __future__ import annotations

import gc
import importlib.machinery
import importlib.util
import os
import select
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from mynn.translation import N_, _, language
from mynn_server import try_files
from mynn_server.language import recall

# Modules that are loaded once the server answers. Progress is the share of them that is loaded.
MODULES = 700
# Jupyter's imports that a Pi does not use, a sixth of the time (under Debian 12, three quarters). LATER: loaded at
# first use. WITHOUT: optional packages, with which jsonschema would check formats in Jupyter's own schemas.
LATER = ("requests", "websocket")
WITHOUT = ("fqdn", "isoduration", "rfc3986_validator", "rfc3987_syntax", "uri_template", "webcolors")
MOST_CONNECTIONS = 128  # waiting and being answered
HEAD = 8192  # bytes of a request that are inspected
HEADERS = """HTTP/1.1 503 Service Unavailable\r
Content-Type: text/html; charset=utf-8\r
Content-Length: %d\r
Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'\r
Cache-Control: no-store\r
Retry-After: %d\r
Connection: close\r
\r
"""
PAGE = """<!DOCTYPE html>
<html lang="%s">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<meta http-equiv="refresh" content="3">
<title>%s</title>
<style>
  body { font: 1.125rem/1.5 system-ui, sans-serif; max-width: 34rem; margin: 20vh auto; padding: 0 1.5rem }
  h1 { font-size: 1.75rem }
  progress { width: 100%%; height: 1rem }
</style>
<h1>%s</h1>
<progress value="%d" max="100"></progress>
<p>%s
<p>%s
</html>
"""
TITLE, HEADING = N_("Starting"), N_("Your Pi is starting")
READY = N_("It is ready in about {count} seconds. This page reloads by itself.")
MEANWHILE = N_('<a href="/try/">Try it</a> meanwhile: draw a digit, and a network in your own browser reads it.')


def is_for_a_page(head: bytes) -> bool:
    """Return whether a browser requests a page, as opposed to a part of a page or a program's request."""
    return head.startswith(b"GET ") and b"\r\naccept: text/html" in head.lower() and b"\r\n\r\n" in head


class Starting:
    """Small HTTP server in a thread, which answers until Jupyter does."""

    def __init__(self, listening: socket.socket) -> None:
        self.listening = listening
        self.began = time.monotonic()
        self.has_been_asked = False
        self.waiting: dict[socket.socket, Any] = {}  # by connection: its address
        self.sending: set[socket.socket] = set()  # connections that are being sent a file
        self.reading, self.writing = os.pipe()
        self.thread = threading.Thread(target=self.answer, daemon=True)  # so it ends if the program fails
        self.thread.start()

    def answer(self) -> None:
        """Answer until `end` is called."""
        new: set[socket.socket] = set()  # connections that have sent nothing yet
        while True:
            room = [self.listening] if len(self.waiting) + len(self.sending) < MOST_CONNECTIONS else []
            waiting: list[Any] = [self.reading, *room, *new]
            ready, _free, _failed = select.select(waiting, [], [], None if room else 1)
            if self.reading in ready:
                return
            for one in ready:
                if one is self.listening:
                    with suppress(OSError):  # the client has gone
                        connection, address = one.accept()
                        connection.setblocking(False)
                        self.waiting[connection] = address
                        new.add(connection)
                else:
                    new.remove(one)
                    self.look_at(one)

    def look_at(self, connection: socket.socket) -> None:
        """Answer a request for a page, close an abandoned connection, and let any other wait."""
        with suppress(OSError):
            head = connection.recv(HEAD, socket.MSG_PEEK)
            if head and not self.has_been_asked:
                self.has_been_asked = True
                print("The first request has come.", flush=True)
            if asked := try_files.asked_for(head):
                self.begin(connection, *asked)
                return
            if head and not is_for_a_page(head):
                return
            if head:
                connection.recv(HEAD)  # closing with unread data would reset the connection
                connection.send(self.page())
                connection.shutdown(socket.SHUT_WR)
        del self.waiting[connection]
        connection.close()

    def begin(self, connection: socket.socket, path: Path, headers: dict[str, str]) -> None:
        """Start to send a file of the page /try/, in a thread of its own: the client may be slow."""
        connection.recv(HEAD)
        lines = ["HTTP/1.1 200 OK", *map(": ".join, headers.items()), "Connection: close", "", ""]
        del self.waiting[connection]
        self.sending.add(connection)
        what = connection, path, "\r\n".join(lines).encode()
        threading.Thread(target=self.send, args=what, daemon=True).start()

    def send(self, connection: socket.socket, path: Path, head: bytes) -> None:
        """Send a head and a file, and close the connection, also if the client reads nothing for too long."""
        with suppress(OSError), connection, path.open("rb") as file:
            connection.settimeout(try_files.TAKEN)
            connection.sendall(head)
            connection.sendfile(file)
        self.sending.discard(connection)

    def page(self) -> bytes:
        """Return the progress page, with the remaining time in steps of five seconds."""
        done = min(len(sys.modules) / MODULES, 0.95)
        seconds = (time.monotonic() - self.began) * (1 - done) / done
        seconds = max(5, 5 * round(seconds / 5))
        ready = _(READY).format(count=seconds)
        page = (PAGE % (language(), _(TITLE), _(HEADING), 100 * done, ready, _(MEANWHILE))).encode()
        return (HEADERS % (len(page), seconds)).encode() + page

    def end(self) -> socket.socket:
        """Stop answering; return the socket, for tornado."""
        os.write(self.writing, b".")
        self.thread.join()
        return self.listening


class Later:
    """Import hook that loads the modules of LATER at their first use."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Return a lazy spec for a module of LATER."""
        spec = importlib.machinery.PathFinder.find_spec(name, path) if name in LATER else None
        if spec and spec.loader:
            spec.loader = importlib.util.LazyLoader(spec.loader)
        return spec


def stand_ins() -> dict[str, ModuleType]:
    """Return stubs for packages that take an eighth of the start.

    The server asks JupyterLab for three folders. jupyter_events would validate the server's events, and send them to
    listeners, which a Pi does not have.
    """
    from traitlets.config import LoggingConfigurable

    class EventLogger(LoggingConfigurable):
        schemas = ()

        def ignore(self, *_: object, **__: object) -> None:
            """Do nothing."""

        register_event_schema = add_listener = remove_listener = emit = ignore

    commands = {
        "get_app_dir": lambda: f"{sys.prefix}/share/jupyter/lab",
        # The systemd unit sets these variables.
        "get_user_settings_dir": lambda: os.environ["JUPYTERLAB_SETTINGS_DIR"],
        "get_workspaces_dir": lambda: os.environ["JUPYTERLAB_WORKSPACES_DIR"],
    }
    names: dict[str, dict[str, Any]] = {
        "jupyterlab": {},
        "jupyterlab.commands": commands,
        "jupyter_events": {"EventLogger": EventLogger},
        "jupyter_events.logger": {"EventLogger": EventLogger},
        "jupyter_events.schema_registry": {"SchemaRegistryException": ValueError},
    }
    modules = {name: ModuleType(name) for name in names}
    for name, module in modules.items():
        vars(module).update(names[name])
    return modules


def hasten() -> Callable[[], None]:
    """Speed up imports until the returned function is called."""
    gc.disable()  # nothing that is loaded is garbage
    sys.modules |= stand_ins()
    sys.meta_path.insert(0, Later)
    sys.modules |= dict.fromkeys(WITHOUT)  # type: ignore[arg-type]  # None: it cannot be imported
    os.environ["SSL_CERT_FILE"] = os.devnull  # tornado loads all CA certificates, but this server is no client

    def restore() -> None:
        gc.freeze()  # what is loaded stays
        gc.enable()
        sys.meta_path.remove(Later)
        for name in WITHOUT:
            del sys.modules[name]
        del os.environ["SSL_CERT_FILE"]

    return restore


def listen(port: int) -> socket.socket:
    """Return a listening socket, from systemd or a new one, for IPv4 and IPv6."""
    if os.environ.pop("LISTEN_FDS", ""):
        listening = socket.socket(fileno=3)
        listening.set_inheritable(False)
    elif socket.has_dualstack_ipv6():
        listening = socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=128)
    else:
        listening = socket.create_server(("", port), backlog=128)
    listening.setblocking(False)
    return listening


def main() -> None:
    """Run the server."""
    systemd = os.environ.pop("NOTIFY_SOCKET", "")  # the server's programs must not inherit this
    watched = int(os.environ.pop("WATCHDOG_USEC", "0"))
    recall(Path.home() / "notebooks")
    starting = Starting(listen(int(sys.argv.pop(1))))
    for name in ("LISTEN_FDNAMES", "LISTEN_PID", "WATCHDOG_PID"):
        os.environ.pop(name, None)

    restore = hasten()

    # Jupyter does not accept an open socket, so the function that would create one is replaced.
    from jupyter_server import serverapp

    def tell(state: bytes) -> None:
        """Notify systemd."""
        if systemd:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
                told.sendto(state, systemd)

    def hand_over() -> None:
        """Pass the waiting connections to the server, and tell systemd that it answers."""
        restore()
        server = serverapp.ServerApp.instance().http_server
        limit_connections(server)
        for connection, address in starting.waiting.items():
            server._handle_connection(connection, address)
        tell(b"READY=1")
        if watched:  # as long as the event loop does not hang
            PeriodicCallback(lambda: tell(b"WATCHDOG=1"), watched / 4000).start()

    def passed_socket(path: str, mode: int) -> socket.socket:
        """Return this program's socket, in place of a new one for Jupyter."""
        IOLoop.current().add_callback(hand_over)
        return starting.end()

    from notebook.app import main as serve
    from tornado.ioloop import IOLoop, PeriodicCallback

    from mynn_server.sign_in import limit_connections

    serverapp.bind_unix_socket = passed_socket  # type: ignore[assignment, attr-defined]
    serve()


if __name__ == "__main__":
    main()
