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
import json
import random
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect

from tests.benchmarks.school_pupil import DAY, LONGEST, PATIENCE, SUMS, Day, Pupil, sums_in, teach_together
from tests.provisioned.notebook_server import NotebookServer
from tests.support.browser import open_browser
from tests.support.classroom import ROOT, Classroom, as_student, on, one_line, root, until, with_inventory
from tests.support.desk import Teacher, open_desk
from tests.support.pupil import FIRST, LESSONS
from tests.virtual import Fleet

HANDED_OUT = 20_000_000  # bytes


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
            said = self.teacher.press(*buttons, ends="")
        if "Finished." not in said:
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
