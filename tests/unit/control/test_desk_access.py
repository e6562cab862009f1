"""Access control of a desk on the network: each rule is tried on a real server, over a real socket."""

import ipaddress
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from functools import partial
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path

import pytest
import requests
from argon2 import PasswordHasher
from playwright.sync_api import Page, expect

from mynn_control.desk import access, app
from mynn_control.desk.access import COOKIE, MOST_CONNECTIONS, NetworkSettings
from mynn_server import rate_limit
from mynn_server.rate_limit import PAUSE
from tests.support.browser import assert_accessible
from tests.support.classroom import until
from tests.support.desk import ServedDesk, served

PASSWORD = "sunflower7"
HASH = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1).hash(PASSWORD)
PAGES = ("/", "/tasks", "/tasks.csv", "/wall/full", "/events/class", "/backup", "/backup/now", "/labels/A4", "/nothing")
BUTTONS = ("/run/off", "/stop", "/wall/take-off", "/restore", "/sign-out")
TEACHER, STUDENT = "127.0.0.1", "127.0.0.9"


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Make a certificate, with its key in one file."""
    pem = tmp_path / "desk.pem"
    names = ["-subj", "/CN=desk", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = ["openssl", "req", "-x509", "-nodes", "-newkey", "rsa:2048", *names, "-keyout", str(pem)]
    made = subprocess.run(command, check=True, capture_output=True, text=True)
    pem.write_text(pem.read_text() + made.stdout)
    return pem


@pytest.fixture
def desk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, certificate: Path
) -> Iterator[ServedDesk]:
    """Serve a desk, by HTTPS where a test asks for it. To it, each address of the loopback is a computer of its own."""
    pem = certificate if getattr(request, "param", "http") == "https" else None
    for module in (access, rate_limit):
        monkeypatch.setattr(module, "network_of", ipaddress.ip_address)
    (tmp_path / "dist/desk").mkdir(parents=True)
    network = NetworkSettings(HASH, frozenset({"desk.local"}), pem, address="127.0.0.1", clock=tmp_path / "clock")
    with served(tmp_path / "dist/desk", network=network) as desk:
        yield desk


def port_of(desk: ServedDesk) -> int:
    return int(desk.url.rpartition(":")[2])


def ask(
    desk: ServedDesk, path: str, body: str | bytes | None = None, source: str = TEACHER, **headers: str
) -> tuple[int, dict[str, str], str]:
    """Return a request's status, headers and text: a POST of the desk's own page if it has a body."""
    kind = partial(HTTPSConnection, context=ssl._create_unverified_context()) if "https" in desk.url else HTTPConnection
    connection = kind("127.0.0.1", port_of(desk), timeout=600, source_address=(source, 0))
    with closing(connection):
        origin = {} if body is None else {"Origin": desk.url}
        connection.request("GET" if body is None else "POST", path, body, origin | headers)
        answer = connection.getresponse()
        text = "" if path.startswith("/events") and answer.status == 200 else answer.read().decode(errors="replace")
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, text


def sign_in(desk: ServedDesk, password: str = PASSWORD, source: str = TEACHER) -> str:
    """Sign in, and return the cookie; empty if it was refused."""
    return ask(desk, "/sign-in", f"password={password}", source)[1].get("set-cookie", "")


def test_nobody_sees_or_does_anything_without_the_password(desk: ServedDesk) -> None:
    for cookie in ("", f"{COOKIE}=guessed", f"{COOKIE}="):
        for path in PAGES:
            status, _, text = ask(desk, path, Cookie=cookie)
            assert status == 401 and "Password" in text and "Pis" not in text
        for path in BUTTONS:
            assert ask(desk, path, "", Cookie=cookie)[0] == 401
    assert desk.desk.run is None
    assert ask(desk, "/static/desk.css")[0] == 200


def test_a_session_is_a_browsers_own_and_can_be_ended(desk: ServedDesk) -> None:
    assert not sign_in(desk, "sunflower8")
    cookie, attributes = sign_in(desk, "Sunflower7").split(";", 1)  # as a tablet writes it
    assert {"HttpOnly", "SameSite=strict", "Path=/", "Max-Age=86400"} <= {one.strip() for one in attributes.split(";")}
    assert sign_in(desk).split(";")[0] != cookie
    assert ask(desk, "/", Cookie=cookie)[0] == 200
    assert ask(desk, "/sign-out", "", Cookie=cookie)[0] == 401
    assert ask(desk, "/", Cookie=cookie)[0] == 401


def test_another_sites_page_can_use_no_session(desk: ServedDesk) -> None:
    """Neither under another name that leads here, nor by a form; nor would a browser send it the cookie."""
    cookie, port = sign_in(desk).split(";")[0], port_of(desk)
    for host in (f"127.0.0.1:{port}", f"desk.local:{port}"):
        assert ask(desk, "/", Cookie=cookie, Host=host)[0] == 200
        origin = f"http://{host}"
        assert ask(desk, "/stop", "", Cookie=cookie, Host=host, Origin=origin)[0] == 200
    for host in (f"evil.example:{port}", "desk.local", f"desk.local.evil.example:{port}", f"127.0.0.2:{port}", ""):
        assert ask(desk, "/", Cookie=cookie, Host=host)[0] == 403
    for site in ("none", "same-origin", "same-site", "cross-site"):
        for path in ("/", "/wall", "/tasks.csv", "/backup/now"):
            expected = 200 if path == "/" or site in ("none", "same-origin") else 403
            assert ask(desk, path, Cookie=cookie, **{"Sec-Fetch-Site": site})[0] == expected, (site, path)
    for origin in ("http://evil.example", "null", f"https://desk.local:{port}", ""):
        for path in (*BUTTONS, "/sign-in"):
            assert ask(desk, path, f"password={PASSWORD}", Cookie=cookie, Origin=origin)[0] == 403


def test_guessing_is_slow(desk: ServedDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    """And one at a time, as on a Pi, where test_server.py shows that it costs only the one who guesses."""
    began = time.monotonic()
    assert not sign_in(desk, "guess")
    assert time.monotonic() - began > PAUSE
    monkeypatch.setattr(rate_limit, "MOST_WAITING", 0)
    assert ask(desk, "/sign-in", f"password={PASSWORD}")[0] == 429


def test_requests_that_do_not_come_end_and_do_not_hold_the_place_of_others(
    desk: ServedDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "IDLE", 0.5)
    head = f"GET /static/desk.css HTTP/1.1\r\nHost: 127.0.0.1:{port_of(desk)}\r\n"
    post = head.replace("GET /static/desk.css", "POST /sign-in")
    post += f"Origin: {desk.url}\r\nContent-Length: 9\r\n\r\npass"
    for is_second, part in ((False, ""), (False, head), (True, head), (False, post)):
        connection = HTTPConnection("127.0.0.1", port_of(desk), timeout=600, source_address=(STUDENT, 0))
        with closing(connection), suppress(ConnectionError):
            connection.connect()
            if is_second:
                connection.request("GET", "/static/desk.css")
                connection.getresponse().read()
            connection.sock.sendall(part.encode())
            while connection.sock.recv(1 << 16):
                pass


@pytest.mark.parametrize("desk", ["http", "https"], indirect=True)
def test_a_computer_has_few_connections_and_others_have_theirs(
    desk: ServedDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also ones that never begin TLS, each of which takes 256 KiB."""
    monkeypatch.setattr(access, "IDLE", 3600)

    def connect() -> socket.socket:
        return socket.create_connection(("127.0.0.1", port_of(desk)), 600, (STUDENT, 0))

    def is_let_in() -> bool:
        with suppress(OSError):
            return ask(desk, "/", source=STUDENT)[0] == 401
        return False

    held = [connect() for _ in range(MOST_CONNECTIONS)]
    try:
        for _ in range(50):
            with connect() as one, suppress(ConnectionError):
                assert one.recv(1) == b""
        assert sign_in(desk)
    finally:
        for one in held:
            one.close()
    until(is_let_in)


def test_what_is_too_large_is_refused(desk: ServedDesk) -> None:
    assert ask(desk, "/sign-in", b"x" * 5000)[0] == 413
    with suppress(ConnectionError):  # it may close before all was sent
        assert ask(desk, "/", Cookie="x" * 5_000_000)[0] == 400
    assert desk.desk.run is None


@pytest.mark.slow
def test_the_sign_in_page_works_in_a_browser(desk: ServedDesk, browser_page: Page, tmp_path: Path) -> None:
    """And says what time it is, but only by the password."""
    page, clock, began = browser_page, tmp_path / "clock", int(time.time())
    page.goto(f"{desk.url}/pis")
    assert_accessible(page)
    page.get_by_label("Password").fill("another")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("That is not the desk’s password")
    assert not clock.exists()
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("link", name="Backup")).to_be_visible()
    assert began <= int(clock.read_text()) <= time.time() + 1
    page.get_by_role("link", name="Backup").click()
    assert_accessible(page)
    with browser_page.context.expect_page() as other:
        page.evaluate("window.open('/wall')")
    expect(other.value.get_by_role("link", name="Wall")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Password")).to_be_visible()
    other.value.reload()
    expect(other.value.get_by_label("Password")).to_be_visible()


def test_with_a_certificate_nothing_is_sent_in_the_clear(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, certificate: Path
) -> None:
    """As on the card: systemd's two sockets, of which the first leads to the second."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    plain = f"http://127.0.0.1:{sockets[0].getsockname()[1]}"
    monkeypatch.setattr(app, "listening", lambda *_: sockets)
    (tmp_path / "dist/desk").mkdir(parents=True)
    with served(tmp_path / "dist/desk", network=NetworkSettings(HASH, frozenset({"desk.local"}), certificate)) as desk:
        assert requests.get(plain, allow_redirects=False).headers["Location"] == "https://127.0.0.1"
        form = {"password": PASSWORD}
        answer = requests.post(f"{plain}/sign-in", form, headers={"Origin": plain}, allow_redirects=False)
        assert "Set-Cookie" not in answer.headers
        session = requests.Session()
        session.verify, session.trust_env = str(certificate), False
        session.headers.update({"Origin": desk.url, "Connection": "close"})
        assert desk.url.startswith("https://") and session.get(desk.url).status_code == 401
        signed_in = session.post(f"{desk.url}/sign-in", form, allow_redirects=False)
        assert "Secure" in signed_in.headers["Set-Cookie"]
        assert session.get(desk.url).status_code == 200
        other = session.post(f"{desk.url}/stop", headers={"Origin": desk.url.replace("https", "http")})
        assert other.status_code == 403
