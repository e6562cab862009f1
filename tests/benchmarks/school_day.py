"""A school day of a class of virtual Pis, measured: what pupils wait for, what the desk says, and whether work is lost.

    python -m tests.benchmarks.school_day [--pis 30 | --students 30] [--spread 120]

The class is thirty Pis, or with --students one of 4 GB that all share. A thread per pupil sends what the browser's
pages send: it signs in, runs lessons 1, 2, 4 and 9 cell by cell, and saves. Meanwhile a teacher uses the desk in
Chromium, one pupil's program takes all memory, and two Pis lose their power; one of them comes back in the lesson. (Of
the pupils who share a Pi, two servers are killed.) Then work is collected, and the next class signs in.

A save that the Pi has answered has to be on the Pi afterwards, and in the collection: otherwise this exits with 1. This
computer's processors are the whole class's, so the waits are longer than those of real Pis side by side.
"""

from __future__ import annotations

import argparse
import inspect
import itertools
import json
import math
import os
import random
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import requests
import websocket
from playwright.sync_api import Page, expect

from mynn import Examples
from mynn_server.federated import MOST_OF_ONE
from tests.benchmarks.desk import class_of
from tests.provisioned.notebook_server import Kernel, NotebookServer, Output
from tests.support.browser import MINUTES, open_browser
from tests.support.classroom import ROOT, Classroom, as_student, on, one_line, root, until, with_inventory
from tests.support.desk import Teacher, open_desk
from tests.support.federated import DIGITS, Browser, learnt, sent, untrained
from tests.support.pupil import FIRST, LESSONS, PAD, SECOND, TRAINING
from tests.virtual import Fleet

DAY = (FIRST, SECOND, TRAINING, PAD)  # lessons 1, 2, 4 and 9
CELLS = 12  # of each lesson that are run
FEW = {"= 10_000 ": "= 1_000 ", "= 60_000 ": "= 1_000 ", "= 5_000 ": "= 200 "}  # digits, in the cell of the settings
PLOT = "import matplotlib.pyplot as plt; plt.plot([1, 2, 3]); plt.show()"
SLOW = "import time; time.sleep(3); print('meanwhile')"
ALL_MEMORY = "blocks = []\nwhile True: blocks.append(bytes(range(256)) * (1 << 16))"
ROUNDS = 10  # of the class's network
HANDED_OUT = 20_000_000  # bytes
PAGE = {"Accept": "text/html"}
AWAY = (OSError, websocket.WebSocketException)  # what a page meets whose Pi, server or program is gone
PATIENCE, LONGEST = 1800, 120  # seconds until something has failed, and a cell
WAITS = ("sign in", "open a lesson", "2 + 2", "a plot", "a save", "a round of the class’s network")


def sum_of(cells: list[dict[str, Any]]) -> str:
    """Return the checksum of a notebook's text."""
    import hashlib
    import json

    return hashlib.sha256(json.dumps(["".join(cell["source"]) for cell in cells]).encode()).hexdigest()


# Print the checksum of each notebook in the folder, by its path.
SUMS = f"""
import json, pathlib
from typing import Any
{inspect.getsource(sum_of)}
paths = pathlib.Path().rglob("*.ipynb")
print(json.dumps({{str(path): sum_of(json.loads(path.read_bytes())["cells"]) for path in paths}}))
"""


@dataclass
class Day:
    """What is measured, and what all take part in."""

    waits: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    said: list[tuple[str, float]] = field(default_factory=list)  # after how many seconds, of each fault
    troubles: list[str] = field(default_factory=list)  # that pages met
    memory: int = 0  # MB that a Pi used at most
    load: float = 0
    over: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def timed(self, what: str) -> Iterator[None]:
        """Measure what succeeds."""
        began = time.monotonic()
        yield
        self.waits[what].append(time.monotonic() - began)
        self.load = max(self.load, os.getloadavg()[0])


class Pupil:
    """A pupil's browser: the start page, and the page of a lesson."""

    def __init__(self, day: Day, number: int, pi: str, student: str, server: NotebookServer) -> None:
        self.day, self.pi, self.student, self.server = day, pi, student, server
        self.name = f"Pupil {number + 1:02}"
        self.random = random.Random(number)
        self.lesson = self.path = self.version = self.session = ""
        self.cells: list[dict[str, Any]] = []
        self.saves, self.saved, self.sent = 0, dict[str, str](), dict[str, str]()  # checksums by path
        self.typed = itertools.count(1)
        self.takes_all, self.is_seen = threading.Event(), threading.Event()

    def ask(self, method: str, path: str, **options: Any) -> requests.Response:
        """Send a request, which must succeed."""
        answer = self.server.ask(method, path, **options)
        answer.raise_for_status()
        return answer

    def visit(self, path: str) -> None:
        """Open a page with the parts that its HTML names."""
        html = self.ask("GET", path, headers=PAGE).text
        for part in sorted(set(re.findall(r'(?:src|href)="([\w./-]+\.(?:js|css|svg))', html))):
            self.ask("GET", part if part.startswith("/") else f"{path.rpartition('/')[0]}/{part}")

    def look(self) -> dict[str, Any]:
        """Ask what the start page shows."""
        status: dict[str, Any] = self.server.get("/start/status")
        self.day.memory = max(self.day.memory, status["memory"]["total"] - status["memory"]["free"])
        return status

    def spend_day(self, spread: float, password: str) -> None:
        """Sign in some time, and work until the day is over. If the Pi was away, go on with what is on the page."""
        time.sleep(self.random.uniform(0, spread))
        with self.day.timed("sign in"):
            self.server.ask("GET", "/", headers=PAGE)
            assert self.server.sign_in(password), f"{self.name} has another password."
            self.visit("/start/")
            for picture in {lesson["picture"] for lesson in self.look()["lessons"]}:
                self.ask("GET", f"/start/{picture}")
        for lesson in DAY:
            done = False
            while not (done or self.day.over.is_set()):
                try:
                    self.work(lesson)
                    done = True
                except AWAY as error:
                    self.day.troubles.append(f"{self.name}, {lesson}: {error!r}"[:200])
                    self.wait_for_pi()

    def wait_for_pi(self) -> None:
        """Ask as lessons' pages do until the Pi answers."""
        while not self.day.over.wait(2.5):
            with suppress(requests.RequestException):
                self.ask("GET", "/start/talk", timeout=6)
                return

    def work(self, lesson: str) -> None:
        """Run a lesson's cells from the top; in the last one, go on until the day is over."""
        began, is_open = time.monotonic(), False
        self.open(lesson)
        code = [cell for cell in self.cells if cell["cell_type"] == "code"][:CELLS]
        for number in itertools.count():
            if self.day.over.is_set() or (number >= CELLS and lesson != DAY[-1]):
                break
            output = self.run(code[number % len(code)])
            if not is_open and (output.text or output.pictures):
                self.day.waits["open a lesson"].append(time.monotonic() - began)
                is_open = True
            if number % 3 == 2:
                self.try_out()
                self.save()
            if (lesson, number) == (SECOND, 4):
                self.close_tab(code[5])
            if self.takes_all.is_set():
                self.take_all_memory()
            for _ in range(self.random.randrange(1, 4)):
                self.day.over.wait(1)
                self.ask("GET", "/start/talk")
        self.save()
        if lesson != DAY[-1]:
            self.kernel.socket.close()
            self.server.delete(f"/api/sessions/{self.session}")
            self.look()

    def open(self, lesson: str) -> None:
        """Open a lesson with its program; keep what is typed but not saved, if this is the same page."""
        self.look()
        if self.lesson != lesson:
            self.path = f"{lesson}.ipynb"
            self.visit(f"/notebooks/{self.path}")
            model = self.server.get(f"/api/contents/{self.path}?type=notebook&content=1&hash=1")
            self.content, self.version = model["content"], model["hash"]
            self.lesson, self.cells = lesson, model["content"]["cells"]
            for cell in self.cells:
                for many, few in FEW.items():
                    cell["source"] = cell["source"].replace(many, few)
            self.plain = {cell["id"]: cell["source"] for cell in self.cells}
        session = self.server.open_notebook(f"{lesson}.ipynb")
        self.session, identity = session["id"], session["kernel"]["id"]
        self.kernel = Kernel(identity, self.server.connect(identity))

    def run(self, cell: dict[str, Any], more: str = "", seconds: float = LONGEST) -> Output:
        """Type something of one's own into a cell, and run it."""
        cell["source"] = "\n".join(filter(None, [self.plain[cell["id"]], more, f"# {self.name}: {next(self.typed)}"]))
        output = self.kernel.run(cell["source"], seconds, cell["id"])
        if output.error:
            self.day.troubles.append(f"{self.name}, {self.lesson}: {output.error}")
        return output

    def try_out(self) -> None:
        """Measure two small cells."""
        with self.day.timed("2 + 2"):
            assert self.kernel.run("2 + 2", LONGEST).text == "4"
        with self.day.timed("a plot"):
            assert self.kernel.run(PLOT, LONGEST).pictures

    def missed(self) -> dict[str, Any]:
        """Return what the server has kept of the cells' outputs."""
        kept: dict[str, Any] = self.server.get(f"/start/missed?kernel={self.kernel.identity}&since=0")
        for run in kept["runs"]:
            for cell in self.cells:
                if cell["id"] == run["cell"]:
                    cell |= {"outputs": run["outputs"], "execution_count": run["count"]}
        return kept

    def save(self) -> None:
        """Save the lesson with its outputs. Once this is answered, it must not be lost."""
        self.missed()
        model = {"type": "notebook", "format": "json", "content": self.content, "made_from": self.version}
        model |= {"page": self.name, "kernel": self.kernel.identity}
        self.sent[self.path] = sum_of(self.cells)
        with self.day.timed("a save"):
            answer = self.ask("PUT", f"/api/contents/{self.path}", json=model).json()
        there, self.path, self.version = self.path, answer["path"], answer["hash"]
        self.saved[self.path] = self.sent[self.path] = self.sent[there]
        self.saves += 1

    def close_tab(self, cell: dict[str, Any]) -> None:
        """Close the tab while a cell runs, and open it again: what the cell has shown meanwhile is there."""
        self.kernel.socket.settimeout(0.2)
        with suppress(TimeoutError):
            self.run(cell, SLOW, 1)
        self.kernel.socket.close()
        self.day.over.wait(4)
        self.open(self.lesson)
        until(lambda: not any(run["running"] for run in self.missed()["runs"]), PATIENCE)
        if "meanwhile" not in json.dumps(cell["outputs"]):
            self.day.troubles.append(f"{self.name}: lost the output of a cell whose tab was closed")

    def take_all_memory(self) -> None:
        """Run a cell that takes all memory, read why it was stopped, and begin again from the top."""
        self.takes_all.clear()
        began = time.monotonic()
        self.kernel.socket.settimeout(0.2)
        with suppress(TimeoutError):
            self.kernel.run(ALL_MEMORY, 1)
        until(lambda: bool(self.missed()["died"]), PATIENCE)
        self.day.said.append(
            (f"a program takes all memory; its page: “{self.missed()['died']}”", time.monotonic() - began)
        )
        self.is_seen.wait(LONGEST)
        raise TimeoutError("The program has taken all memory.")


def pupils_of(day: Day, classroom: Classroom, students: int) -> list[Pupil]:
    """Return the pupils, signed out."""
    pis = classroom.fleet.members
    seats = [(pis[0], f"seat{number + 1:02}", 8888 + number) for number in range(students)] if students else []
    seats = seats or [(pi, "student", 8888) for pi in pis]
    return [
        Pupil(day, number, pi.name, student, NotebookServer(f"http://{pi.address}:{port}"))
        for number, (pi, student, port) in enumerate(seats)
    ]


def password_of(classroom: Classroom, pupil: Pupil) -> str:
    """Return what is on the label."""
    return classroom.password_of(pupil.pi if pupil.student == "student" else f"{pupil.pi}-{pupil.student}")


class School:
    """The teacher's part of the day, at the desk."""

    def __init__(self, day: Day, classroom: Classroom, pupils: list[Pupil], page: Page) -> None:
        self.day, self.classroom, self.pupils, self.teacher = day, classroom, pupils, Teacher(page)
        self.is_shared = pupils[0].student != "student"
        self.back, self.dead = pupils[-2:]  # whose Pi comes back in the lesson, and whose stays dead

    def measure(self, what: str, *buttons: str, ends: str = "Finished.") -> None:
        """Measure what buttons start, until the desk reports its end."""
        with self.day.timed(what):
            said = self.teacher.press(*buttons, ends=ends)
        if ends != "Finished.":
            self.day.said.append((f"{what}: “{one_line(said)}”", self.day.waits[what][-1]))

    def name_pupils(self) -> None:
        """Tell the desk who sits where."""
        page = self.teacher.page
        expect(page.get_by_text(re.compile(r"(\d+) of \1 Pis answer"))).to_be_visible()
        page.get_by_role("link", name="Names of the pupils").click()
        for pupil in self.pupils:
            page.locator(f"[name='{pupil.pi}/{pupil.student}']").fill(pupil.name)
        page.get_by_role("button", name="Save the names").click()
        expect(page.get_by_text("The names are saved.")).to_be_visible()

    def hold(self, wait: Callable[[Callable[[], bool]], None]) -> None:
        """Hand out, show a message, and meet faults, until all have saved the last lesson."""
        self.teacher.go_to("Work")
        self.measure("hand out 20 MB", "Hand out")
        wait(lambda: len(self.day.waits["sign in"]) == len(self.pupils))
        self.teacher.go_to("Class")
        self.teacher.page.get_by_label("Message to the class").fill("Look at the first cell")
        self.measure("message shown", "Show")
        self.teacher.go_to("Class")
        hungry = self.pupils[0]
        wait(lambda: hungry.path in hungry.saved)
        hungry.takes_all.set()
        self.hear("a program takes all memory", hungry, "ran out of memory")
        hungry.is_seen.set()
        teach_together(self.day, hungry.server.url, password_of(self.classroom, hungry))
        for pupil in (self.back, self.dead):
            self.strike(pupil)
        if not self.is_shared:
            threading.Thread(target=self.classroom.fleet.start, args=[self.back.pi]).start()
            self.hear("power comes back", self.back, "MB free")
        busy = [pupil for pupil in self.pupils if self.is_shared or pupil is not self.dead]
        wait(lambda: all(pupil.lesson == DAY[-1] and pupil.path in pupil.saved for pupil in busy))

    def strike(self, pupil: Pupil) -> None:
        """Cut a Pi's power, or kill a student's server. The page notices, as nothing answers it."""
        if self.is_shared:
            root(self.classroom, f"systemctl kill --signal=KILL jupyter@{pupil.student}")
        else:
            self.classroom.fleet.container(pupil.pi).kill()
        if connection := pupil.kernel.socket.sock:
            connection.shutdown(socket.SHUT_RDWR)
        what, words = ("a server is killed", "Not signed in") if self.is_shared else ("power is cut", "Does not answer")
        self.hear(what, pupil, words)

    def hear(self, what: str, pupil: Pupil, words: str) -> None:
        """Wait until a pupil's card has these words, and note what it says."""
        began, card = time.monotonic(), self.teacher.at(pupil.name)
        says = "nothing"
        with suppress(AssertionError):
            expect(card).to_contain_text(words, timeout=2 * MINUTES)
            says = f"“{one_line(' '.join(card.locator('.word, .fault').all_inner_texts()))}”"
        self.day.said.append((f"{what}; the desk says {says}", time.monotonic() - began))

    def end(self, work: Path) -> list[str]:
        """Collect, and reset for the next class, which signs in. Return what is lost."""
        self.teacher.go_to("Work")
        self.measure("collect", "Collect", ends="Finished." if self.is_shared else "Not finished on all Pis.")
        self.classroom.fleet.start(self.dead.pi)
        lost = self.compare("the Pi", self.sums)
        self.teacher.press("Collect")
        lost += self.compare("the collection", lambda pupil: sums_in(max(work.glob(f"2*/{pupil.pi}")) / pupil.student))
        self.teacher.go_to("Work")
        self.teacher.press("Look at what it would change")
        self.teacher.page.get_by_label("New passwords").check()
        self.measure("reset", "Reset", "Reset")
        self.teacher.go_to("Class")
        self.teacher.page.get_by_role("link", name="Names of the pupils").click()
        for _ in range(2):
            self.teacher.page.locator("button:visible", has_text="Delete all names").last.click()
        expect(self.teacher.page.get_by_text("All names are deleted.")).to_be_visible()
        fresh = sums_in(LESSONS)
        for pupil in self.pupils:
            server = NotebookServer(pupil.server.url)
            if not server.sign_in(password_of(self.classroom, pupil)) or not self.sums(pupil).items() <= fresh.items():
                lost.append(f"{pupil.name}: the next class has the work of this one, or cannot sign in")
            server.open_notebook(f"{FIRST}.ipynb")
        if not self.is_shared:
            self.teacher.go_to("Class")
            self.measure("off", "Save all and switch off", "Save all and switch off")
        return lost

    def sums(self, pupil: Pupil) -> dict[str, str]:
        """Return the checksums of a pupil's notebooks on the Pi."""
        sums: dict[str, str] = json.loads(as_student(on(self.classroom, pupil.pi), SUMS, pupil.student))
        return sums

    def compare(self, where: str, sums: Callable[[Pupil], dict[str, str]]) -> list[str]:
        """Return the notebooks whose last answered save is not there, nor one that was sent after it."""
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(sums, self.pupils))
        return [
            f"{pupil.name} ({pupil.pi}, {pupil.student}): the last save of {path} is not in {where}"
            for pupil, there in zip(self.pupils, found, strict=True)
            for path, sum_of_it in pupil.saved.items()
            if there.get(path) not in (sum_of_it, pupil.sent[path])
        ]


def sums_in(folder: Path) -> dict[str, str]:
    """Return the checksums of the notebooks in a folder."""
    command = [sys.executable, "-c", SUMS]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, timeout=PATIENCE)
    sums: dict[str, str] = json.loads(done.stdout)
    return sums


def teach_together(day: Day, url: str, password: str) -> None:
    """Teach a network in as many browsers as a Pi lets in from one computer."""
    teacher = NotebookServer(url)
    assert teacher.sign_in(password)
    assert teacher.ask("GET", "/try/keep").status_code == 204
    code = teacher.ask("POST", "/try/together", data=sent(untrained(1))).json()["code"]
    browsers = [Browser(NotebookServer(url), code) for _ in range(MOST_OF_ONE)]
    teacher.ask("POST", "/try/together/start").raise_for_status()
    dice = np.random.default_rng(1)
    digits = Examples(
        dice.integers(0, 10, DIGITS, dtype=np.uint8), dice.integers(0, 256, (DIGITS, 784), dtype=np.uint8)
    )

    def take_part(browser: Browser) -> None:
        weights = browser.client.ask("GET", "/try/together/weights", headers=browser.headers).content
        for done in range(ROUNDS):
            with day.timed(WAITS[-1]):
                answer = browser.send(learnt(weights, digits, done), f"round={done}&alone=500")
                answer.raise_for_status()
            weights = answer.content

    with ThreadPoolExecutor(MOST_OF_ONE) as pool:
        list(pool.map(take_part, browsers))


def table(day: Day, pupils: list[Pupil], lost: list[str]) -> str:
    """Return what was measured, in Markdown."""
    lines = [f"{os.cpu_count()} processors, load up to {day.load:.0f}", ""]
    lines += ["| | times | median | 95 % | most |", "|---|---|---|---|---|"]
    for what, waits in day.waits.items():
        waits = sorted(waits)
        most = [statistics.median(waits), waits[math.ceil(len(waits) * 0.95) - 1], waits[-1]]
        shown = " | ".join(f"{wait:.2f} s" for wait in most) if what in WAITS else f"| | {waits[0]:.1f} s"
        lines.append(f"| {what} | {len(waits)} | {shown} |")
    lines += [f"| {what} | 1 | | | {seconds:.1f} s |" for what, seconds in day.said]
    lines.append(f"| memory of a Pi | | | | {day.memory} MB |")
    lines.append(f"| saves answered | {sum(pupil.saves for pupil in pupils)} | | | |")
    notebooks = sum(len(pupil.saved) for pupil in pupils)
    lines.append(f"| notebooks whose last answered save is lost | {len(lost)} of {notebooks} | | | |")
    return "\n".join(lines)


def spend(classroom: Classroom, students: int, spread: float) -> list[str]:
    """Spend the day. Return what is lost."""
    day = Day()
    pupils = pupils_of(day, classroom, students)
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(len(pupils)) as pool:
        folder = Path(name)
        (folder / "handout/sheets").mkdir(parents=True)
        (folder / "handout/sheets/sheet.bin").write_bytes(random.Random(1).randbytes(HANDED_OUT))
        collections = {pupil.pi: f"student_work_collections={folder}/dist/work" for pupil in pupils}
        classroom = with_inventory(classroom, folder, settings=collections)
        try:
            with (
                open_desk(classroom.inventory, folder / "dist/desk") as (url, _),
                open_browser(PATIENCE / 60 * MINUTES) as browser,
            ):
                browser.pages[0].goto(url)
                school = School(day, classroom, pupils, browser.pages[0])
                school.name_pupils()
                days = [pool.submit(one.spend_day, spread, password_of(classroom, one)) for one in pupils]

                def wait(holds: Callable[[], bool]) -> None:
                    until(lambda: holds() or any(one.done() for one in days), PATIENCE)
                    for one in days:
                        if one.done():
                            one.result()

                school.hold(wait)
                day.over.set()
                for one in days:
                    one.result(PATIENCE)
                lost = school.end(folder / "dist/work")
        finally:
            day.over.set()
    print(table(day, pupils, lost), flush=True)
    print(*day.troubles, *lost, sep="\n", file=sys.stderr)
    return lost


def main() -> None:
    """Make the class, spend the day, and remove it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pis", type=int, default=30, help="how many, with a pupil each (%(default)s)")
    parser.add_argument("--students", type=int, default=0, help="instead, how many pupils share one Pi")
    parser.add_argument("--spread", type=float, default=120, help="seconds in which all sign in (%(default)s)")
    options = parser.parse_args()
    one, many = (Fleet(ROOT / f"build/virtual-day-{name}") for name in ("one", "many"))
    try:
        if options.students:
            many.up(1, students=options.students, publish=range(8888, 8888 + options.students))
            Classroom(many).run("site")
        else:
            class_of(options.pis, one, many).run("site", "-e", "jupyter_new_passwords=true")
        lost = spend(Classroom(many), options.students, options.spread)
    finally:
        many.down()
        one.down()
    sys.exit(bool(lost))


if __name__ == "__main__":
    main()
