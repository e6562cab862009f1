"""A live page on the teacher's computer: a playbook keeps asking the Pis, and a small server shows what they say.

A kind of page is a subclass of `LivePage`, such as that of `make wall`; `keep` runs it until Ctrl-C. The playbook's
action `poll_students` writes what each Pi says.
"""

from __future__ import annotations

import base64
import json
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ansible_collections.mynn.pi.plugins.module_utils.files import locked

HERE = "127.0.0.1"  # nobody else's computer can open the page
EVERY = 0.3  # seconds between looks for new answers
FORKS = 500  # each Pi is asked in a process of its own, which is started when it is needed
LARGEST = 4096  # bytes that the page sends
SCRIPT = Path(__file__).with_suffix(".js")


def render(template: Path, parts: Mapping[str, Any], filters: Mapping[str, Callable[..., str]] | None = None) -> str:
    """Return a self-contained page from a template (NAME.html.j2), and NAME.css and NAME.js beside it, if there.

    parts: for the template. Text among them is escaped.
    """
    environment = Environment(
        loader=FileSystemLoader(template.parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= dict(filters or {})
    own = [template.with_name(template.name.replace(".html.j2", ending)) for ending in (".css", ".js")]
    style, script = (path.read_text(encoding="utf-8") if path.is_file() else "" for path in own)
    script = SCRIPT.read_text(encoding="utf-8") + script
    page = {
        "script": Markup(script),  # ours, and no other is run
        "script_sum": base64.b64encode(sha256(script.encode()).digest()).decode(),
        "style": Markup(style),
    }
    return environment.get_template(template.name).render(page, **parts)


class LivePage:
    """What the Pis said, and the page that shows it. answers: the folder in which `poll_students` puts PI.json."""

    title: str
    port: int
    hint = "open it in a browser"  # printed beside the address

    def __init__(self, answers: Path) -> None:
        self.answers = answers
        self.html = ""
        self.version = ""
        self.lost: dict[str, str] = {}  # by Pi, why it did not answer; empty if it did
        self.lock = threading.Lock()
        self._stamps: dict[str, int] = {}

    def take_in(self, pi: str, shown: dict[str, str]) -> None:
        """Take in what a Pi's students show, by account: texts that nobody has parsed yet."""
        raise NotImplementedError

    def draw(self) -> str:
        """Return the page."""
        raise NotImplementedError

    def press(self, button: str, what: str) -> bool:
        """Do what one of the page's buttons is for. Returns whether there is such a button, and such a thing."""
        return False

    def greeting(self) -> str:
        """Return what the terminal says once the page is there."""
        return ""

    def farewell(self) -> str:
        """Return what the terminal says at the end."""
        return f"{self.title} has ended."

    def look(self) -> None:
        """Take in the answers that are new, and draw the page if it changes."""
        stamps = {path.stem: path.stat().st_mtime_ns for path in self.answers.glob("[!.]*.json")}
        with self.lock:
            new = [pi for pi in stamps if stamps[pi] != self._stamps.get(pi)]
            for pi in new:
                self._take_in(pi)
            self._stamps = stamps
            if new or not self.html:
                self.show()

    def show(self) -> None:
        """Draw the page."""
        self.html = self.draw()
        self.version = sha256(self.html.encode()).hexdigest()[:16]

    def _take_in(self, pi: str) -> None:
        answer = json.loads((self.answers / f"{pi}.json").read_bytes())  # the action plugin wrote it, and whole
        if answer["lost"] != self.lost.get(pi, ""):
            print(f"{pi} does not answer: {answer['lost']}" if answer["lost"] else f"{pi} answers.", flush=True)
        self.lost[pi] = answer["lost"]
        self.take_in(pi, answer["shown"])


class Server(ThreadingHTTPServer):
    """The page's server, for this computer only."""

    daemon_threads = True

    def __init__(self, page: LivePage, port: int) -> None:
        self.page = page
        try:
            super().__init__((HERE, port), Handler)
        except OSError:  # the port is in use
            super().__init__((HERE, 0), Handler)

    @property
    def url(self) -> str:
        """The page's address."""
        return f"http://{HERE}:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    """What the page asks."""

    server: Server
    timeout = 10  # seconds that a browser may say nothing

    def do_GET(self) -> None:
        """Send the page, or which version of it there is."""
        if not self._is_ours():
            self._send(403)
        elif self.path == "/":
            self._send(200, self.server.page.html, "text/html")
        elif self.path == "/version":
            self._send(200, self.server.page.version)
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
        self._send(204 if self.server.page.press(self.path.removeprefix("/"), what) else 404)

    def _is_ours(self) -> bool:
        """Refuse another name for this computer: a site could point its own here, to read the page."""
        ours = {f"{HERE}:{self.server.server_port}", f"localhost:{self.server.server_port}"}
        return self.headers.get("Host") in ours

    def _send(self, code: int, text: str = "", kind: str = "text/plain") -> None:
        content = text.encode()
        self.send_response(code)
        if code != 204:
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing: the page asks every second."""


def run(command: Sequence[str], page: LivePage) -> int:
    """Run the playbook until it ends, or Ctrl-C, and keep the page meanwhile. Returns its exit code, 0 for Ctrl-C."""
    asking = subprocess.Popen(command)

    def stop(*_: object) -> None:
        asking.send_signal(signal.SIGINT)
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, signal.default_int_handler)  # it reaches the playbook from the terminal, too
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    try:
        while asking.poll() is None:
            page.look()
            time.sleep(EVERY)
    except KeyboardInterrupt:
        return 0
    finally:
        _end(asking)
    return asking.returncode


def _end(process: subprocess.Popen[bytes]) -> None:
    """Wait until it has ended, whoever is impatient; it is killed if that takes long."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def keep(folder: Path, command: Sequence[str], make: Callable[[Path], LivePage]) -> int:
    """Run the playbook and keep its page, and print where it is; return the exit code.

    folder: which only one run at a time may have. make: makes the page, from the folder of the answers.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="mynn-page-") as answers:
        page = make(Path(answers))
        try:
            with locked(folder, 0):
                page.look()
                with Server(page, page.port) as server:
                    threading.Thread(target=server.serve_forever, daemon=True).start()
                    print(f"{page.title}: {server.url} ({page.hint}). Ctrl-C ends it.", page.greeting(), sep="\n")
                    sys.stdout.flush()
                    extra = json.dumps({"__live_page_answers": answers})
                    code = run([*command, "--forks", str(FORKS), "--extra-vars", extra], page)
                    server.shutdown()
        except TimeoutError:
            print(f"{page.title} is already on, in another terminal: end it there with Ctrl-C.", file=sys.stderr)
            return 1
    print(page.farewell())
    return code
