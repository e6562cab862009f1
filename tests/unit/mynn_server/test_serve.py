"""While the notebook server is loading, its port answers with a page that says so and reloads itself."""

import os
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import requests

from mynn_server import serve, try_files
from tests.support.classroom import until
from tests.support.jupyter_server import render_template, run_server, unit_setting
from tests.support.ports import free_port

BROWSER = {"Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"}


@pytest.fixture
def starting() -> Iterator[serve.Starting]:
    """The part of the program that answers while the server is loading."""
    starting = serve.Starting(serve.listen(0))
    yield starting
    starting.end().close()


def connect(starting: serve.Starting) -> socket.socket:
    """Connect to it."""
    return socket.create_connection(("127.0.0.1", starting.listening.getsockname()[1]))


def test_a_browser_gets_a_page_that_reloads_itself(starting: serve.Starting) -> None:
    """Over IPv4 and IPv6."""
    port = starting.listening.getsockname()[1]
    for host in ["127.0.0.1", "[::1]"] if socket.has_dualstack_ipv6() else ["127.0.0.1"]:
        answer = requests.get(f"http://{host}:{port}/start/", headers=BROWSER)
        assert answer.status_code == 503
        assert '<meta http-equiv="refresh"' in answer.text
        assert re.search(r"ready in about \d*[05] seconds", answer.text)
        assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /api/status HTTP/1.1\r\nHost: pi\r\nAccept: */*\r\n\r\n",
        b"POST /login HTTP/1.1\r\nHost: pi\r\nAccept: text/html\r\nContent-Length: 3\r\n\r\na=b",
        b"GET / HTTP/1.1\r\nHost: pi\r\nAccept: text/html\r\nCookie: ",  # the rest has not arrived yet
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS
    ],
)
def test_any_other_request_is_left_for_the_server(starting: serve.Starting, request_: bytes) -> None:
    with connect(starting) as client:
        client.sendall(request_)
        until(lambda: starting.has_been_asked)
        starting.end()
        client.setblocking(False)
        with pytest.raises(BlockingIOError):
            client.recv(1)
        [connection] = starting.waiting
        assert connection.recv(11) == request_[:11]


def test_the_page_try_is_there_already_and_nothing_that_is_sent_is_cut_off(
    starting: serve.Starting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even when the server takes over. Whoever does not read is given up."""
    large = tmp_path / "digits.bin.gz"
    large.touch()
    os.truncate(large, 30_000_000)  # more than Linux keeps for a client that does not read
    monkeypatch.setitem(try_files.FILES, "digits.bin", large)
    url = f"http://127.0.0.1:{starting.listening.getsockname()[1]}/try/"
    page = requests.get(url, headers=BROWSER)
    assert (page.status_code, page.content) == (200, (try_files.PAGE / "index.html").read_bytes())
    assert page.headers["Content-Security-Policy"] == try_files.POLICY
    assert requests.get(f"{url}missing.js", headers=BROWSER).status_code == 503
    with monkeypatch.context() as hasty:
        hasty.setattr(try_files, "TAKEN", 0.1)
        with requests.get(f"{url}digits.bin", stream=True):
            until(lambda: not starting.sending)
    with requests.get(f"{url}digits.bin", stream=True) as answer:
        starting.end()
        assert len(answer.raw.read(decode_content=False)) == 30_000_000


def test_clients_that_disconnect_or_send_nothing_disturb_nobody(starting: serve.Starting) -> None:
    idle = [connect(starting) for _ in range(serve.MOST_CONNECTIONS - 2)]
    until(lambda: len(starting.waiting) == len(idle))
    with connect(starting):
        pass
    reset = connect(starting)
    reset.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # closing it sends a reset
    reset.close()
    answer = requests.get(f"http://127.0.0.1:{starting.listening.getsockname()[1]}/", headers=BROWSER)
    assert answer.status_code == 503
    for client in idle:
        client.close()


def test_the_port_is_never_shared() -> None:
    """Not even with a program that sets SO_REUSEPORT: it would receive some of the students' passwords."""
    with serve.listen(0) as taken, socket.socket() as other:
        with pytest.raises(OSError, match="in use"):
            serve.listen(taken.getsockname()[1])
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        with pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", taken.getsockname()[1]))


def test_the_server_takes_over_from_the_page(venv: Path, open_folder: Path) -> None:
    """A browser that reloads reaches the server; a program that asked earlier gets the server's answer."""
    port, statuses = free_port(), [0]

    def reload() -> None:
        while statuses[-1] == 0:
            with suppress(requests.ConnectionError):
                statuses.append(requests.get(f"http://127.0.0.1:{port}/login", headers=BROWSER).status_code)
        statuses.append(requests.get(f"http://127.0.0.1:{port}/api/contents", timeout=600).status_code)

    browser = threading.Thread(target=reload, daemon=True)
    browser.start()
    assert unit_setting(render_template("jupyter.service"), "Type") == ["notify"]
    notify_socket = open_folder / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(notify_socket))
        notify_socket.chmod(0o666)
        systemd.settimeout(600)
        variables = {"NOTIFY_SOCKET": str(notify_socket), "WATCHDOG_USEC": "4000000"}
        with run_server(venv, port=port, environment=variables) as server:
            assert systemd.recv(99) == b"READY=1"
            assert systemd.recv(99) == b"WATCHDOG=1"
            browser.join()
            with server.student().kernel() as kernel:
                inherited = "[name for name in os.environ if name.startswith(('NOTIFY', 'LISTEN', 'WATCHDOG'))]"
                assert kernel.run(f"import os; print({inherited})").text == "[]\n"
    assert statuses == [0, 503, 403]
