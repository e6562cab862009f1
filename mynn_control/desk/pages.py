"""What the desk shows and does: its pages, drawn anew when something has changed."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from mynn.outline import Lesson
from mynn_control.desk import class_now, pis, tasks
from mynn_control.desk.asking import Answers
from mynn_control.desk.memory import Memory
from mynn_control.desk.runs import Pis, Run
from mynn_control.desk.wall import Wall


class Desk:
    """The pages. answers: the folder with the Pis'. folder: what is kept. lessons: by name, in their order."""

    def __init__(self, of: Pis, answers: Path, folder: Path, lessons: Mapping[str, Lesson]) -> None:
        self.of, self.folder, self.lessons = of, folder.resolve(), lessons
        self.answers, self.memory = Answers(answers), Memory(folder / "memory.sqlite")
        self.wall = Wall(self.answers, self.memory, folder / "test_set/class_digits.csv")
        self.buttons = {"take-off": self.wall.take_off, "put-back": self.wall.put_back}
        self.run: Run | None = None  # the last one that was started
        self.pages: dict[str, str] = {}  # by tab
        self.table = ""  # of the tasks, as CSV
        self.versions: Counter[str] = Counter()  # of these pages
        self._changed = 0  # of the memory, when the pages were drawn
        self._drawn: object = None  # what the tabs of what is remembered were drawn of
        self._lock = threading.RLock()
        self._thread = threading.Thread()
        self.redraw()

    def update(self) -> None:
        """Draw the pages if there are new answers, or something else is remembered."""
        with self._lock:
            if self.answers.update() or self.memory.changed != self._changed:
                self.redraw()

    def redraw(self) -> None:
        """Draw the pages."""
        titles = {name: lesson.title for name, lesson in self.lessons.items()}
        with self._lock:
            self._changed = self.memory.changed
            pages = {"class": class_now.draw(self.answers, titles, self.run), **self.wall.draw(self.run)}
            pages |= self._draw_remembered()
            self.versions.update(tab for tab, html in pages.items() if html != self.pages.get(tab))
            self.pages |= pages

    def _draw_remembered(self) -> dict[str, str]:
        """Return the tabs of what is remembered, unless they are as before: each takes a while to draw."""
        students = {name: pi["students"] for name, pi in self.answers.in_order()}
        if (drawn := (self._changed, students, repr(self.run))) == self._drawn:
            return {}
        self._drawn = drawn
        rows = pis.rows(self.memory.pis(), students)
        pupils = [pupil for row in rows for pupil in row.pupils]
        self.table = tasks.table(pupils, self.lessons)
        drawn_pis = pis.draw(rows, self.of.inventory, time.time(), self.run)
        return {"pis": drawn_pis, "tasks": tasks.draw(pupils, self.lessons, self.run)}

    def press(self, button: str, place: str) -> bool:
        """Do what a button is for, with a student of the wall. Returns whether there is such a student."""
        with self._lock:
            done = self.buttons[button](place)
            self.redraw()
        return done

    def start(self, name: str, text: str) -> str:
        """Start one of PLAYBOOKS. text: of a message. Returns why it did not start, or nothing."""
        if "\0" in text:  # the environment cannot hold it; the playbook checks all else
            return "A message has letters, digits and usual punctuation marks."
        with self._lock:
            if self.run and self.run.doing:
                return f"{self.run.title} has not ended yet: wait for it."
            self.run = Run(name)
            self._thread = threading.Thread(target=self._play, args=(self.run, text))
            self._thread.start()
        self.redraw()
        return ""

    def _play(self, run: Run, text: str) -> None:
        setting = {"MESSAGE": text} if run.name == "message" else {}
        try:
            run.play(self.of, self.folder, setting, self.redraw)
            if run.name == "off" and run.process and not run.process.returncode:
                self.answers.off |= self.answers.pis.keys()
        finally:
            run.doing = ""
            self.redraw()

    def end(self) -> None:
        """Cut off what runs."""
        while self._thread.is_alive():
            if self.run and self.run.process:
                self.run.process.terminate()
            self._thread.join(5)
