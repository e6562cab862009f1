"""The tab Tasks: what each student has done, by lesson and task, and the same as a table for marks."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from datetime import datetime

from mynn.outline import Lesson
from mynn.tasks import Record
from mynn_control.desk.pis import Pupil
from mynn_control.render import for_templates, render
from mynn_control.words import _


def draw(pupils: Sequence[Pupil], lessons: Mapping[str, Lesson], heard: float) -> str:
    """Return the page. What came from a Pi is escaped. lessons: by name, in their order. heard: when a Pi last told."""
    known = pupils if any(pupil.record != Record() for pupil in pupils) else []
    parts = {"tab": "tasks", "pupils": known, "lessons": lessons, "heard": heard}
    return render("tasks", parts)


def table(pupils: Sequence[Pupil], lessons: Mapping[str, Lesson]) -> str:
    """Return how many tasks of each lesson are right, as CSV, a line for each student.

    No cell is a student's text, and the teacher's names begin with a letter: a spreadsheet takes none for a formula.
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
        return f"\ufeff{file.getvalue()}"  # by its first character, a spreadsheet knows that this is UTF-8


def date(when: str) -> str:
    """Return the day of a time as ISO 8601 has it; nothing if there is no such day. A Pi's clock may be anything."""
    try:
        # Translators: a day, for Python's strftime. In numbers, as in %-d.%-m., since %b would be English.
        return datetime.fromisoformat(when).strftime(_("%-d %b"))
    except ValueError:
        return ""


for_templates(date)
