"""What the desk shows and does: its pages, drawn anew when something has changed."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mynn_control.desk import class_now
from mynn_control.desk.asking import Answers
from mynn_control.desk.memory import Memory
from mynn_control.desk.runs import Run
from mynn_control.desk.wall import Wall


@dataclass(frozen=True)
class Pis:
    """The Pis of a desk: an inventory, and what Ansible's --limit takes; empty for all of them."""

    inventory: Path
    limit: str = ""


class Desk:
    """The pages. answers: the folder with the Pis'. folder: what is kept. lessons: their titles, by name."""

    def __init__(self, pis: Pis, answers: Path, folder: Path, lessons: Mapping[str, str]) -> None:
        self.of, self.lessons = pis, lessons
        self.answers = Answers(answers)
        self.wall = Wall(self.answers, Memory(folder / "memory.sqlite"), folder / "test_set/class_digits.csv")
        self.buttons = {"take-off": self.wall.take_off, "put-back": self.wall.put_back}
        self.run: Run | None = None  # the last one that was started
        self.pages: dict[str, str] = {}  # by tab
        self.version = 0
        self.ending = False
        self._lock = threading.RLock()
        self._thread = threading.Thread()
        self.redraw()

    def update(self) -> None:
        """Draw the pages if there are new answers."""
        with self._lock:
            if self.answers.update():
                self.redraw()

    def redraw(self) -> None:
        """Draw the pages."""
        with self._lock:
            pages = {"class": class_now.draw(self.answers, self.lessons, self.run), **self.wall.draw()}
            if pages != self.pages:
                self.pages, self.version = pages, self.version + 1

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
        run.play(self.of.inventory, self.of.limit, setting, self.redraw, lambda: self.ending)
        if run.name == "off":
            self.answers.off |= self.answers.pis.keys()
        self.redraw()

    def end(self) -> None:
        """Cut off what runs."""
        self.ending = True
        if self._thread.is_alive():
            print(f"{self.run.title if self.run else 'A run'} is cut off.")
            self._thread.join()
