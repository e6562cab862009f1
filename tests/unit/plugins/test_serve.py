"""Until the notebook server answers, its port does: with a page that says so, and reloads."""

from __future__ import annotations

import importlib.util
import json
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import requests

from tests.support.ports import free_port
from tests.unit.plugins.test_server_settings import ROLE, of_unit, rendered, server, venv  # noqa: F401 - a fixture

BROWSER = {"Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"}


@pytest.fixture(scope="module")
def serve() -> ModuleType:
    """The program, as a module."""
    spec = importlib.util.spec_from_file_location("serve", ROLE / "files/serve.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def starting(serve: ModuleType) -> Iterator[Any]:
    """What answers while the server is loaded."""
    one = serve.Starting(serve.listen(0))
    yield one
    one.end().close()


def connect(starting: Any) -> socket.socket:
    """Return a connection to it, which waits for a second at most."""
    return socket.create_connection(("127.0.0.1", starting.listening.getsockname()[1]), timeout=1)


def wait_until_known(starting: Any, number: int) -> None:
    """Wait until so many connections wait for the server."""
    end = time.monotonic() + 5
    while len(starting.waiting) != number:
        assert time.monotonic() < end, starting.waiting
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
    assert starting.waiting == {}


def test_both_kinds_of_addresses_are_answered(starting: Any) -> None:
    port = starting.listening.getsockname()[1]
    hosts = ["127.0.0.1", "[::1]"] if socket.has_dualstack_ipv6() else ["127.0.0.1"]
    for host in hosts:
        assert requests.get(f"http://{host}:{port}/", headers=BROWSER, timeout=5).status_code == 503


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /api/status HTTP/1.1\r\nHost: pi\r\nAccept: */*\r\n\r\n",
        b"POST /login HTTP/1.1\r\nHost: pi\r\nAccept: text/html\r\nContent-Length: 3\r\n\r\na=b",
        b"GET / HTTP/1.1\r\nHost: pi\r\nAccept: text/html\r\nCookie: ",  # the rest is under way
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS
        b"\0" * 100_000,
    ],
)
def test_any_other_request_waits_unread(starting: Any, request_: bytes) -> None:
    with connect(starting) as client:
        client.sendall(request_)
        wait_until_known(starting, 1)
        with pytest.raises(TimeoutError):
            client.recv(1)
        starting.thread.join(0)
        [connection] = starting.waiting
        assert connection.recv(11) == request_[:11]


def test_who_goes_or_says_nothing_disturbs_nobody(starting: Any, serve: ModuleType) -> None:
    idle = [connect(starting) for _ in range(serve.MOST_WAITING - 2)]
    wait_until_known(starting, len(idle))
    with connect(starting):
        pass
    gone = connect(starting)
    gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # with a reset
    gone.close()
    answer = requests.get(f"http://127.0.0.1:{starting.listening.getsockname()[1]}/", headers=BROWSER, timeout=5)
    assert answer.status_code == 503
    for client in idle:
        client.close()


def test_the_estimate_falls_as_modules_are_loaded(
    starting: Any, serve: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = []
    for share, elapsed in ((0.1, 6), (0.5, 30), (0.95, 50), (3, 70)):
        monkeypatch.setattr(serve, "MODULES", len(sys.modules) / share)
        starting.began = time.monotonic() - elapsed
        found = re.search(rb"about (\d+) seconds", starting.page())
        assert found
        seconds.append(int(found[1]))
    assert seconds == [55, 30, 5, 5]


def test_a_start_that_failed_is_noticed_at_once(tmp_path: Path) -> None:
    """The unit waits until the server says that it answers. One that ends before, systemd starts again."""
    assert of_unit(rendered("jupyter.service"), "Type") == ["notify"]
    (tmp_path / "jupyter_server.py").write_text("raise SystemExit(7)")
    program = """
import runpy, sys
sys.path.insert(0, sys.argv.pop(1))
runpy.run_path(sys.argv.pop(1), None, "__main__")
"""
    notified = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(notified)
        done = subprocess.run(
            [sys.executable, "-c", program, str(tmp_path), str(ROLE / "files/serve.py"), "0"],
            env={"NOTIFY_SOCKET": notified},
            timeout=20,
            check=False,
        )
        systemd.setblocking(False)
        with pytest.raises(BlockingIOError):
            systemd.recv(99)
    assert done.returncode == 7


def test_a_port_that_is_taken_is_not_shared(serve: ModuleType) -> None:
    """Not even with a program that allows it: it would get a share of the students' passwords."""
    taken = serve.listen(0)
    with pytest.raises(OSError, match="in use"):
        serve.listen(taken.getsockname()[1])
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        with pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", taken.getsockname()[1]))
    taken.close()


def test_the_page_gives_way_to_the_server(venv: Path, tmp_path: Path) -> None:  # noqa: F811
    """A browser that reloads arrives at the server; a program that asked early gets the server's answer."""
    port, said, over = free_port(), [], threading.Event()
    early: list[int] = []

    def reload() -> None:
        while not over.wait(0.05):
            try:
                said.append(requests.get(f"http://127.0.0.1:{port}/login", headers=BROWSER, timeout=60).status_code)
            except requests.ConnectionError:
                said.append(0)

    def ask() -> None:
        while not early:
            try:
                early.append(requests.get(f"http://127.0.0.1:{port}/api/contents", timeout=60).status_code)
            except requests.ConnectionError:
                time.sleep(0.05)

    threads = [threading.Thread(target=work) for work in (reload, ask)]
    for thread in threads:
        thread.start()
    notified = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(notified))
        for folder in (tmp_path, *tmp_path.parents[:-2]):  # up to /tmp
            folder.chmod(0o755)
        notified.chmod(0o666)
        systemd.settimeout(60)
        try:
            with server(venv, port=port, environment={"NOTIFY_SOCKET": str(notified)}) as one:
                assert systemd.recv(99) == b"READY=1"
                assert one.student().get("/api/contents")["type"] == "directory"
                with one.student().kernel() as kernel:
                    inherited = "[name for name in os.environ if 'NOTIFY' in name or 'LISTEN' in name]"
                    assert kernel.run(f"import os; print({inherited})").text == "[]\n"
                time.sleep(0.2)
        finally:
            over.set()
            for thread in threads:
                thread.join()
    order = [status for number, status in enumerate(said) if status != said[number - 1] or not number]
    assert [status for status in order if status][:2] == [503, 200]
    assert early == [403]


HASTE = """
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


def test_what_a_pi_does_not_use_is_loaded_when_it_is_used() -> None:
    done = subprocess.run(
        [sys.executable, "-c", HASTE, str(ROLE / "files/serve.py")], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == {
        "loaded": [],
        "works": ["get", "WebSocket", "#ff0000"],
        "collects": True,
        "authorities": None,
    }
