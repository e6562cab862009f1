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
import hashlib
import inspect
import itertools
import json
import math
import os
import random
import re
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import requests
import websocket
from playwright.sync_api import Page, expect

from mynn import Examples
from mynn_server.federated import MOST_OF_ONE
from tests.provisioned.notebook_server import Kernel, NotebookServer, Output
from tests.support.browser import open_browser
from tests.support.classroom import ROOT, Classroom, as_student, on, one_line, root, until, with_inventory
from tests.support.desk import Teacher, open_desk
from tests.support.federated import DIGITS, Browser, learnt, sent, untrained
from tests.support.pupil import FIRST, LESSONS, PAD, SECOND, TRAINING
from tests.virtual import Fleet

DAY = (FIRST, SECOND, TRAINING, PAD)  # lessons 1, 2, 4 and 9
CELLS = 6  # of each lesson that are run
FEW = {"= 10_000 ": "= 1_000 ", "= 60_000 ": "= 1_000 ", "= 5_000 ": "= 200 "}  # digits, in the cell of the settings
SLOW = "import time; time.sleep(3); print('meanwhile')"
ALL_MEMORY = "blocks = []\nwhile True: blocks.append(bytes(range(256)) * (1 << 16))"
TRIED = {"2 + 2": "2 + 2", "a plot": "import matplotlib.pyplot as plt; plt.plot([1, 2, 3]); plt.show()"}
ROUNDS = 10  # of the class's network
HANDED_OUT = 20_000_000  # bytes
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


class School:
    """The teacher's part of the day, at the desk. back, dead: whose Pi comes back in the lesson, and whose later."""

    def __init__(self, day: Day, classroom: Classroom, pupils: list[Pupil], page: Page) -> None:
        self.day, self.classroom, self.pupils, self.page, self.teacher = day, classroom, pupils, page, Teacher(page)
        self.is_shared = pupils[0].student != "student"
        self.back, self.dead = pupils[-2:]
        self.days: list[Future[None]] = []

    def wait(self, holds: Callable[[], bool]) -> None:
        """Wait for pupils; one who has failed ends all."""
        until(lambda: holds() or any(one.done() for one in self.days), PATIENCE)
        for one in self.days:
            if one.done():
                one.result()

    def measure(self, what: str, *buttons: str) -> None:
        """Measure what buttons start, until the desk reports its end."""
        with self.day.timed(what):
            said = self.teacher.press(*buttons, ends="inished")
        if "Not finished" in said:
            why = one_line(said).rpartition("What to do ")[2]
            self.day.said.append((f"{what}: “{why}”", self.day.waits[what][-1]))

    def hear(self, what: str, pupil: Pupil, words: str, seconds: float = LONGEST) -> None:
        """Wait until a pupil's card has these words, and note what it says."""
        began, says, card = time.monotonic(), "nothing of it", self.teacher.at(pupil.name)
        with suppress(AssertionError):
            expect(card).to_contain_text(words, timeout=seconds * 1000)
            says = f"“{one_line(' '.join(card.locator('.word, .fault').all_inner_texts()))}”"
        self.day.said.append((f"{what}; the desk says {says}", time.monotonic() - began))

    def open_names(self) -> None:
        """Open the page with the pupils' names."""
        self.teacher.go_to("Class")
        self.page.get_by_role("link", name="Names of the pupils").click()

    def name_pupils(self) -> None:
        """Tell the desk who sits where."""
        count = len(self.classroom.fleet.members)
        expect(self.page.get_by_text(f"{count} of {count} Pis answer")).to_be_visible()
        self.open_names()
        for pupil in self.pupils:
            self.page.locator(f"[name='{pupil.pi}/{pupil.student}']").fill(pupil.name)
        self.page.get_by_role("button", name="Save the names").click()
        expect(self.page.get_by_text("The names are saved.")).to_be_visible()

    def hold(self) -> None:
        """Hand out, show a message, and meet faults, until all have saved the last lesson."""
        self.teacher.go_to("Work")
        self.measure("hand out 20 MB", "Hand out")
        hungry = self.pupils[0]
        self.wait(lambda: len(self.day.waits["sign in"]) == len(self.pupils) and bool(hungry.saved))
        self.teacher.go_to("Class")
        self.page.get_by_label("Message to the class").fill("Look at the first cell")
        self.measure("message shown", "Show")
        self.teacher.go_to("Class")
        hungry.takes_all.set()
        self.wait(lambda: not hungry.takes_all.is_set())
        self.hear("a program takes all memory", hungry, "ran out of memory")
        hungry.is_seen.set()
        teach_together(self.day, hungry.server.url, self.classroom.password_of(hungry.label))
        for pupil in (self.back, self.dead):
            self.strike(pupil)
        if not self.is_shared:
            threading.Thread(target=self.classroom.fleet.start, args=[self.back.pi]).start()
            self.hear("power comes back", self.back, "MB free")
        busy = [pupil for pupil in self.pupils if self.is_shared or pupil is not self.dead]
        since = {pupil.name: pupil.saves for pupil in busy}
        self.wait(lambda: all(one.path == f"{DAY[-1]}.ipynb" and one.saves > since[one.name] for one in busy))

    def strike(self, pupil: Pupil) -> None:
        """Cut a Pi's power, or kill a student's server. The page notices, as nothing answers it."""
        if self.is_shared:
            root(self.classroom, f"systemctl kill --signal=KILL jupyter@{pupil.student}")
        else:
            self.classroom.fleet.container(pupil.pi).kill()
        if connection := pupil.kernel.socket.sock:
            connection.shutdown(socket.SHUT_RDWR)
        if self.is_shared:  # the page starts another one at once
            self.hear("a server is killed", pupil, "Not signed in", 20)
        else:
            self.hear("power is cut", pupil, "Does not answer")

    def end(self, work: Path) -> None:
        """Collect, compare, and reset for the next class, which signs in."""
        self.teacher.go_to("Work")
        self.measure("collect", "Collect")
        self.classroom.fleet.start(self.dead.pi)
        self.compare("on the Pi", self.on_pi)
        self.teacher.press("Collect")
        self.compare("collected", lambda pupil: sums_in(max(work.glob(f"2*/{pupil.pi}")) / pupil.student))
        self.teacher.go_to("Work")
        self.teacher.press("Look at what it would change")
        self.page.get_by_label("New passwords").check()
        self.measure("reset", "Reset", "Reset")
        self.open_names()
        for _ in range(2):
            self.page.locator("button:visible", has_text="Delete all names").last.click()
        expect(self.page.get_by_text("All names are deleted.")).to_be_visible()
        fresh = sums_in(LESSONS)
        for pupil in self.pupils:
            server = NotebookServer(pupil.server.url)
            if not server.sign_in(self.classroom.password_of(pupil.label)):
                self.day.lost.append(f"{pupil.name}: the next class cannot sign in")
            if not self.on_pi(pupil).items() <= fresh.items():
                self.day.lost.append(f"{pupil.name}: the next class has other lessons")
            server.open_notebook(f"{FIRST}.ipynb")
        if not self.is_shared:
            self.teacher.go_to("Class")
            self.measure("off", "Save all and switch off", "Save all and switch off")

    def on_pi(self, pupil: Pupil) -> Any:
        """Return the checksums of a pupil's notebooks on the Pi."""
        return json.loads(as_student(on(self.classroom, pupil.pi), SUMS, pupil.student))

    def compare(self, where: str, sums: Callable[[Pupil], Any]) -> None:
        """Note the notebooks whose last answered save is not there, nor one that was sent after it."""
        with ThreadPoolExecutor(4) as pool:
            for pupil, there in zip(self.pupils, pool.map(sums, self.pupils), strict=True):
                for path, answered in pupil.saved.items():
                    if there.get(path) not in (answered, pupil.sent[path]):
                        self.day.lost.append(f"{pupil.name} ({pupil.label}): the last save of {path}, not {where}")


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


def class_of(count: int, one: Fleet, many: Fleet) -> Classroom:
    """Return copies of one Pi that site.yml has set up."""
    one.up(1)
    Classroom(one).run("site")
    one.container("pi-01").stop()
    many.up(count, base=one.container("pi-01").save())
    return Classroom(many)


def spend(classroom: Classroom, students: int, spread: float) -> Day:
    """Spend the day."""
    day, pis = Day(), classroom.fleet.members
    seats = [(pi, "student", 8888) for pi in pis]
    if students:
        seats = [(pis[0], f"seat{number + 1:02}", 8888 + number) for number in range(students)]
    pupils = [
        Pupil(day, number, seat[0].name, seat[1], f"http://{seat[0].address}:{seat[2]}")
        for number, seat in enumerate(seats)
    ]
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(len(pupils)) as pool:
        folder = Path(name)
        (folder / "handout/sheets").mkdir(parents=True)
        (folder / "handout/sheets/sheet.bin").write_bytes(random.Random(1).randbytes(HANDED_OUT))
        work = {pupil.pi: f"student_work_collections={folder}/dist/work" for pupil in pupils}
        classroom = with_inventory(classroom, folder, settings=work)
        with (
            open_desk(classroom.inventory, folder / "dist/desk") as (url, _),
            open_browser(PATIENCE * 1000) as browser,
        ):
            school = School(day, classroom, pupils, browser.pages[0])
            school.page.goto(url)
            school.name_pupils()
            try:
                school.days += [pool.submit(one.spend_day, spread, classroom.password_of(one.label)) for one in pupils]
                school.hold()
            finally:
                day.over.set()
            for one in school.days:
                one.result(PATIENCE)
            school.end(folder / "dist/work")
    return day


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
        day = spend(Classroom(many), options.students, options.spread)
        print(day.table(), flush=True)
        print(*day.troubles, *day.lost, sep="\n", file=sys.stderr)
    finally:
        many.down()
        one.down()
    sys.exit(bool(day.lost))


if __name__ == "__main__":
    main()
