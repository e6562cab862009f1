"""Which lessons a student has finished: my_progress.json in the notebook's folder.

    {"version": 1, "lessons": {"part2_mnist_data_set": {"finished": "2026-11-27T10:00:00", "score": 0.81}}}

`score` is the best so far, 0 to 1, or null.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from mynn.errors import reason
from mynn.files import replacing
from mynn.lesson.notebook import show_markdown

FILE = "my_progress.json"
DAMAGED = "my_progress.damaged.json"
VERSION = 1
STEM = re.compile(r"[a-z0-9_]{1,64}")
WHEN = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")

Lessons = dict[str, dict[str, Any]]


def finished(stem: str, score: float | None = None) -> None:
    """Write down that the lesson `stem` was run to its end, and link the next one.

    `score` is a part recognised, 0 to 1; the best one is kept. An error in writing is printed, and stops nothing.
    """
    if not STEM.fullmatch(stem):
        raise ValueError(f"{stem!r} is not the name of a lesson: it may have only the letters a to z, digits and _")
    best = None if score is None else float(score)
    if best is not None and not 0 <= best <= 1:
        raise ValueError(f"a score must be between 0 and 1, not {score}")
    place = Path(FILE)
    try:
        lessons = read(place)
        if lessons is None:
            _put_aside(place)
            lessons = {}
        before = lessons.get(stem, {}).get("score")
        if before is not None:
            best = before if best is None else max(best, before)
        now = datetime.now().isoformat(timespec="seconds")
        lessons[stem] = {"finished": now, "score": best}
        write(place, lessons)
    except OSError as error:
        print(f"This could not be written into {FILE} ({reason(error)}).")
    kept = "" if best is None else f" Your best score in it: {best:.1%}.".replace("%", " %")
    following = next_lesson(stem, Path())
    link = f" The next one: [{following[1]}]({following[0]})" if following else ""
    show_markdown(f"**Well done: you have reached the end of this lesson.**{kept}{link}")


def read(place: Path) -> Lessons | None:
    """Return the lessons of such a file: none if it does not exist, None if it is damaged. OSError: unreadable."""
    try:
        record = json.loads(place.read_bytes())
        lessons: Lessons = record["lessons"]
        right = set(record) == {"version", "lessons"} and record["version"] == VERSION
        right &= all(STEM.fullmatch(stem) and _is_entry(**entry) for stem, entry in lessons.items())
    except FileNotFoundError:
        return {}
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
    return lessons if right else None


def write(place: Path, lessons: Lessons) -> None:
    """Write such a file, whole or not at all."""
    text = json.dumps({"version": VERSION, "lessons": lessons}, indent=1, sort_keys=True) + "\n"
    with replacing(place) as file:
        file.write(text.encode())


def next_lesson(stem: str, folder: Path) -> tuple[str, str] | None:
    """Return file name and title of the lesson after this one, by the lessons' own metadata; None: there is none."""
    orders: dict[str, int] = {}
    titles: dict[str, str] = {}
    for path in folder.glob("part*.ipynb"):
        with suppress(OSError, ValueError, KeyError, TypeError, AttributeError, IndexError):
            notebook = json.loads(path.read_bytes())
            orders[path.stem] = int(notebook["metadata"]["mynn"]["lesson"])
            first = "".join(notebook["cells"][0]["source"])
            titles[path.stem] = first.splitlines()[0].removeprefix("# ").strip()
    later = [(order, len(name), name) for name, order in orders.items() if order > orders.get(stem, 10_000)]
    if not later:
        return None
    name = min(later)[2]  # a copy has its lesson's number and a longer name
    return f"{name}.ipynb", re.sub(r"[\[\]()<>`*_\\]", "", titles[name])[:100]


def _is_entry(*, finished: str, score: float | None) -> bool:
    """Whether this can be an entry; fields of other names are a TypeError."""
    return bool(WHEN.fullmatch(finished)) and (score is None or (not isinstance(score, bool) and 0 <= score <= 1))


def _put_aside(place: Path) -> None:
    """Give a damaged file another name, that of no other file."""
    aside, number = place.with_name(DAMAGED), 1
    while aside.exists():
        number += 1
        aside = place.with_name(DAMAGED.replace(".json", f".{number}.json"))
    place.rename(aside)
    print(f"{place.name} is damaged; it is called {aside.name} now, and a new one was begun.")
