"""A live page on the teacher's computer: a playbook keeps asking the Pis, and a small server shows their answers.

`make wall` and `make watch` are such pages; each is a subclass of `LivePage`, which `keep` runs until Ctrl-C. The
action plugin live_page writes each Pi's answers.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

from ansible_collections.mynn.pi.plugins.module_utils.files import locked

HOST = "127.0.0.1"  # nobody else's computer can open the page
PAUSE = 0.3  # seconds between looks for new answers
FORKS = 500  # each Pi is asked in a process of its own, which starts when it is needed
LARGEST = 4096  # bytes of a request from the page


class LivePage:
    """A page of what the Pis' students show or do.

    answers: the folder with PI.json of each Pi. pis: these files' contents by Pi, as the action live_page documents
    them; nobody has parsed yet what students `shown`.
    """

    name: str  # of the page in sentences, such as "wall"
    port: int
    hint = "open it in a browser"
    settings: ClassVar[dict[str, Any]] = {}  # of the playbook

    def __init__(self, answers: Path) -> None:
        self.answers = answers
        self.pis: dict[str, dict[str, Any]] = {}
        self.html = ""
        self.lock = threading.Lock()
        self._times: dict[str, int] = {}

    def draw(self) -> str:
        """Return the page."""
        raise NotImplementedError

    def press(self, button: str, what: str) -> bool:
        """Do what a button of the page is for. Returns whether there is such a button, and such a thing."""
        return False

    def farewell(self) -> str:
        """Return what the terminal shows at the end."""
        return f"The {self.name} has ended."

    def update(self) -> None:
        """Read the answers that are new, and draw the page if there are any."""
        times = {path.stem: path.stat().st_mtime_ns for path in self.answers.glob("[!.]*.json")}
        with self.lock:
            new = [pi for pi in times if times[pi] != self._times.get(pi)]
            for pi in new:
                self._read(pi)
            self._times = times
            if new or not self.html:
                self.redraw()

    def redraw(self) -> None:
        """Draw the page."""
        self.html = self.draw()

    def _read(self, pi: str) -> None:
        answer = json.loads((self.answers / f"{pi}.json").read_bytes())  # the action has written it, and whole
        before = self.pis.get(pi, {}).get("lost") or ""
        if answer["lost"] is not None and answer["lost"] != before:
            print(f"{pi} does not answer: {answer['lost']}" if answer["lost"] else f"{pi} answers.", flush=True)
        self.pis[pi] = answer


class Server(ThreadingHTTPServer):
    """The page's server, for this computer only."""

    daemon_threads = True

    def __init__(self, page: LivePage, port: int) -> None:
        self.page = page
        try:
            super().__init__((HOST, port), Handler)
        except OSError:  # the port is in use
            super().__init__((HOST, 0), Handler)

    @property
    def url(self) -> str:
        """The page's address."""
        return f"http://{HOST}:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    """Answers the page's requests."""

    server: Server
    timeout = 10  # seconds that a browser may be silent

    def do_GET(self) -> None:
        """Send the page, or its version."""
        html = self.server.page.html
        if not self._is_ours():
            self._send(403)
        elif self.path == "/":
            self._send(200, html, "text/html")
        elif self.path == "/version":
            self._send(200, sha256(html.encode()).hexdigest())
        else:
            self._send(404)

    def do_POST(self) -> None:
        """Press a button."""
        # Another site's page can send requests here, but none with a header of its own.
        if not self._is_ours() or self.headers.get("X-Button") != "1":
            self._send(403)
            return
        length = self.headers.get("Content-Length", "0")
        what = self.rfile.read(min(int(length), LARGEST)).decode(errors="replace") if length.isdecimal() else ""
        self._send(200 if self.server.page.press(self.path.removeprefix("/"), what) else 404)

    def _is_ours(self) -> bool:
        """Refuse another name for this computer: a site could point its own name here, to read the page."""
        return self.headers.get("Host") in {f"{host}:{self.server.server_port}" for host in (HOST, "localhost")}

    def _send(self, code: int, text: str = "", kind: str = "text/plain") -> None:
        content = text.encode()
        self.send_response(code)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing: the page asks every second."""


def run(command: Sequence[str], page: LivePage) -> int:
    """Run the playbook until it ends, or Ctrl-C, and update the page. Returns its exit code, 0 after Ctrl-C."""
    playbook = subprocess.Popen(command)

    def stop(*_: object) -> None:
        playbook.send_signal(signal.SIGINT)
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, signal.default_int_handler)  # the terminal sends it to the playbook, too
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    try:
        while playbook.poll() is None:
            page.update()
            time.sleep(PAUSE)
        return playbook.returncode
    except KeyboardInterrupt:
        return 0
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # an impatient teacher may press Ctrl-C again
        try:
            playbook.wait(10)
        except subprocess.TimeoutExpired:
            playbook.kill()
            playbook.wait()


def keep(folder: Path, command: Sequence[str], make: Callable[[Path], LivePage]) -> int:
    """Run the playbook, serve its page, and print the page's address; return the exit code.

    folder: only one run at a time may have it. make: makes the page, from the folder of the answers.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="mynn-page-") as answers:
        page = make(Path(answers))
        settings = json.dumps({"live_page_answers": answers, **page.settings})
        try:
            with locked(folder, 0), Server(page, page.port) as server:
                page.update()
                threading.Thread(target=server.serve_forever, daemon=True).start()
                print(f"The {page.name}: {server.url} ({page.hint}). Ctrl-C ends it.", flush=True)
                code = run([*command, "--forks", str(FORKS), "--extra-vars", settings], page)
                server.shutdown()
        except TimeoutError:
            print(f"The {page.name} is already on, in another terminal: end it there with Ctrl-C.", file=sys.stderr)
            return 1
    print(page.farewell())
    return code
