"""Progress file of a pupil: `my_progress.json` beside the notebooks.

    {"version": 2,
     "lessons": {"part2_mnist_data_set": {"finished": "2026-11-27T10:00:00", "score": 0.81, "seconds": 240,
                                          "tested": 10000}},
     "tasks": {"fours": {"right": true, "typed": "counts[4]"}}}

`finished`: time when the lesson was last run to its end. `score`: best so far, 0 to 1, or null. `tested`: the number of
digits that it is a score of, or null. `seconds`: computing time of its program until then, or null. A task has the name
of the variable that its cell checks. A lesson's tasks are those of its original notebook. Version 1, of mynn-pi 0.1.0,
had no tasks.

Always read the file with `parse`, since pupils can write anything into it. Nothing here loads numpy: the notebook
server uses it, too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

FILE = "my_progress.json"
LARGEST = 32 * 1024  # most bytes; the fullest record takes 32,500
MOST = 70  # most tasks, and most lessons
LONGEST = 100  # most characters of a typed answer
VERSION = 2
STEM = re.compile(r"[a-z0-9_]{1,64}")
WHEN = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", re.ASCII)
NAME = r"[a-z][a-z0-9_]{0,30}"
TYPED = re.compile(rf"[ -~]{{0,{LONGEST}}}")  # no invisible characters, none that change the direction of text


@dataclass(frozen=True)
class Finished:
    """Completion of a lesson: time of its last complete run, best score, 0 to 1, computing time, and digits tested."""

    finished: str
    score: float | None = None
    seconds: int | None = None
    tested: int | None = None

    def __post_init__(self) -> None:
        """Validate the fields."""
        number = isinstance(self.score, int | float) and not isinstance(self.score, bool) and 0 <= self.score <= 1
        whole = all(one is None or (type(one) is int and 0 <= one < 1e6) for one in (self.seconds, self.tested))
        if not (WHEN.fullmatch(self.finished) and (self.score is None or number) and whole):
            raise ValueError("when, a score from 0 to 1, whole seconds and digits")


@dataclass(frozen=True)
class Answer:
    """A pupil's latest answer to a task, or the latest right one."""

    right: bool
    typed: str

    def __post_init__(self) -> None:
        """Validate the fields."""
        if not (isinstance(self.right, bool) and TYPED.fullmatch(self.typed)):
            raise ValueError("whether it is right, and plain text")


@dataclass(frozen=True)
class Standing:
    """A pupil's progress in a lesson: its number of tasks, of right ones, and of ones tried but not right yet."""

    tasks: int
    right: int
    tried: int
    end: Finished | None

    @property
    def done(self) -> bool:
        """True once the lesson was run to its end and each of its tasks is right."""
        return self.end is not None and self.right == self.tasks


@dataclass
class Record:
    """Contents of the file: lesson (file name without `.ipynb`) → completion, and task → answer."""

    lessons: dict[str, Finished] = field(default_factory=dict)
    tasks: dict[str, Answer] = field(default_factory=dict)

    def standing(self, lesson: str, tasks: Sequence[str]) -> Standing:
        """Return the progress in a lesson with these tasks."""
        rights = [self.tasks[task].right for task in tasks if task in self.tasks]
        return Standing(len(tasks), sum(rights), len(rights) - sum(rights), self.lessons.get(lesson))

    def text(self) -> str:
        """Return the contents as JSON."""
        return json.dumps({"version": VERSION, **asdict(self)}, indent=1, sort_keys=True) + "\n"


def parse(content: str | bytes) -> Record | None:
    """Parse the contents of the file. Return None unless the format is exactly ours."""
    try:
        stored = json.loads(content) if len(content) <= LARGEST else {}
        lessons = {stem: Finished(**entry) for stem, entry in stored["lessons"].items()}
        tasks = {name: Answer(**entry) for name, entry in stored.get("tasks", {}).items()}
        parts = {1: {"version", "lessons"}, VERSION: {"version", "lessons", "tasks"}}[stored["version"]]
        whole = stored.keys() == parts and max(len(lessons), len(tasks)) <= MOST
        whole &= all(map(STEM.fullmatch, lessons)) and all(re.fullmatch(NAME, name) for name in tasks)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
    return Record(lessons, tasks) if whole else None
