"""Lesson index: each notebook's first heading, the tasks that its cells check, and its metadata `mynn`.

An example of that metadata: {"lesson": 4, "minutes": 10, "learn": "A network learns to read from 60,000 digits"}.
"""

from __future__ import annotations

import functools
import json
import math
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mynn.tasks import NAME

NOT_AS_EXPECTED = (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError)
CHECKED = re.compile(rf"^check\(({NAME}),", re.M)


@dataclass
class Lesson:
    """Description of a lesson. A field that is missing or damaged in the notebook keeps its default.

    lesson   position in the course, from 1; 0 sorts last
    minutes  run time on a Pi Zero
    learn    learning goal, one sentence
    tasks    names of the tasks, in order
    """

    title: str
    lesson: int = 0
    minutes: int = 0
    learn: str = ""
    tasks: tuple[str, ...] = ()


def outline(folder: Path) -> dict[str, Lesson]:
    """Return the lessons in a folder, in course order, by file name without `.ipynb`."""
    paths = [path for path in folder.glob("[!.]*.ipynb") if path.is_file()]
    lessons = [(path.stem, _described(path, path.stat().st_mtime_ns)) for path in paths]
    return dict(sorted(lessons, key=lambda item: (item[1].lesson or math.inf, item[0])))


@functools.cache
def _described(path: Path, changed: int) -> Lesson:
    """Return a notebook's description. `changed`, its modification time, is part of the cache key."""
    lesson = Lesson(path.stem.replace("_", " "))
    with suppress(*NOT_AS_EXPECTED):
        notebook = json.loads(path.read_bytes())
        cells = [(cell["cell_type"], "".join(cell["source"])) for cell in notebook["cells"]]
        if heading := re.search(r"^# +(.+)$", "\n".join(text for kind, text in cells if kind == "markdown"), re.M):
            lesson.title = re.sub(r"[*`$]", "", heading[1]).strip() or lesson.title
        lesson.tasks = tuple(name for kind, text in cells if kind == "code" for name in CHECKED.findall(text))
        about = notebook["metadata"]["mynn"]
        lesson.lesson = int(about["lesson"])
        lesson.minutes, lesson.learn = int(about["minutes"]), str(about["learn"])
    return lesson
