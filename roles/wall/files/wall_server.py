"""`make wall`: run the playbook that asks the Pis, and show the class what students show, until Ctrl-C.

wall_server.py FOLDER COMMAND...

COMMAND runs playbooks/wall.yml. The page is FOLDER/index.html, and while this runs http://127.0.0.1:8900, where each
card has a button that takes it off. Whom the teacher took off is remembered in FOLDER/taken_off.json. The class's own
test set is FOLDER/test_set/class_digits.csv. The Pis' answers themselves are kept only while this runs.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from wall_page import Card, mosaic, page, test_set

from ansible_collections.mynn.pi.plugins.module_utils.files import locked, replacing
from ansible_collections.mynn.pi.plugins.module_utils.text import printable
from mynn import wall
from mynn.errors import DataError

HERE = "127.0.0.1"  # nobody else's computer can open the page
PORT = 8900
EVERY = 0.3  # seconds between looks for new answers
FORKS = 500  # each Pi is asked in a process of its own, which is started when it is needed
LARGEST = 4096  # bytes that the page sends


class Wall:
    """What is on the wall. answers: the folder in which playbooks/wall.yml puts each Pi's answer, as PI.json."""

    def __init__(self, folder: Path, answers: Path) -> None:
        self.folder = folder
        self.answers = answers
        self.taken_off = self._remembered()
        self.html = ""
        self.version = ""
        self._stamps: dict[str, int] = {}
        self._lost: dict[str, str] = {}  # by Pi, why it did not answer; empty if it did
        self._cards: dict[str, list[Card]] = {}  # by Pi
        self._unreadable: set[str] = set()
        self._lock = threading.Lock()

    def look(self) -> None:
        """Take in the answers that are new, and write the page if it changes."""
        stamps = {path.stem: path.stat().st_mtime_ns for path in self.answers.glob("[!.]*.json")}
        with self._lock:
            new = [pi for pi in stamps if stamps[pi] != self._stamps.get(pi)]
            for pi in new:
                self._take_in(pi)
            self._stamps = stamps
            if new or not self.html:
                self._show()

    def take_off(self, place: str) -> bool:
        """Take a student off, until `put_back`. Returns whether that student is on the wall."""
        with self._lock:
            if place not in {card.place for cards in self._cards.values() for card in cards}:
                return False
            self.taken_off = [*(one for one in self.taken_off if one != place), place]
            self._remember()
            self._show()
        return True

    def put_back(self) -> None:
        """Put back the student who was taken off last."""
        with self._lock:
            self.taken_off = self.taken_off[:-1]
            self._remember()
            self._show()

    def _take_in(self, pi: str) -> None:
        """Take in a Pi's answer."""
        answer = json.loads((self.answers / f"{pi}.json").read_bytes())  # the action plugin wrote it, and whole
        if answer["lost"] != self._lost.get(pi, ""):
            print(f"{pi} does not answer: {answer['lost']}" if answer["lost"] else f"{pi} answers.", flush=True)
        self._lost[pi] = answer["lost"]
        self._cards[pi] = []
        for student, text in answer["shown"].items():
            place, digest = f"{pi}/{student}", sha256(text.encode()).hexdigest()
            try:
                self._cards[pi].append(Card(place, digest, wall.read(text)))
            except DataError as error:
                if digest not in self._unreadable:
                    print(f"{place} is left out. {printable(error)}", flush=True)
                self._unreadable.add(digest)

    def _show(self) -> None:
        """Write the page and the test set, if they change."""
        cards = [card for cards in self._cards.values() for card in cards]
        on = [card for card in cards if card.place not in self.taken_off]
        lost = sorted(pi for pi, why in self._lost.items() if why)
        html = page(on, taken_off=len(self.taken_off), answering=len(self._lost) - len(lost), lost=lost)
        if html == self.html:
            return
        self.html = html
        self.version = html.partition('data-version="')[2][:16]
        _write(self.folder / "index.html", html)
        digits = self.folder / "test_set/class_digits.csv"
        if tiles := mosaic(on):
            digits.parent.mkdir(exist_ok=True)
            _write(digits, test_set(tiles))
        elif cards:
            digits.unlink(missing_ok=True)

    def _remembered(self) -> list[str]:
        try:
            places = json.loads((self.folder / "taken_off.json").read_bytes())
            return [place for place in places if isinstance(place, str)] if isinstance(places, list) else []
        except (OSError, ValueError):
            return []

    def _remember(self) -> None:
        _write(self.folder / "taken_off.json", json.dumps(self.taken_off) + "\n")


def _write(path: Path, text: str) -> None:
    with replacing(path) as file:
        file.write(text.encode())


class Server(ThreadingHTTPServer):
    """The page's server, for this computer only."""

    daemon_threads = True

    def __init__(self, wall: Wall, port: int = PORT) -> None:
        self.wall = wall
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
            self._send(200, self.server.wall.html, "text/html")
        elif self.path == "/version":
            self._send(200, self.server.wall.version)
        else:
            self._send(404)

    def do_POST(self) -> None:
        """Take somebody off, or put the last one back."""
        # Another site's page can send requests here, but none with a header of its own.
        if not self._is_ours() or self.headers.get("X-Wall") != "1":
            self._send(403)
            return
        length = self.headers.get("Content-Length", "0")
        place = self.rfile.read(min(int(length), LARGEST)).decode(errors="replace") if length.isdecimal() else ""
        if self.path == "/take-off":
            self._send(204 if self.server.wall.take_off(place) else 404)
        elif self.path == "/put-back":
            self.server.wall.put_back()
            self._send(204)
        else:
            self._send(404)

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


def run(command: Sequence[str], shown: Wall) -> int:
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
            shown.look()
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


def main(folder: Path, command: Sequence[str]) -> int:
    """Keep the wall, and print where it is."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with locked(folder, 0), tempfile.TemporaryDirectory(prefix="mynn-wall-") as answers:
            shown = Wall(folder, Path(answers))
            shown.look()
            with Server(shown) as server:
                threading.Thread(target=server.serve_forever, daemon=True).start()
                print(f"The wall: {server.url} (open it on the projector; F11 fills the screen). Ctrl-C ends it.")
                if shown.taken_off:
                    print(f"Still taken off, as you said: {printable(', '.join(shown.taken_off))}.")
                sys.stdout.flush()
                extra = json.dumps({"__wall_answers": answers})
                code = run([*command, "--forks", str(FORKS), "--extra-vars", extra], shown)
                server.shutdown()
    except TimeoutError:
        print("The wall is already on, in another terminal: end it there with Ctrl-C.", file=sys.stderr)
        return 1
    print(f"The wall has ended. {folder}/index.html shows it as it was; delete {folder} to forget it.")
    return code


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
