"""Progress record: saves each answer to a task and each finished lesson (format: mynn/tasks.py)."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sized
from datetime import datetime
from pathlib import Path

from mynn import tasks
from mynn.errors import reason
from mynn.files import PATIENCE, locked, write_text
from mynn.lesson.notebook import show_markdown
from mynn.outline import outline
from mynn.tasks import FILE, Answer, Finished, Record
from mynn.translation import _, in_figures, lessons_folder


def answered(task: str, *, right: bool, typed: str) -> None:
    """Record an answer to a task, unless it is wrong and an earlier one right. Print write errors, raise none."""
    plain = re.sub("[^ -~]", "?", " ".join(typed.split()))
    answer = Answer(right, plain[: tasks.LONGEST])

    def change(record: Record) -> None:
        before = record.tasks.get(task)
        if right or not (before and before.right):
            record.tasks[task] = answer

    _write_down(change)


def finished(stem: str, score: float | None = None, of: Sized | None = None) -> None:
    """Record that the lesson `stem` was run to its end, show how many tasks are right, and link the next lesson.

    `score` is the fraction recognised, 0 to 1, of the digits `of`; the best is kept. An error in writing is printed.
    """
    if not tasks.STEM.fullmatch(stem):
        raise ValueError(f"{stem!r} is not the name of a lesson: it may have only the letters a to z, digits and _")
    now = datetime.now().isoformat(timespec="seconds")

    def change(record: Record) -> None:
        before = record.lessons.get(stem)
        scores = [(score, len(of or ()))] + ([(before.score, before.tested or 0)] if before else [])
        known = [(tested > 0, float(one), tested) for one, tested in scores if one is not None]
        _, best, tested = max(known, default=(False, None, None))  # one that says of what comes first
        record.lessons[stem] = Finished(now, best, round(time.process_time()), tested or None)

    record = _write_down(change)
    said = [_("**Well done: you have reached the end of this lesson.**"), *_tasks_in_words(record, stem)]
    best = record.lessons[stem]
    if best.score is not None and best.tested:
        part, count = in_figures(f"{best.score:.1%}".replace("%", " %")), in_figures(f"{best.tested:,}")
        # Translators: {count} may be 1.
        said.append(_("At best, {part} of {count} digits were recognised.").format(part=part, count=count))
    if following := next_lesson(stem, Path(lessons_folder(Path()))):
        said.append(_("The next one: [{title}]({file})").format(title=following[1], file=following[0]))
    show_markdown(" ".join(said))


def _write_down(change: Callable[[Record], None]) -> Record:
    """Apply a change to the record, save it and return it. A file that is damaged stays as it is."""
    place, record = Path(FILE), Record()
    try:
        with locked(place.parent, PATIENCE):  # the pupil may have two lessons open
            saved = tasks.parse(place.read_bytes()) if place.exists() else record
            if saved is None:
                print(_("{file} is damaged: rename it, and run this again to begin a new one.").format(file=FILE))
            record = saved or record
            before = record.text()
            change(record)
            if saved and record.text() != before and max(len(record.tasks), len(record.lessons)) <= tasks.MOST:
                write_text(place, record.text())
    except OSError as error:
        print(_("This could not be written into {file} ({reason}).").format(file=FILE, reason=reason(error)))
        change(record)
    return record


def _tasks_in_words(record: Record, stem: str) -> list[str]:
    """Return a list with a sentence on right and open tasks; an empty list if the lesson has no tasks."""
    lesson = outline(Path(lessons_folder(Path()))).get(stem)
    if not lesson or not lesson.tasks:
        return []
    names = lesson.tasks
    is_open = [f"`{name}`" for name in names if not (name in record.tasks and record.tasks[name].right)]
    if not is_open:
        return [_("All of its tasks are right ({count} of {count}).").format(count=len(names))]
    # Translators: {right} may be 1.
    sentence = _("{right} of {all} tasks are right. Still open: {open}.")
    return [sentence.format(right=len(names) - len(is_open), all=len(names), open=", ".join(is_open))]


def next_lesson(stem: str, folder: Path) -> tuple[str, str] | None:
    """Return file name and title of the next lesson, in the order of the lessons' metadata; None after the last."""
    lessons = outline(folder)
    here = lessons[stem].lesson if stem in lessons else 0
    later = [name for name, lesson in lessons.items() if here and lesson.lesson > here]
    if not later:
        return None
    return f"{later[0]}.ipynb", re.sub(r"[\[\]()<>`*_\\]", "", lessons[later[0]].title)[:100]
