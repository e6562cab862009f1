"""Pages drawn on request: a pupil's lesson, read-only, and the answers of all pupils to a task."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from mynn.outline import Lesson
from mynn.tasks import Record
from mynn.translation import lessons_folder
from mynn_control.desk import class_now
from mynn_control.desk.database import Seat
from mynn_control.desk.monitor import Answers, Monitor
from mynn_control.desk.pis import Pupil, day
from mynn_control.desk.renderer import Renderer
from mynn_control.desk.runs import PROJECT
from mynn_control.desk.work import collected as collections
from mynn_control.desk.work import when
from mynn_control.render import render
from mynn_control.translation import N_, _, language
from mynn_server.linux import read_regular
from mynn_server.look import LARGEST, NAME, NOTEBOOK, shortened

NOT_GIVEN = N_("The Pi does not give this notebook now: it does not answer, or the notebook has more than 4 MB.")
NamesAt = Callable[[float], Mapping[Seat, str]]  # time → pupils' names by seat


class MissingError(Exception):
    """There is no such page."""


@dataclass
class Look:
    """What a page is about: a lesson, a task of it or none, and a pupil's seat, or none.

    lesson: a notebook's name without .ipynb, which may also be a pupil's own. MissingError: one of them is unknown.
    """

    given: Mapping[str, str]
    answers: Answers
    pupils: Sequence[Pupil]
    names: Mapping[Seat, str]
    lessons: Mapping[str, Lesson]

    def __post_init__(self) -> None:
        """Check the query."""
        self.lesson, self.task = self.given.get("lesson", ""), self.given.get("task", "")
        self.about = self.lessons.get(self.lesson, Lesson(self.lesson))
        if not re.fullmatch(NAME, self.lesson) or self.task not in ("", *self.about.tasks):
            raise MissingError(_("There is no such lesson or task."))

    @property
    def seat(self) -> Seat:
        """The pupil's seat. MissingError: the seat is gone."""
        seat = self._seat(self.given.get("pi", ""), self.given.get("student", ""))
        if not seat:
            raise MissingError(_("There is no such seat any more."))
        return seat

    def _seat(self, pi: str, student: str) -> Seat | None:
        """Return a seat, if there is one. student: the account, which may be empty if the Pi has only one."""
        students = list(self.answers.pis[pi]["students"]) if pi in self.answers.pis else []
        student = student or "".join(students[:1] if len(students) == 1 else [])
        return (pi, student) if student in students else None

    def records(self) -> dict[Seat, Record]:
        """Return the pupils' records by seat."""
        seats = [(self._seat(pupil.pi, pupil.student), pupil.record) for pupil in self.pupils]
        return {seat: record for seat, record in seats if seat}

    def neighbours(self) -> list[Seat]:
        """Return the seats of all who have the lesson open, or answers to its tasks, in order; and this one."""
        records, found = self.records(), []
        for pi, answer in self.answers.in_order():
            for student in answer["students"]:
                seat, said = (pi, student), class_now.parsed(answer["shown"]["class"].get(student, ""))
                is_open = said and self._open(said)
                is_at = records.get(seat, Record()).standing(self.lesson, self.about.tasks)
                if is_open or is_at.end or is_at.right or is_at.tried or seat == self.seat:
                    found.append(seat)
        return found

    def _open(self, said: Mapping[str, Any]) -> list[str]:
        """Return the paths of the lesson's programs on a Pi."""
        return [program["path"] for program in said["running"] if PurePosixPath(program["path"]).stem == self.lesson]

    @property
    def path(self) -> str:
        """The notebook in the pupil's folder: the one that is open, or else that of the class's language."""
        pi, student = self.seat
        said = class_now.parsed(self.answers.pis[pi]["shown"]["class"].get(student, ""))
        known = lessons_folder(PROJECT / "notebooks") if self.lesson in self.lessons else ""
        return next(
            (path for path in self._open(said or {"running": []}) if NOTEBOOK.fullmatch(path)),
            f"{known}{self.lesson}.ipynb",
        )

    def who(self, seat: Seat) -> dict[str, str]:
        """Return a pupil for the templates: name, Pi, and the account if the Pi has several."""
        several = len(self.answers.pis[seat[0]]["students"]) > 1
        student = seat[1] if several else ""
        return {"name": self.names.get(seat, ""), "pi": seat[0].removesuffix(".local"), "student": student}

    def of(self, seat: Seat, task: str) -> dict[str, str]:
        """Return the query of a page about a pupil and a task."""
        return {"pi": seat[0], "student": seat[1], "lesson": self.lesson, "task": task}

    def draw(self) -> str:
        """Return the page about a pupil's lesson."""
        seats, record = self.neighbours(), self.records().get(self.seat, Record())
        place = seats.index(self.seat)
        parts: dict[str, Any] = {
            "tab": "look",
            "look": self,
            "pupil": self.who(self.seat),
            "before": seats[place - 1] if place else None,
            "after": seats[place + 1] if place + 1 < len(seats) else None,
            "place": place + 1,
            "pupils": len(seats),
            "answers": {task: record.tasks.get(task) for task in self.about.tasks},
        }
        return render("look", parts)

    def draw_task(self) -> str:
        """Return the page about the answers of all pupils to a task: equal ones together, the most frequent first."""
        if not self.task:
            raise MissingError(_("There is no such lesson or task."))
        groups: dict[tuple[str, bool], list[Seat]] = {}
        records = self.records()
        for seat, record in records.items():
            if answer := record.tasks.get(self.task):
                groups.setdefault((answer.typed, answer.right), []).append(seat)
        ordered = sorted(groups.items(), key=lambda group: -len(group[1]))
        parts = {
            "tab": "tasks",
            "look": self,
            "groups": ordered,
            "untouched": len(records) - sum(len(seats) for _answer, seats in ordered),
            "named": self.given.get("names") != "no",
        }
        return render("task", parts)


def notebook(look: Look, monitor: Monitor | None, renderer: Renderer, work: Path, names_at: NamesAt) -> str:
    """Return a pupil's notebook as HTML: as it is on the Pi now, else as it was last collected into `work`."""
    (pi, student), file = look.seat, look.path
    note = ""
    if not (text := monitor.look(pi, student, file) if monitor else None):
        text, date = collected(work, pi, student, file)
        was = names_at(when(date)).get(look.seat)
        if text and was in (None, look.names.get(look.seat)):
            note = _("This is how it was collected on {day}.").format(day=day(when(date)))
        else:
            text, note = "[]", _("It was not collected before.")
        note = f"{_(NOT_GIVEN)} {note}"
    damaged = _("This notebook cannot be shown: it is damaged, or takes too long.")
    return renderer.html(language(), text, note) or renderer.html(language(), "[]", damaged) or damaged


def collected(work: Path, pi: str, student: str, file: str) -> tuple[str | None, str]:
    """Return a notebook of a Pi's last collection, shortened, and its date; None if the notebook is not in it."""
    for place in collections(work):
        date, _separator, name = place.partition("/")
        if name == pi:
            with suppress(OSError):
                return shortened(read_regular(work / place / student / file, LARGEST)), date
            break
    return None, ""
