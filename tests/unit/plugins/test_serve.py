"""While the notebook server is loading, its port answers with a page that says so and reloads itself."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.support.jupyter_server import ROLE, render_template, run_server, unit_setting
from tests.support.ports import free_port
from tests.support.programs import load

BROWSER = {"Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"}


@pytest.fixture(scope="module")
def serve() -> Any:
    """The program, as a module."""
    return load(ROLE / "files/serve.py")


@pytest.fixture
def starting(serve: Any) -> Iterator[Any]:
    """The part of the program that answers while the server is loading."""
    starting = serve.Starting(serve.listen(0))
    yield starting
    starting.end().close()


def connect(starting: Any) -> socket.socket:
    """Connect to it, with a timeout of one second."""
    return socket.create_connection(("127.0.0.1", starting.listening.getsockname()[1]), timeout=1)


def wait_for_connections(starting: Any, number: int) -> None:
    """Wait until this number of connections are waiting for the server."""
    deadline = time.monotonic() + 5
    while len(starting.waiting) != number:
        assert time.monotonic() < deadline, starting.waiting
        time.sleep(0.01)


def test_a_browser_gets_a_page_that_reloads_itself(starting: Any) -> None:
    url = f"http://127.0.0.1:{starting.listening.getsockname()[1]}/start/"
    for _ in range(3):
        answer = requests.get(url, headers=BROWSER, timeout=5)
        assert answer.status_code == 503
        assert '<meta http-equiv="refresh"' in answer.text
        assert re.search(r"ready in about \d*[05] seconds", answer.text)
        assert len(answer.content) < 2000
        assert answer.headers["Cache-Control"] == "no-store"
    wait_for_connections(starting, 0)  # the answer arrives a moment before the program forgets the connection


def test_it_answers_over_ipv4_and_ipv6(starting: Any) -> None:
    port = starting.listening.getsockname()[1]
    hosts = ["127.0.0.1", "[::1]"] if socket.has_dualstack_ipv6() else ["127.0.0.1"]
    for host in hosts:
        assert requests.get(f"http://{host}:{port}/", headers=BROWSER, timeout=5).status_code == 503


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /api/status HTTP/1.1\r\nHost: pi\r\nAccept: */*\r\n\r\n",
        b"POST /login HTTP/1.1\r\nHost: pi\r\nAccept: text/html\r\nContent-Length: 3\r\n\r\na=b",
        b"GET / HTTP/1.1\r\nHost: pi\r\nAccept: text/html\r\nCookie: ",  # the rest has not arrived yet
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS
        b"\0" * 100_000,
    ],
)
def test_any_other_request_is_left_for_the_server(starting: Any, request_: bytes) -> None:
    with connect(starting) as client:
        client.sendall(request_)
        wait_for_connections(starting, 1)
        with pytest.raises(TimeoutError):
            client.recv(1)
        starting.thread.join(0)
        [connection] = starting.waiting
        assert connection.recv(11) == request_[:11]


def test_clients_that_disconnect_or_send_nothing_disturb_nobody(starting: Any, serve: Any) -> None:
    idle = [connect(starting) for _ in range(serve.MOST_WAITING - 2)]
    wait_for_connections(starting, len(idle))
    with connect(starting):
        pass
    gone = connect(starting)
    gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # closing it sends a reset
    gone.close()
    answer = requests.get(f"http://127.0.0.1:{starting.listening.getsockname()[1]}/", headers=BROWSER, timeout=5)
    assert answer.status_code == 503
    for client in idle:
        client.close()


def test_the_estimate_falls_as_modules_are_loaded(starting: Any, serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = []
    for share, elapsed in ((0.1, 6), (0.5, 30), (0.95, 50), (3, 70)):
        monkeypatch.setattr(serve, "MODULES", len(sys.modules) / share)
        starting.began = time.monotonic() - elapsed
        found = re.search(rb"about (\d+) seconds", starting.page())
        assert found
        seconds.append(int(found[1]))
    assert seconds == [55, 30, 5, 5]


def test_a_failed_start_is_noticed_at_once(tmp_path: Path) -> None:
    """The server tells systemd when it answers; if it ends before that, systemd starts it again."""
    assert unit_setting(render_template("jupyter.service"), "Type") == ["notify"]
    (tmp_path / "jupyter_server.py").write_text("raise SystemExit(7)")
    program = """
import runpy, sys
sys.path.insert(0, sys.argv.pop(1))
runpy.run_path(sys.argv.pop(1), None, "__main__")
"""
    notify_socket = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(notify_socket)
        done = subprocess.run(
            [sys.executable, "-c", program, str(tmp_path), str(ROLE / "files/serve.py"), "0"],
            env={"NOTIFY_SOCKET": notify_socket},
            timeout=20,
            check=False,
        )
        systemd.setblocking(False)
        with pytest.raises(BlockingIOError):
            systemd.recv(99)
    assert done.returncode == 7


def test_the_port_is_never_shared(serve: Any) -> None:
    """Not even with a program that sets SO_REUSEPORT: it would receive some of the students' passwords."""
    taken = serve.listen(0)
    with pytest.raises(OSError, match="in use"):
        serve.listen(taken.getsockname()[1])
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        with pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", taken.getsockname()[1]))
    taken.close()


def test_the_server_takes_over_from_the_page(venv: Path, open_folder: Path) -> None:
    """A browser that reloads reaches the server; a program that asked earlier gets the server's answer."""
    port, statuses, over = free_port(), [], threading.Event()
    early: list[int] = []

    def reload() -> None:
        while not over.wait(0.05):
            try:
                page = requests.get(f"http://127.0.0.1:{port}/login", headers=BROWSER, timeout=60)
                statuses.append(page.status_code)
            except requests.ConnectionError:
                statuses.append(0)

    def ask() -> None:
        while not (early or over.is_set()):
            try:
                early.append(requests.get(f"http://127.0.0.1:{port}/api/contents", timeout=60).status_code)
            except requests.ConnectionError:
                time.sleep(0.05)

    threads = [threading.Thread(target=work) for work in (reload, ask)]
    for thread in threads:
        thread.start()
    notify_socket = open_folder / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(notify_socket))
        notify_socket.chmod(0o666)
        systemd.settimeout(60)
        try:
            with run_server(venv, port=port, environment={"NOTIFY_SOCKET": str(notify_socket)}) as server:
                assert systemd.recv(99) == b"READY=1"
                assert server.student().get("/api/contents")["type"] == "directory"
                with server.student().kernel() as kernel:
                    inherited = "[name for name in os.environ if 'NOTIFY' in name or 'LISTEN' in name]"
                    assert kernel.run(f"import os; print({inherited})").text == "[]\n"
                time.sleep(0.2)
        finally:
            over.set()
            for thread in threads:
                thread.join()
    changes = [status for number, status in enumerate(statuses) if status != statuses[number - 1] or not number]
    assert [status for status in changes if status][:2] == [503, 200]
    assert early == [403]


LAZY_IMPORTS = """
import gc, json, os, runpy, sys
serve = runpy.run_path(sys.argv[1])
restore = serve["hasten"]()
from notebook.app import main
import jupyter_server.gateway.managers as gateway
found = {"loaded": [name for name in ("urllib3", "arrow", "lark", "websocket._core") if name in sys.modules]}
restore()
import requests, webcolors
found |= {"works": [requests.get.__name__, gateway.websocket.WebSocket.__name__, webcolors.name_to_hex("red")]}
found |= {"collects": gc.isenabled(), "authorities": os.environ.get("SSL_CERT_FILE")}
print(json.dumps(found))
"""


def test_modules_that_a_pi_seldom_needs_are_imported_on_first_use() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LAZY_IMPORTS, str(ROLE / "files/serve.py")], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == {
        "loaded": [],
        "works": ["get", "WebSocket", "#ff0000"],
        "collects": True,
        "authorities": None,
    }
