"""The tab Tasks: each student's progress by lesson and task, and the same as a CSV table for marks."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from datetime import datetime

from mynn.outline import Lesson
from mynn.tasks import Record
from mynn_control.desk.pis import Pupil
from mynn_control.render import for_templates, render
from mynn_control.translation import _


def draw(pupils: Sequence[Pupil], lessons: Mapping[str, Lesson], heard: float) -> str:
    """Return the page. Text from Pis is escaped. lessons: by name, in order. heard: time of the last report."""
    known = pupils if any(pupil.record != Record() for pupil in pupils) else []
    return render("tasks", {"tab": "tasks", "pupils": known, "lessons": lessons, "heard": heard})


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
