"""What a pupil has done: `my_progress.json` beside the notebooks.

    {"version": 2,
     "lessons": {"part2_mnist_data_set": {"finished": "2026-11-27T10:00:00", "score": 0.81, "seconds": 240}},
     "tasks": {"fours": {"right": true, "typed": "counts[4]"}}}

`finished` is when the lesson was last run to its end, `score` the best so far, 0 to 1, or null, and `seconds` how long
its program has computed until then, or null. A task is called as the variable that its cell checks, and a lesson has
those of its untouched notebook. Version 1 had no tasks.

A pupil can write anything into the file, so whoever reads it does so with `parse`. The notebook server does, too:
nothing here loads numpy.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

FILE = "my_progress.json"
LARGEST = 32 * 1024  # bytes; the most that can be stored takes 31,000
MOST = 70  # tasks, and lessons
LONGEST = 100  # characters of an answer as it was typed
VERSION = 2
STEM = re.compile(r"[a-z0-9_]{1,64}")
WHEN = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", re.ASCII)
NAME = r"[a-z][a-z0-9_]{0,30}"
TYPED = re.compile(rf"[ -~]{{0,{LONGEST}}}")  # nothing that hides, or turns the text around it


@dataclass(frozen=True)
class Finished:
    """When a lesson was last run to its end, the best score in it, and how long it computed."""

    finished: str
    score: float | None = None
    seconds: int | None = None

    def __post_init__(self) -> None:
        """Refuse what is neither."""
        number = isinstance(self.score, int | float) and not isinstance(self.score, bool) and 0 <= self.score <= 1
        seconds = self.seconds is None or (type(self.seconds) is int and 0 <= self.seconds < 1e6)
        if not (WHEN.fullmatch(self.finished) and (self.score is None or number) and seconds):
            raise ValueError("when, a score from 0 to 1, and whole seconds")


@dataclass(frozen=True)
class Answer:
    """A pupil's last answer to a task, or the last one that was right."""

    right: bool
    typed: str

    def __post_init__(self) -> None:
        """Refuse what is not plain text."""
        if not (isinstance(self.right, bool) and TYPED.fullmatch(self.typed)):
            raise ValueError("whether it is right, and plain text")


@dataclass(frozen=True)
class Standing:
    """How far a pupil is in a lesson: how many of its tasks are right, or were tried and are not right yet."""

    tasks: int
    right: int
    tried: int
    end: Finished | None

    @property
    def done(self) -> bool:
        """A lesson is done when it was run to its end and each of its tasks is right."""
        return self.end is not None and self.right == self.tasks


@dataclass
class Record:
    """The file's contents: lessons by their names without `.ipynb`, and answers by task."""

    lessons: dict[str, Finished] = field(default_factory=dict)
    tasks: dict[str, Answer] = field(default_factory=dict)

    def standing(self, lesson: str, tasks: Sequence[str]) -> Standing:
        """Return how far the pupil is in a lesson that has these tasks."""
        rights = [self.tasks[task].right for task in tasks if task in self.tasks]
        return Standing(len(tasks), sum(rights), len(rights) - sum(rights), self.lessons.get(lesson))

    def text(self) -> str:
        """Return the file's contents."""
        return json.dumps({"version": VERSION, **asdict(self)}, indent=1, sort_keys=True) + "\n"


def parse(content: str | bytes) -> Record | None:
    """Return what such a file holds; None if that is not as we write it."""
    try:
        stored = json.loads(content) if len(content) <= LARGEST else {}
        parts = {1: {"lessons"}, VERSION: {"lessons", "tasks"}}[stored.pop("version")]
        lessons = {stem: Finished(**entry) for stem, entry in stored["lessons"].items()}
        tasks = {name: Answer(**entry) for name, entry in stored.get("tasks", {}).items()}
        whole = set(stored) == parts and max(len(lessons), len(tasks)) <= MOST
        whole &= all(map(STEM.fullmatch, lessons)) and all(re.fullmatch(NAME, name) for name in tasks)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
    return Record(lessons, tasks) if whole else None
