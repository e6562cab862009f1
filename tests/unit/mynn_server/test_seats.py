"""The page of the seats, answered by a program for each connection, as systemd starts it."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from playwright.sync_api import Page

from mynn_server.seats import answer
from tests.support.browser import DESKTOP, SMALL_SCREENS, assert_accessible

SEATS = [f"seat{number:02}" for number in range(1, 31)]
OWN = f"{os.uname().nodename}.local"


def ask(request: bytes) -> tuple[bytes, str]:
    """Send a request to the program, as systemd does, and return the status line and the body of its answer."""
    client, connection = socket.socketpair()
    with client, connection:
        client.sendall(request)
        client.shutdown(socket.SHUT_WR)
        command = [sys.executable, "-I", "-m", "mynn_server.seats", "http", "8888", *SEATS]
        subprocess.run(command, stdin=connection.fileno(), stdout=connection.fileno(), check=True)
        head, _, body = client.recv(1 << 20).partition(b"\r\n\r\n")
    assert f"Content-Length: {len(body)}".encode() in head
    return head.split(b"\r\n")[0], body.decode()


def request(host: str, path: str = "/") -> bytes:
    """Return a browser's request."""
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept: text/html\r\n\r\n".encode()


def links(page: str) -> list[str]:
    """Return the addresses that a page leads to."""
    return re.findall('<a href="(.*)">', page)


@pytest.mark.parametrize(
    ("named", "host"),
    [("class.local", "class.local"), ("192.168.1.20:80", "192.168.1.20"), ("[fe80::1]", "[fe80::1]")]
    + [(other, OWN) for other in ("", '"><script>', "a b", "evil.example/", "[::1%25eth0]", "a" * 254)],
)
def test_each_seat_leads_to_its_port_of_the_host_that_was_asked(named: str, host: str) -> None:
    status, page = ask(request(named))
    assert (status, links(page)[29:]) == (b"HTTP/1.1 200 OK", [f"http://{host}:8917"])


def test_another_path_shows_the_seats_and_half_a_request_gets_an_error() -> None:
    status, page = ask(request("class.local", "/tree"))
    assert (status, len(links(page))) == (b"HTTP/1.1 404 Not Found", 30)
    assert ask(request("class.local")[:-2]) == (b"HTTP/1.1 400 Bad Request", "")


@given(st.binary() | st.text().map(request) | st.from_regex(rb"\A(?s:GET / .*\r\n[Hh]ost:.*\r\n\r\n)"))
@example(b"")
def test_no_request_puts_anything_else_into_the_links(head: bytes) -> None:
    for link in links(answer(head, "https", 8888, ["ada"]).decode()):
        assert re.fullmatch(r"https://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]):8888", link)


def test_thirty_seats_are_easy_to_tap(browser_page: Page, tmp_path: Path) -> None:
    (tmp_path / "seats.html").write_text(ask(request("class.local"))[1])
    browser_page.goto(f"file://{tmp_path}/seats.html")
    for screen in (*SMALL_SCREENS, DESKTOP):
        browser_page.set_viewport_size(screen)
        assert_accessible(browser_page)
        boxes = [link.bounding_box() for link in browser_page.get_by_role("link").all()]
        assert all(box and min(box["width"], box["height"]) >= 44 for box in boxes)
        assert browser_page.evaluate("document.documentElement.scrollHeight") <= screen["height"]
