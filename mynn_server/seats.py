"""Answer a request with the page of a shared Pi's seats: `python -I -m mynn_server.seats SCHEME PORT STUDENT ...`.

systemd starts this for each connection to port 80, as standard input and output, so nothing runs while nobody asks.
SCHEME is http or https, PORT the first student's. Keep the imports few: they are most of the time that a Pi takes.
"""

from __future__ import annotations

import os
import re
import select
import sys
import time
from contextlib import suppress
from pathlib import Path

from mynn.translation import _, language

HEAD = 8192  # the most bytes of a request that are read
TAKEN = 5  # the most seconds that a request may take to come
# A name, an IPv4 address or an IPv6 address in brackets; its port is left out.
HOST = re.compile(rb"\r\nhost:[ \t]*([a-z0-9.-]{1,253}|\[[0-9a-f:.]{2,45}\])(?::\d{1,5})?[ \t]*\r\n", re.I)
ANSWER = """HTTP/1.1 %s\r
Content-Type: text/html; charset=utf-8\r
Content-Length: %d\r
Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'\r
Cache-Control: no-store\r
Connection: close\r
\r
"""
PAGE = """<!DOCTYPE html>
<html lang="%s">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>%s</title>
<link rel="icon" href="data:,">
<style>%s
  ul { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(%dch, 100%%), 1fr)); gap: 0.75rem; padding: 0;
    font-size: 1.25rem }
  li { display: grid; list-style: none }
  li a { min-height: 3rem; padding: 0.75rem 0.5rem; border: 1px solid var(--accent); border-radius: 0.9rem;
    background: var(--card); text-align: center; text-decoration: none; overflow-wrap: anywhere }
</style>
<main>
<h1>%s</h1>
<p>%s
<ul>
%s
</ul>
</main>
</html>
"""


def receive() -> bytes:
    """Return the head of the request, or as much of it as has arrived after TAKEN seconds."""
    head, deadline = b"", time.monotonic() + TAKEN
    while b"\r\n\r\n" not in head and len(head) < HEAD:
        if not select.select([0], [], [], max(0, deadline - time.monotonic()))[0]:
            break
        if not (part := os.read(0, HEAD)):
            break
        head += part
    return head


def page(host: str, scheme: str, port: int, students: list[str]) -> str:
    """Return the page, whose links lead to the students' ports of the same host."""
    seats = [f'<li><a href="{scheme}://{host}:{at}">{student}</a>' for at, student in enumerate(students, port)]
    heading, where = _("Which one is yours?"), _("Its name is on your label.")
    style = Path(__file__).with_name("page").joinpath("page.css").read_text(encoding="utf-8")
    room = max(map(len, students)) + 2
    return PAGE % (language(), heading, style, room, heading, where, "\n".join(seats))


def answer(head: bytes, scheme: str, port: int, students: list[str]) -> bytes:
    """Return the answer to a request. Other paths get the page, too, for an address that was typed wrong."""
    line, *_rest = head.split(b" ", 2)
    if line != b"GET" or b"\r\n\r\n" not in head:
        return (ANSWER % ("400 Bad Request", 0)).encode()
    host = HOST.search(head)
    text = page(host[1].decode() if host else f"{os.uname().nodename}.local", scheme, port, students).encode()
    return (ANSWER % ("200 OK" if head.startswith(b"GET / ") else "404 Not Found", len(text))).encode() + text


if __name__ == "__main__":
    with suppress(OSError):  # the browser has gone
        os.write(1, answer(receive(), sys.argv[1], int(sys.argv[2]), sys.argv[3:]))
