"""The tab Pis: how each Pi is, what is wrong, and what to do. It is as of when `make verify` last asked."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import groupby
from pathlib import Path
from typing import Any

from ansible_collections.mynn.pi.plugins.module_utils.lessons import lessons_in
from mynn.cli.info import EXAMPLES, TESTED
from mynn.tasks import Record, parse
from mynn_control.desk.asking import STRANGE_KEY
from mynn_control.desk.inventory import Inventory
from mynn_control.desk.memory import Seat
from mynn_control.desk.runs import Run
from mynn_control.faults import Fault, faults
from mynn_control.render import for_templates, render
from mynn_control.results import FAILS, HOLDS, NOT_ASKED, Check, PiResult, result_of
from mynn_control.words import _, in_figures


@dataclass
class Pupil:
    """A student's row in the tables of lessons and tasks."""

    pi: str
    student: str  # the account; empty for a Pi's only student
    name: str  # of the pupil; empty if the teacher gave none
    record: Record


@dataclass
class Row:
    """One Pi; `heard` and `verified_when` are 0 if it was never asked. students: their names, with their addresses."""

    pi: str
    students: Mapping[str, str]
    asked: float = 0  # when it was last asked
    lost: str = ""  # why it did not answer then
    heard: float = 0  # when it last answered
    state: dict[str, Any] = field(default_factory=dict)
    faults: Sequence[Fault] = ()
    verified: PiResult | None = None
    verified_when: float = 0

    @property
    def addresses(self) -> list[tuple[str, str]]:
        """Each student's name and address; a single student's name is left out."""
        several = len(self.students) > 1
        return [(name if several else "", url) for name, url in self.students.items()]

    def pupils(self, names: Mapping[Seat, str]) -> list[Pupil]:
        """Return what each student has done, as far as it is known. names: of the pupils, by seat."""
        records = self.state.get("records", {})
        several = len(self.students) > 1
        done = {student: parse(records[student]) or Record() for student in self.students if student in records}
        return [
            Pupil(self.pi, student if several else "", names.get((self.pi, student), ""), record)
            for student, record in done.items()
        ]

    @property
    def strange(self) -> bool:
        """Whether it did not answer because it has another SSH host key than before."""
        return bool(STRANGE_KEY.search(self.lost))

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


def rows(kept: Mapping[str, dict[str, Any]], pis: Mapping[str, Mapping[str, str]]) -> list[Row]:
    """Return each Pi's row, from what is kept of it. pis: by name, their students' addresses."""
    made = []
    sums: dict[str, dict[str, str]] = {}  # of the lessons in a folder on this computer
    for name, students in pis.items():
        of_it = dict(kept.get(name, {}))
        verified, lessons, room = (of_it.pop(what, None) for what in ("verified", "lessons", "room"))
        row = Row(name, students, verified=result_of(verified) if verified else None, **of_it)
        if row.state:
            sums[lessons] = sums.get(lessons) or sums_of(Path(lessons))
            row.faults = list(faults(row.state, sums[lessons], row.heard, room))
        made.append(row)
    return made


def draw(made: Sequence[Row], listed: Inventory, runs: Sequence[Run] = (), labels: float = 0) -> str:
    """Return the page. What came from a Pi is escaped. runs: the latest first. labels: when they were made."""
    parts = {
        "tab": "pis",
        "rows": made,
        "runs": runs,
        "listed": listed,
        "names": listed.names(),
        "labels": labels,
        "ready": [row for row in made if row.ready],
        "lost": [row for row in made if row.lost],
        "faulty": [row for row in made if not row.ready and not row.lost],
        "asked": max((row.asked for row in made), default=0),
        "smoke": (EXAMPLES, TESTED),
        "HOLDS": HOLDS,
        "NOT_ASKED": NOT_ASKED,
    }
    return render("pis", parts)


def duration(seconds: float) -> str:
    """Return a duration in words."""
    minutes, rest = divmod(round(seconds), 60)
    if minutes:
        return _("{minutes} min {seconds} s").format(minutes=minutes, seconds=rest)
    return _("{seconds} s").format(seconds=in_figures(f"{seconds:.1f}") if seconds < 10 else rest)


def age(seconds: float) -> str:
    """Return a duration, roughly."""
    for unit, words in [(86400, _("{count} days")), (3600, _("{count} hours"))]:
        if seconds >= 2 * unit:
            return words.format(count=f"{seconds / unit:.0f}")
    return _("{minutes} min").format(minutes=f"{max(seconds, 0) / 60:.0f}")


def ago(when: float) -> str:
    """Return how long ago something was."""
    # Translators: a duration, such as “3 days” or “5 min”.
    return _("{duration} ago").format(duration=age(time.time() - when))


def by_role(checks: Sequence[Check]) -> list[tuple[str, list[Check]]]:
    """Return checks, those of each role together."""
    return [(role, list(group)) for role, group in groupby(checks, lambda check: check.role)]


def day(when: float) -> str:
    """Return a time as people write it."""
    # Translators: a time, for Python's strftime. In numbers, as in %d.%m.%Y, since %B would be English.
    return time.strftime(_("%-d %B %Y, %H:%M"), time.localtime(when))


def size(megabytes: float) -> str:
    """Return a size in MB or GB."""
    if megabytes < 1000:
        return _("{count} MB").format(count=f"{megabytes:.0f}")
    return _("{count} GB").format(count=in_figures(f"{megabytes / 1000:.1f}"))


def model(text: str) -> tuple[str, str]:
    """Return a Pi's model as people call it, and its revision, from what its device tree says."""
    name, separator, revision = text.removeprefix("Raspberry ").rpartition(" Rev ")
    return (name, revision) if separator else (revision, "")


def sums_of(folder: Path) -> dict[str, str]:
    """Return the SHA256 sums of the lessons on this computer, by name."""
    return {name: sha256(lesson).hexdigest() for name, lesson in lessons_in(folder).items()}


for_templates(duration, age, ago, by_role, day, size, model)
