"""The report: one page for a teacher.

python -m mynn_control.report FOLDER < RUN.json

RUN.json is what the playbook knows: `inventory` (the file), `lessons` (the folder on this computer), `pis` (for each Pi
of the report, by name, its students as the filter classroom_students returns them), `asked` (for each Pi that was
asked, its `state` from the module pi_state, or why it is `lost`), `room` (the MB that the next run needs on a card),
`verified` (names of the Pis that were verified, if any) and `results` (the folder with their results).

FOLDER/pis.json keeps each Pi's last answer, for the next report: a Pi that is off is shown as it last was.
"""

from __future__ import annotations

import json
import re
import shlex
import sys
import time
from dataclasses import asdict, dataclass, field
from datetime import datetime
from hashlib import sha256
from itertools import groupby
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape

from ansible_collections.mynn.pi.plugins.module_utils.files import locked, write_text
from ansible_collections.mynn.pi.plugins.module_utils.lessons import lessons_in
from ansible_collections.mynn.pi.plugins.module_utils.schema import misfit
from ansible_collections.mynn.pi.plugins.module_utils.text import printable, printable_lines
from mynn.cli.info import EXAMPLES, TESTED
from mynn.outline import Lesson, outline
from mynn.tasks import Record, parse
from mynn_control.faults import Fault, faults
from mynn_control.render import render
from mynn_control.report_schemas import FIGURES, STATE
from mynn_control.results import FAILS, HOLDS, NOT_ASKED, Check, PiResult, load, result_of, save

PROJECT = Path(__file__).resolve().parents[1]


@dataclass
class Pupil:
    """A student's row in the tables of lessons and tasks."""

    pi: str
    name: str  # empty for a Pi's only student
    record: Record


@dataclass
class Row:
    """One Pi in the report; `when` and `verified_when` are 0 if it was never asked."""

    pi: str
    students: list[dict[str, Any]]
    asked: float = 0  # when it was last asked
    lost: str = ""  # why it did not answer then
    when: float = 0  # when it last answered
    state: dict[str, Any] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    verified: PiResult | None = None
    verified_when: float = 0

    @property
    def addresses(self) -> list[tuple[str, str]]:
        """Each student's name and address; a single student's name is left out."""
        several = len(self.students) > 1
        return [(student["name"] if several else "", student["url"]) for student in self.students]

    @property
    def pupils(self) -> list[Pupil]:
        """What each student has done, as far as it is known."""
        records = self.state.get("records", {})
        names = [student["name"] for student in self.students if student["name"] in records]
        several = len(self.students) > 1
        return [Pupil(self.pi, name if several else "", parse(records[name]) or Record()) for name in names]

    @property
    def failing(self) -> list[Check]:
        """The checks that failed when it was verified."""
        return self.verified.those(FAILS) if self.verified else []

    @property
    def grave(self) -> list[Fault]:
        """What is wrong now."""
        return [fault for fault in self.faults if fault.grave]

    @property
    def repairable(self) -> bool:
        """Whether site.yml may repair something."""
        return bool(self.failing) or any("make site" in fault.cure for fault in self.faults)

    @property
    def ready(self) -> bool:
        """Whether it answered, and nothing is known to be wrong."""
        return bool(self.state) and not (self.lost or self.grave or self.failing)

    @property
    def figures(self) -> dict[str, Any]:
        """What its verification measured."""
        return self.verified.figures if self.verified else {}


def rows(
    kept: dict[str, dict[str, Any]], pis: dict[str, list[dict[str, Any]]], lessons: dict[str, str], room: float
) -> list[Row]:
    """Return each Pi's row, from what is kept of it."""
    made = []
    for name, students in pis.items():
        of_it = dict(kept.get(name, {}))
        verified = of_it.pop("verified", None)
        row = Row(name, students, verified=result_of(verified) if verified else None, **of_it)
        if row.state:
            row.faults = list(faults(row.state, lessons, row.when, room))
        made.append(row)
    return made


def page(made: list[Row], inventory: Path, now: float, lessons: dict[str, Lesson]) -> str:
    """Return the page: self-contained HTML. What came from a Pi is escaped. lessons: by name, in their order."""
    pupils = [pupil for row in made for pupil in row.pupils]
    inventory = inventory.relative_to(PROJECT) if inventory.is_relative_to(PROJECT) else inventory
    usual = inventory == Path("inventory.ini")
    filters: dict[str, Any] = {
        "by_role": lambda checks: [(role, list(group)) for role, group in groupby(checks, lambda check: check.role)],
        "duration": duration,
        "age": age,
        "ago": lambda when: f"{age(now - when)} ago",
        "day": lambda when: time.strftime("%-d %B %Y, %H:%M", time.localtime(when)),
        "date": date,
        "size": size,
        "model": model,
        "marked": marked,
    }
    site = ".venv/bin/ansible-playbook" + ("" if usual else f" -i {shlex.quote(str(inventory))}")
    parts = {
        "rows": made,
        "ready": [row for row in made if row.ready],
        "lost": [row for row in made if row.lost],
        "faulty": [row for row in made if not row.ready and not row.lost],
        "pupils": pupils if any(pupil.record != Record() for pupil in pupils) else [],
        "lessons": lessons,
        "answered": [
            lesson
            for lesson in lessons.values()
            if any(task in pupil.record.tasks for pupil in pupils for task in lesson.tasks)
        ],
        "when": time.strftime("%A, %-d %B %Y, %H:%M", time.localtime(now)),
        "smoke": (EXAMPLES, TESTED),
        "site": f"{site} playbooks/site.yml --limit",
        "HOLDS": HOLDS,
        "NOT_ASKED": NOT_ASKED,
    }
    return render("report", parts, filters=filters)


def duration(seconds: float) -> str:
    """Return a duration in words."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s" if seconds < 10 else f"{rest} s"


def age(seconds: float) -> str:
    """Return a duration, roughly."""
    for unit, name in [(86400, "days"), (3600, "hours")]:
        if seconds >= 2 * unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{max(seconds, 0) / 60:.0f} min"


def date(when: str) -> str:
    """Return the day of a time as ISO 8601 has it; nothing if there is no such day. A Pi's clock may be anything."""
    try:
        return f"{datetime.fromisoformat(when):%-d %b}"
    except ValueError:
        return ""


def size(megabytes: float) -> str:
    """Return a size in MB or GB."""
    return f"{megabytes:.0f} MB" if megabytes < 1000 else f"{megabytes / 1000:.1f} GB"


def model(text: str) -> tuple[str, str]:
    """Return a Pi's model as people call it, and its revision, from what its device tree says."""
    name, separator, revision = text.removeprefix("Raspberry ").rpartition(" Rev ")
    return (name, f"revision {revision}") if separator else (revision, "")


def marked(text: str) -> Markup:
    """Return a sentence as HTML, with commands in backquotes as code."""
    return Markup(re.sub("`(.*?)`", r"<code>\1</code>", str(escape(printable_lines(text)))))


def remembered(path: Path) -> dict[str, dict[str, Any]]:
    """Return what is kept of each Pi, by name."""
    if not path.exists():
        return {}
    try:
        kept: dict[str, dict[str, Any]] = json.loads(path.read_bytes())
    except ValueError:
        print(f"{path} was damaged; it is written anew. Pis that are off are shown once they have answered again.")
        return {}
    return kept


def updated(before: dict[str, Any], name: str, now: float, answer: dict[str, Any], result: PiResult | None) -> Any:
    """Return what is kept of a Pi that was asked: it matches its schema and holds no passwords."""
    state, lost = answer["state"], answer["lost"] and in_words(name, str(answer["lost"]))
    if state != {} and (wrong := misfit(state, STATE)):
        state, lost = {}, f"{name} reported an invalid state ({wrong}). Flash its card again."
    kept = before | {"asked": now, "lost": (result.lost if result else "") or lost}
    if state:
        kept |= {"state": {name: state[name] for name in STATE["properties"] if name in state}, "when": now}
    if result and not result.lost:
        kept |= {"verified": asdict(result), "verified_when": now}
    return kept


def result_from(name: str, folder: Path) -> PiResult:
    """Return a Pi's verification, or a result that says that its figures make no sense."""
    result = load(name, folder)
    wrong = misfit(result.figures, FIGURES)
    return PiResult(name, f"{name} measured what makes no sense ({wrong}). Flash its card again.") if wrong else result


def in_words(name: str, error: str) -> str:
    """Return a sentence for Ansible's message about a Pi that did not answer."""
    last = printable(error.strip().splitlines()[-1]) if error.strip() else "no answer"
    if "sudo" in error or "become" in error:
        return f"sudo on {name} wants a password ({last}). See “When sudo wants a password” in the manual."
    return f"{name} does not answer over SSH ({last}). Check that it is switched on and on the network."


def sums(folder: Path) -> dict[str, str]:
    """Return the SHA256 sums of the lessons on this computer, by name."""
    return {name: sha256(lesson).hexdigest() for name, lesson in lessons_in(folder).items()}


def main(folder: Path) -> None:
    """Keep what the Pis answered, write the page, and print what a teacher should know at once."""
    run = json.load(sys.stdin)
    now = time.time()
    folder.mkdir(parents=True, exist_ok=True)
    results = [result_from(name, Path(run["results"])) for name in run["verified"]]
    by_name = {result.pi: result for result in results}
    path = folder / "pis.json"
    with locked(folder):
        kept = remembered(path)
        for name, answer in run["asked"].items():
            kept[name] = updated(kept.get(name, {}), name, now, answer, by_name.get(name))
        write_text(path, json.dumps(kept))
        made = rows(kept, run["pis"], sums(Path(run["lessons"])), run["room"])
        write_text(folder / "index.html", page(made, Path(run["inventory"]), now, outline(Path(run["lessons"]))))
    for result in results:
        save(result, Path(run["results"]))  # also of tests that were cut off, for the role verify
    for row in made:
        for what in [row.lost] if row.lost else [f"{row.pi}: {fault.what}" for fault in row.grave]:
            print(printable(what, 1000))
    print(f"Report (open it in a browser): {folder}/index.html")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
