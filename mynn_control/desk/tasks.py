"""The tab Tasks: each student's progress by lesson and task, live, and the same as a CSV table for marks."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from mynn.outline import Lesson
from mynn.tasks import Answer, Record
from mynn_control.desk.class_now import parsed
from mynn_control.desk.database import Seat
from mynn_control.desk.monitor import Answers
from mynn_control.desk.pis import Live, Pupil
from mynn_control.render import for_templates, render
from mynn_control.translation import _

LAST = 90  # minutes of the curves


class History:
    """How many pupils had each task right, by minute, while the desk runs: in memory only."""

    def __init__(self) -> None:
        self._marks: dict[Seat, Mapping[str, bool]] = {}  # as last answered: they stay when a Pi is lost
        self._answered: dict[str, int] = {}  # task → minute in which somebody's mark last changed
        self._rights: dict[int, Counter[str]] = {}  # minute → task → pupils who then had it right

    def add(self, pupils: Sequence[Pupil], minute: int) -> None:
        """Note the pupils' marks in this minute, and forget what is older than LAST."""
        here = []
        for pupil in pupils:
            seat, marks = (pupil.pi, pupil.student), {task: one.right for task, one in pupil.record.tasks.items()}
            if pupil.live:
                before = self._marks.get(seat, marks)
                self._answered |= {task: minute for task in marks if marks[task] != before.get(task)}
                self._marks[seat] = marks
            here.append(self._marks.get(seat, marks))
        self._rights[minute] = Counter(task for marks in here for task, right in marks.items() if right)
        # The clock may have been set: on a desk's own card, it is set when somebody signs in.
        self._rights = {then: rights for then, rights in self._rights.items() if minute - LAST < then <= minute}
        self._answered = {task: then for task, then in self._answered.items() if then in self._rights}

    def curves(self, lessons: Mapping[str, Lesson]) -> dict[str, dict[str, list[int]]]:
        """Return the lessons in which somebody answered: title → task → pupils who had it right, by minute."""
        first, last = min(self._rights, default=0), max(self._rights, default=-1)
        rights = [self._rights[max(then for then in self._rights if then <= at)] for at in range(first, last + 1)]
        return {
            lesson.title: {task: [counts[task] for counts in rights] for task in lesson.tasks}
            for lesson in lessons.values()
            if self._answered.keys() & set(lesson.tasks)
        }


def live(answers: Answers, lessons: Mapping[str, Lesson]) -> Live:
    """Return the answers of the students whose notebook servers answer, to the lessons' tasks."""
    known = {task for lesson in lessons.values() for task in lesson.tasks}
    texts = {(pi, student): text for pi, of in answers.shown("class").items() for student, text in of.items()}
    found = {seat: parsed(text) for seat, text in texts.items() if answers.pis[seat[0]]["lost"] == ""}
    return {seat: _answers(said, known) for seat, said in found.items() if said}


def _answers(said: Mapping[str, Any], known: set[str]) -> dict[str, Answer]:
    return {task: Answer(right, said["typed"].get(task, "")) for task, right in said["tasks"].items() if task in known}


def draw(pupils: Sequence[Pupil], lessons: Mapping[str, Lesson], heard: float, history: History) -> str:
    """Return the page. Text from Pis is escaped. lessons: by name, in order. heard: time of the last report."""
    known = pupils if any(pupil.record != Record() for pupil in pupils) else []
    parts = {"tab": "tasks", "pupils": known, "lessons": lessons, "heard": heard, "all": len(pupils)}
    return render("tasks", parts | {"curves": history.curves(lessons)})


def table(pupils: Sequence[Pupil], lessons: Mapping[str, Lesson]) -> str:
    """Return a CSV table: a line per student, with the number of right tasks in each lesson.

    No cell contains a student's text, and no pupil's name can begin a formula in a spreadsheet (names.py).
    """
    with io.StringIO(newline="") as file:
        write = csv.writer(file).writerow
        tasks = sum(len(lesson.tasks) for lesson in lessons.values())
        # Translators: a lesson, and how many tasks it has.
        title = _("{lesson} (of {tasks})")
        titles = [title.format(lesson=one.title, tasks=len(one.tasks)) for one in lessons.values()]
        write([_("Pi"), _("Student"), _("Name"), *titles, _("All (of {tasks})").format(tasks=tasks)])
        for pupil in pupils:
            right = [pupil.record.standing(name, lesson.tasks).right for name, lesson in lessons.items()]
            write([pupil.pi, pupil.student, pupil.name, *right, sum(right)])
        return f"\ufeff{file.getvalue()}"  # the byte order mark tells a spreadsheet that this is UTF-8


def date(when: str) -> str:
    """Return the day of an ISO 8601 time; empty if it is invalid, because a Pi's clock may be wrong."""
    try:
        # Translators: a day, for Python's strftime. In numbers, as in %-d.%-m., since %b would be English.
        return datetime.fromisoformat(when).strftime(_("%-d %b"))
    except ValueError:
        return ""


for_templates(date)
