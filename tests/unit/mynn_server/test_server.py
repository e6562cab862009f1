"""What a student, a student's program and a stranger may not do, on a server with the role jupyter's settings."""

import asyncio
import contextlib
import errno
import select
import socket
import time
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, HTTPError, RequestHandler, create_signed_value, decode_signed_value
from tornado.websocket import WebSocketHandler, websocket_connect

from ansible_collections.mynn.pi.plugins.filter import passwords
from mynn_server import extension, sign_in
from mynn_server.contents import CARD_FULL, FULL, Contents, card_full
from mynn_server.credentials import Credentials
from mynn_server.kernel_manager import KernelSpecs
from mynn_server.rate_limit import PAUSE, network_of
from mynn_server.sign_in import MOST_CONNECTIONS, Students
from tests.support.classroom import until
from tests.support.jupyter_server import PASSWORD, Server, answers

NOTEBOOK: dict[str, Any] = {
    "type": "notebook",
    "content": {"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5},
}


def test_the_server_runs_none_of_the_students_code(server: Server) -> None:
    """Neither packages in the home, nor settings there or beside the notebooks; and nothing there makes it hang.

    It writes nothing there either, or each reset would find something to remove. Without the student's own packages, a
    program starts even if they are broken.
    """
    student = server.student()
    assert student.ask("PUT", "/api/contents/mine.ipynb", json=NOTEBOOK).status_code == 201
    assert student.get("/api/contents/mine.ipynb")["content"]["cells"] == []
    with student.kernel() as kernel:
        assert kernel.run("import os; print(os.getcwd())").text == f"{server.home}/notebooks\n"
    assert not server.trace.exists()
    assert server.in_home() == server.home_at_start
    student.delete("/api/contents/mine.ipynb")


def test_the_server_does_not_use_the_students_templates(server: Server) -> None:
    """Templates turn a notebook into a page, and they can run code. Only formats that work on a Pi are offered."""
    for folder in (server.home / "notebooks/nbconvert/templates/lab", server.home / "notebooks/lab"):
        folder.mkdir(parents=True)
        (folder / "conf.json").write_text('{"base_template": "base"}', encoding="utf-8")
        (folder / "index.html.j2").write_text("TRAPPED", encoding="utf-8")
    student = server.student()
    student.ask("PUT", "/api/contents/shown.ipynb", json=NOTEBOOK)
    page = student.ask("GET", "/nbconvert/html/shown.ipynb")
    assert page.status_code == 200 and "TRAPPED" not in page.text
    formats = set(student.get("/api/nbconvert"))
    assert {"html", "script"} <= formats
    cells: list[dict[str, Any]] = [
        {"cell_type": "markdown"},
        {"cell_type": "code", "outputs": [], "execution_count": 1},
    ]
    cells = [cell | {"id": cell["cell_type"], "metadata": {}, "source": "*1*"} for cell in cells]
    content = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    student.ask("PUT", "/api/contents/shown.ipynb", json=NOTEBOOK | {"content": content})
    for name in formats - {"custom"}:  # which JupyterLab leaves out of its menu
        assert student.ask("GET", f"/nbconvert/{name}/shown.ipynb").status_code == 200, name


def test_another_languages_kernel_starts_as_its_own_specification_says(tmp_path: Path) -> None:
    (tmp_path / "another").mkdir()
    (tmp_path / "another/kernel.json").write_text('{"argv": ["perl", "-e", "1"], "display_name": "Perl"}')
    assert KernelSpecs(kernel_dirs=[str(tmp_path)]).get_kernel_spec("another").argv[-3:] == ["perl", "-e", "1"]


def test_capitals_do_not_matter_where_the_password_has_none() -> None:
    """As in all that we make; an administrator's own may have some."""
    for own, typed, right in (("sun7", "Sun7", True), ("Sun7", "Sun7", True), ("Sun7", "sun7", False)):
        students = Students(hashed_password=passwords.jupyter_hash(own, "a salt for a test"))
        assert students.passwd_check(typed) is right


def test_without_signing_in_nobody_can_fill_the_memory(server: Server) -> None:
    """A request that is too large is not kept, even with a forged cookie, and the answer says why."""

    def most() -> int:
        """Return how many kB the server has had at most."""
        return int(Path(f"/proc/{server.process.pid}/status").read_text().partition("VmHWM:")[2].split()[0])

    forged, before = f"username-localhost-{server.port}=2|1:0|10:1|8:username|4:e30=|{64 * '0'}", most()
    for size, sentence in (
        (200_000_000, "This is larger than 64 MB."),
        (1_000_000, "You are not signed in. Sign in to"),
    ):
        answer = server.client().ask("POST", "/login", data=bytes(size), headers={"Cookie": forged})
        assert answer.status_code == 413 and answer.json()["message"].startswith(sentence)
    assert most() - before < 20_000


def test_a_student_can_save_a_large_file_but_not_open_one_that_does_not_fit_into_memory(server: Server) -> None:
    """MNIST's training digits are 110 MB, and one click away in mnist_dataset."""
    body = {"type": "file", "format": "text", "content": "x" * 20_000_000}
    student = server.student()
    assert student.ask("PUT", "/api/contents/large.txt", json=body).status_code == 201
    answer = student.ask("PUT", "/api/contents/large.txt", data=bytes(100_000_000))
    assert answer.status_code == 413 and answer.json()["message"].startswith("This is larger than 64 MB.")
    with (server.home / "notebooks/large.txt").open("ab") as file:
        file.truncate(110_000_000)
    answer = student.ask("GET", "/api/contents/large.txt")
    assert answer.status_code == 413
    assert answer.json()["message"].startswith("large.txt is too large to be shown: ")
    assert student.get("/api/contents/large.txt?content=0")["size"] == 110_000_000
    student.delete("/api/contents/large.txt")


def test_bytes_that_are_no_text_are_refused_and_half_a_character_replaced(server: Server) -> None:
    student = server.student()
    for method, path in (("PUT", "/api/contents/a.txt"), ("POST", "/api/sessions")):
        assert student.ask(method, path, data=b"\xff").status_code == 400
    shown = {"output_type": "stream", "name": "stdout", "text": "\U0001f600 and \ud800"}
    cell = {"cell_type": "code", "id": "a", "metadata": {}, "execution_count": 1, "source": r"'\ud800'"}
    body = NOTEBOOK | {"content": NOTEBOOK["content"] | {"cells": [cell | {"outputs": [shown]}]}}
    assert student.ask("PUT", "/api/contents/half.ipynb", json=body).status_code == 201
    [kept] = student.get("/api/contents/half.ipynb")["content"]["cells"]
    assert (kept["source"], kept["outputs"][0]["text"]) == (r"'\ud800'", "\U0001f600 and ?")
    student.delete("/api/contents/half.ipynb")
    session = student.ask("POST", "/api/sessions", json={"path": "\ud800", "type": "notebook"})
    assert (session.status_code, session.json()["path"]) == (201, "?")
    student.delete(f"/api/sessions/{session.json()['id']}")


def test_a_sign_in_that_should_lead_nowhere_leads_to_the_start(server: Server) -> None:
    for where in ("/a%0Ab", "//["):
        answer = server.student().ask("GET", f"/login?next={where}")
        assert (answer.status_code, answer.headers["Location"]) == (302, "/")


def test_a_file_is_saved_whole_or_not_at_all(tmp_path: Path) -> None:
    path, contents = tmp_path / "notes.txt", Contents(root_dir=str(tmp_path))
    path.write_text("old")
    path.chmod(0o640)
    with pytest.raises(RuntimeError), contents.atomic_writing(str(path)) as file:
        file.write("half")
        raise RuntimeError
    assert (path.read_text(), list(tmp_path.iterdir())) == ("old", [path])
    with contents.atomic_writing(str(path)) as file:
        file.write("new")
        assert path.read_text() == "old"
    assert (path.read_text(), path.stat().st_mode & 0o777, list(tmp_path.iterdir())) == ("new", 0o640, [path])


def test_a_full_card_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_file: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    for model in ({}, {"made_from": ""}, {"chunk": 1}):
        text = {"type": "file", "format": "text", "content": "mine"}
        with pytest.raises(HTTPError) as raised:
            asyncio.run(Contents(root_dir=str(tmp_path)).save(text | model, "notes.txt"))
        assert (raised.value.status_code, raised.value.log_message) == (507, CARD_FULL)
    assert card_full(tmp_path) == ""
    monkeypatch.setattr("shutil.disk_usage", lambda _folder: Mock(free=FULL - 1))
    assert card_full(tmp_path) == CARD_FULL


def send_password(server: Server, xsrf: str, source: str, password: str) -> socket.socket:
    """Send a password, as from some address; return the connection on which the answer will come."""
    form = f"password={password}&_xsrf={xsrf}"
    head = f"POST /login HTTP/1.1\r\nHost: localhost:{server.port}\r\nConnection: close\r\nCookie: _xsrf={xsrf}\r\n"
    head += f"X-Real-Ip: {source}\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=600)
    connection.sendall(f"{head}Content-Length: {len(form)}\r\n\r\n{form}".encode())
    return connection


def test_guessing_takes_time_and_locks_nobody_out(server: Server) -> None:
    """Passwords from one computer are checked one after another, and meanwhile those from another one.

    A whole class may mistype at once; any more are refused at once instead of waiting.
    """
    client, began = server.client(), time.monotonic()
    client.ask("GET", "/login")
    xsrf = str(client.session.cookies["_xsrf"])
    with contextlib.ExitStack() as opened:

        def typed(*words: str, source: str = "192.0.2.4") -> list[socket.socket]:
            return [opened.enter_context(send_password(server, xsrf, source, word)) for word in words]

        first, [other] = typed("guess", "guess", PASSWORD), typed(PASSWORD, source="192.0.2.3")
        assert b" 302 " in other.recv(100)
        for connection, status in zip(first, (401, 401, 302), strict=True):
            assert b" %d " % status in connection.recv(100)
        assert time.monotonic() - began > 2 * PAUSE
        many = typed(*["guess"] * 60)
        until(lambda: any(b" 429 " in one.recv(100) for one in select.select(many, [], [], 1)[0]))


@given(st.ip_addresses(v=4), st.ip_addresses(v=6), st.integers(0, 2**64 - 1))
def test_a_computer_counts_once_however_many_addresses_it_has(four: IPv4Address, six: IPv6Address, own: int) -> None:
    place = "this Pi" if four.is_loopback else four
    assert network_of(str(four)) == network_of(f"::ffff:{four}") == place
    assert network_of("127.3.2.1") == network_of("::1") == "this Pi"
    if six.ipv4_mapped is None and not six.is_loopback:
        neighbour = IPv6Address(int(six) >> 64 << 64 | own)
        alike = network_of(f"{six}%eth0") == network_of(str(neighbour))
        assert alike or neighbour.ipv4_mapped or neighbour.is_loopback
        assert network_of(str(six)) != network_of(str(IPv6Address(int(six) ^ 1 << 64)))


def test_a_cookie_is_of_no_use_elsewhere() -> None:
    """A page at a neighbour's port is sent it, and could use it on the Pi itself."""
    tablet, same, neighbour = (
        Students().get_cookie_name(Mock(request=Mock(remote_ip=address, host="pi01.local:8888")))
        for address in ("192.168.1.20", "::ffff:192.168.1.20", "127.0.0.1")
    )
    assert tablet == same != neighbour
    assert tablet.startswith("username-")


def test_idle_connections_of_one_computer_keep_nobody_out(server: Server) -> None:
    """All but so many are closed at once, so that those of others are taken; here, all come from one computer."""
    with contextlib.ExitStack() as opened:
        connections = [
            opened.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            for _ in range(MOST_CONNECTIONS + 20)
        ]
        assert select.select(connections[-1:], [], [], 600)[0], "The last one is not closed."
        assert connections[-1].recv(1) == b"" and not select.select(connections[:50], [], [], 0)[0]
    until(lambda: answers(server))


def test_a_cookie_is_valid_for_a_day(server: Server) -> None:
    """After it, the server takes no more from its owner than from a stranger."""
    student, secret = server.student(), Credentials(server.hashed, b"").cookie_secret
    [cookie] = [one for one in student.session.cookies if one.name.startswith("username-")]
    user = decode_signed_value(secret, cookie.name, str(cookie.value).strip('"'))
    assert user
    for days, opened, taken in ((0.9, 200, 201), (1.1, 403, 413)):
        then = Mock(return_value=time.time() - days * 86_400)
        made = create_signed_value(secret, cookie.name, user, clock=then)
        cookie.value = made.decode()
        body = {"type": "file", "format": "text", "content": "x" * 100_000}
        assert student.ask("PUT", "/api/contents/day.txt", json=body).status_code == taken
        assert student.ask("GET", "/api/contents").status_code == opened
    server.student().delete("/api/contents/day.txt")


class Echo(WebSocketHandler):
    def on_message(self, message: str | bytes) -> None:
        self.write_message(message)


class Length(RequestHandler):
    def post(self) -> None:
        self.write(f"{len(self.request.body)} bytes")


def test_a_request_that_never_comes_ends_and_a_students_slow_one_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a head nor a body may take for ever; a websocket may be silent."""
    monkeypatch.setattr(sign_in, "IDLE", 1)
    monkeypatch.setattr(extension, "READ", 1)
    handlers: Any = [("/echo", Echo), ("/", Length)]
    application: Any = Application(handlers, cookie_secret="secret", identity_provider=Students())
    extension.look_at_requests(application)
    cookie = create_signed_value("secret", "username-a", "ada").decode()

    async def play() -> bytes:
        [listening], web = bind_sockets(0, "127.0.0.1"), HTTPServer(application)
        sign_in.limit_connections(web)
        web.add_socket(listening)
        port = listening.getsockname()[1]

        async def begin(head: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(head.encode())
            return reader, writer

        head = "POST / HTTP/1.0\r\nContent-Length: 6\r\n"
        silent = await websocket_connect(f"ws://127.0.0.1:{port}/echo")
        reader, writer = await begin(f"{head}Cookie: username-a={cookie}\r\n\r\nabc")
        endless = [await begin(sent) for sent in ("", "POST / HTTP/1.1\r\n", f"{head}\r\nabc")]
        assert await asyncio.gather(*(ended.read() for ended, _kept in endless)) == [b""] * 3
        writer.write(b"def")
        await silent.write_message("here")
        assert await silent.read_message() == "here"
        return await reader.read()

    assert asyncio.run(asyncio.wait_for(play(), 600)).endswith(b"6 bytes")
