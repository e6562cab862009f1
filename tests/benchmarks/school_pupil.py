"""The pupils of a school day: what their browsers send, how long they wait, and which saves the Pi has answered."""

from __future__ import annotations

import hashlib
import inspect
import itertools
import json
import math
import os
import random
import re
import statistics
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import requests
import websocket

from mynn import Examples
from mynn_server.federated import MOST_OF_ONE
from tests.provisioned.notebook_server import Kernel, NotebookServer, Output
from tests.support.classroom import until
from tests.support.federated import DIGITS, Browser, learnt, sent, untrained
from tests.support.pupil import FIRST, PAD, SECOND, TRAINING

DAY = (FIRST, SECOND, TRAINING, PAD)  # lessons 1, 2, 4 and 9
CELLS = 6  # of each lesson that are run
FEW = {"= 10_000 ": "= 1_000 ", "= 60_000 ": "= 1_000 ", "= 5_000 ": "= 200 "}  # digits, in the cell of the settings
SLOW = "import time; time.sleep(3); print('meanwhile')"
ALL_MEMORY = "blocks = []\nwhile True: blocks.append(bytes(range(256)) * (1 << 16))"
TRIED = {"2 + 2": "2 + 2", "a plot": "import matplotlib.pyplot as plt; plt.plot([1, 2, 3]); plt.show()"}
ROUNDS = 10  # of the class's network
PATIENCE, LONGEST = 1800, 120  # seconds until something has failed, and a cell
AWAY = (OSError, websocket.WebSocketException)  # what a page meets whose Pi, server or program is gone
OPEN = "open a lesson, and run its first cell"
SEVERAL = ("sign in", OPEN, *TRIED, "a save", "a round of the class’s network")


def sum_of(cells: list[dict[str, Any]]) -> str:
    """Return the checksum of a notebook's text."""
    return hashlib.sha256(json.dumps(["".join(cell["source"]) for cell in cells]).encode()).hexdigest()


def sums_in(folder: Path) -> dict[str, str]:
    """Return the checksums of the notebooks in a folder, by path."""
    found = {path: json.loads(path.read_bytes())["cells"] for path in folder.rglob("*.ipynb")}
    return {str(path.relative_to(folder)): sum_of(cells) for path, cells in found.items()}


IMPORTS = "import hashlib, json\nfrom pathlib import Path\nfrom typing import Any\n"
SUMS = f"{IMPORTS}{inspect.getsource(sum_of)}{inspect.getsource(sums_in)}print(json.dumps(sums_in(Path())))"


class Day:
    """What is measured, by what it is."""

    def __init__(self) -> None:
        self.waits, self.said = defaultdict[str, list[float]](list), list[tuple[str, float]]()
        self.lost, self.troubles = list[str](), list[str]()
        self.saves, self.memory, self.load, self.over = 0, 0, 0.0, threading.Event()

    @contextmanager
    def timed(self, what: str) -> Iterator[None]:
        """Measure what succeeds."""
        began = time.monotonic()
        yield
        self.waits[what].append(time.monotonic() - began)
        self.load = max(self.load, os.getloadavg()[0])

    def table(self) -> str:
        """Return what was measured, in Markdown."""
        lines = [f"{os.cpu_count()} processors, load up to {self.load:.0f}", ""]
        lines += ["| | times | median | 95 % | most |", "|---|---|---|---|---|"]
        for what, waits in self.waits.items():
            waits = sorted(waits)
            most = statistics.median(waits), waits[math.ceil(len(waits) * 0.95) - 1], waits[-1]
            shown = " | ".join(f"{wait:.2f} s" for wait in most) if what in SEVERAL else f"| | {waits[0]:.1f} s"
            lines.append(f"| {what} | {len(waits)} | {shown} |")
        lines += [f"| {what} | 1 | | | {seconds:.1f} s |" for what, seconds in self.said]
        counts = {"memory of a Pi, in MB": self.memory, "saves answered": self.saves, "lost": len(self.lost)}
        return "\n".join(lines + [f"| {what} | | | | {count} |" for what, count in counts.items()])


class Pupil:
    """A pupil's browser: the start page, and the page of a lesson."""

    def __init__(self, day: Day, number: int, pi: str, student: str, url: str) -> None:
        self.day, self.pi, self.student, self.server = day, pi, student, NotebookServer(url)
        self.name, self.label = f"Pupil {number + 1:02}", pi if student == "student" else f"{pi}-{student}"
        self.random, self.typed = random.Random(number), itertools.count(1)
        self.lesson = self.path = self.version = self.session = ""
        self.content, self.plain = dict[str, Any](), dict[str, str]()
        self.saves, self.saved, self.sent = 0, dict[str, str](), dict[str, str]()  # the last ones' checksums by path
        self.takes_all, self.is_seen = threading.Event(), threading.Event()

    def ask(self, method: str, path: str, **options: Any) -> requests.Response:
        """Send a request, which must succeed."""
        answer = self.server.ask(method, path, **options)
        answer.raise_for_status()
        return answer

    def visit(self, path: str) -> None:
        """Open a page with the parts that its HTML names."""
        html = self.ask("GET", path, headers={"Accept": "text/html"}).text
        for part in sorted(set(re.findall(r'(?:src|href)="([\w./-]+\.(?:js|css|svg))', html))):
            self.ask("GET", part if part.startswith("/") else f"{path.rpartition('/')[0]}/{part}")

    def look(self) -> Any:
        """Return what the start page shows."""
        status = self.server.get("/start/status")
        self.day.memory = max(self.day.memory, status["memory"]["total"] - status["memory"]["free"])
        return status

    def spend_day(self, spread: float, password: str) -> None:
        """Sign in some time, and work until the day is over. If the Pi was away, go on with what is on the page."""
        time.sleep(self.random.uniform(0, spread))
        with self.day.timed("sign in"):
            self.server.ask("GET", "/", headers={"Accept": "text/html"})
            assert self.server.sign_in(password), f"{self.name} has another password."
            self.visit("/start/")
            for picture in {lesson["picture"] for lesson in self.look()["lessons"]}:
                self.ask("GET", f"/start/{picture}")
        lessons = [*DAY]
        while lessons and not self.day.over.is_set():
            try:
                self.work(lessons[0])
                del lessons[0]
            except AWAY as error:
                self.day.troubles.append(f"{self.name}, {self.lesson}: {error!r}"[:200])
                while not self.day.over.wait(2.5):  # as lessons' pages do
                    with suppress(requests.RequestException):
                        self.ask("GET", "/start/talk", timeout=6)
                        break

    def work(self, lesson: str) -> None:
        """Run a lesson's cells from the top; in the last one, go on until the day is over."""
        is_last = lesson == DAY[-1]
        with self.day.timed(OPEN):
            self.open(lesson)
            code = [cell for cell in self.content["cells"] if cell["cell_type"] == "code"][:CELLS]
            self.run(code[0])
        for number, cell in enumerate(itertools.cycle(code) if is_last else code):
            if number:
                self.run(cell)
            if number % 3 == 2:
                for what, trial in TRIED.items():
                    with self.day.timed(what):
                        self.kernel.run(trial, LONGEST)
                self.save()
            if (lesson, number) == (SECOND, 4):
                self.close_tab(code[5])
            if self.takes_all.is_set():
                self.take_all_memory(cell)
            for _ in range(self.random.randrange(2, 11)):  # they read, think and type
                self.day.over.wait(2.5)
                self.ask("GET", "/start/talk")
            if self.day.over.is_set():
                break
        self.save()
        if not is_last:
            self.kernel.socket.close()
            self.server.delete(f"/api/sessions/{self.session}")

    def open(self, lesson: str) -> None:
        """Open a lesson with its program; keep what is typed but not saved, if this is the same page."""
        self.look()
        if self.lesson != lesson:
            self.visit(f"/notebooks/{lesson}.ipynb")
            model = self.server.get(f"/api/contents/{lesson}.ipynb?type=notebook&content=1&hash=1")
            self.lesson, self.path, self.version = lesson, f"{lesson}.ipynb", model["hash"]
            text = json.dumps(model["content"])
            for many, few in FEW.items():
                text = text.replace(many, few)
            self.content = json.loads(text)
            self.plain = {cell["id"]: cell["source"] for cell in self.content["cells"]}
        session = self.server.open_notebook(f"{lesson}.ipynb")
        self.session, identity = session["id"], session["kernel"]["id"]
        self.kernel = Kernel(identity, self.server.connect(identity))

    def run(self, cell: dict[str, Any], more: str = "", seconds: float = LONGEST) -> Output:
        """Type something of one's own into a cell, and run it."""
        cell["source"] = f"{self.plain[cell['id']]}\n{more}\n# {self.name}: {next(self.typed)}"
        output = self.kernel.run(cell["source"], seconds, cell["id"])
        if output.error:
            self.day.troubles.append(f"{self.name}, {self.lesson}: {output.error}")
        return output

    def missed(self) -> Any:
        """Return what the server has kept of the cells' outputs, and show it."""
        kept = self.server.get(f"/start/missed?kernel={self.kernel.identity}&since=0")
        for run, cell in itertools.product(kept["runs"], self.content["cells"]):
            if cell["id"] == run["cell"]:
                cell |= {"outputs": run["outputs"], "execution_count": run["count"]}
        return kept

    def save(self) -> None:
        """Save the lesson with its outputs. Once this is answered, it must not be lost."""
        self.missed()
        model = {"type": "notebook", "format": "json", "content": self.content, "made_from": self.version}
        model |= {"page": self.name, "kernel": self.kernel.identity}
        self.sent[self.path] = now = sum_of(self.content["cells"])
        with self.day.timed("a save"):
            answer = self.ask("PUT", f"/api/contents/{self.path}", json=model).json()
        self.path, self.version = answer["path"], answer["hash"]
        self.saved[self.path] = self.sent[self.path] = now
        self.saves += 1
        self.day.saves += 1

    def begin(self, code: str, cell: dict[str, Any]) -> None:
        """Begin to run a cell."""
        self.kernel.socket.settimeout(0.2)
        with suppress(TimeoutError):
            self.run(cell, code, 1)

    def close_tab(self, cell: dict[str, Any]) -> None:
        """Close the tab while a cell runs, and open it again: what the cell has shown meanwhile is there."""
        self.begin(SLOW, cell)
        self.kernel.socket.close()
        self.day.over.wait(4)
        self.open(self.lesson)
        until(lambda: not any(run["running"] for run in self.missed()["runs"]), PATIENCE)
        if "meanwhile" not in json.dumps(cell["outputs"]):
            self.day.lost.append(f"{self.name}: the output of a cell whose tab was closed")

    def take_all_memory(self, cell: dict[str, Any]) -> None:
        """Run a cell that takes all memory, and read why it was stopped; then begin again from the top."""
        self.takes_all.clear()
        began = time.monotonic()
        self.begin(ALL_MEMORY, cell)
        until(lambda: bool(self.missed()["died"]), PATIENCE)
        says = f"a program takes all memory; its page says “{self.missed()['died']}”"
        self.day.said.append((says, time.monotonic() - began))
        self.is_seen.wait(LONGEST)
        raise TimeoutError("all memory was taken")


def teach_together(day: Day, url: str, password: str) -> None:
    """Teach a network in as many browsers as a Pi lets in from one computer."""
    teacher = NotebookServer(url)
    assert teacher.sign_in(password) and teacher.ask("GET", "/try/keep").ok
    code = teacher.ask("POST", "/try/together", data=sent(untrained(1))).json()["code"]
    browsers = [Browser(NotebookServer(url), code) for _ in range(MOST_OF_ONE)]
    teacher.ask("POST", "/try/together/start").raise_for_status()
    dice = np.random.default_rng(1)
    pixels = dice.integers(0, 256, (DIGITS, 784), dtype=np.uint8)
    digits = Examples(dice.integers(0, 10, DIGITS, dtype=np.uint8), pixels)

    def take_part(browser: Browser) -> None:
        weights = browser.client.ask("GET", "/try/together/weights", headers=browser.headers).content
        for done in range(ROUNDS):
            with day.timed(SEVERAL[-1]):
                answer = browser.send(learnt(weights, digits, done), f"round={done}&alone=500")
                answer.raise_for_status()
            weights = answer.content

    with ThreadPoolExecutor(MOST_OF_ONE) as pool:
        list(pool.map(take_part, browsers))
