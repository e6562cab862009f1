"""The tab Pis: each Pi's state, faults and remedies, as of its last report or verification."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from ansible_collections.mynn.pi.plugins.module_utils.lessons import lessons_in
from mynn.cli.info import TESTED
from mynn.tasks import Answer, Record, parse
from mynn_control.desk.database import Groups, Seat
from mynn_control.desk.inventory import Inventory
from mynn_control.desk.monitor import STRANGE_KEY
from mynn_control.desk.runs import Run
from mynn_control.faults import Fault, faults
from mynn_control.render import for_templates, render
from mynn_control.results import FAILS, HOLDS, NOT_ASKED, Check, PiResult, result_of
from mynn_control.translation import _, in_figures

Live = Mapping[Seat, Mapping[str, Answer]]  # answers of now by seat: task → answer


@dataclass
class Pupil:
    """A student's row in the tables of lessons and tasks."""

    pi: str
    student: str  # the account; empty if the Pi has only one
    name: str  # of the pupil; empty if not given
    record: Record
    live: bool = False  # whether its answers are of now
    heard: float = 0  # time of the Pi's last report


@dataclass
class Row:
    """A Pi's row. Times are 0 for what never happened. students: account → URL."""

    pi: str
    students: Mapping[str, str]
    asked: float = 0  # when it was last asked
    lost: str = ""  # why it did not answer then
    heard: float = 0  # when it last answered
    state: dict[str, Any] = field(default_factory=dict)
    faults: Sequence[Fault] = ()
    verified: PiResult = field(default_factory=lambda: PiResult(""))  # the last verification; empty if there was none
    verified_when: float = 0

    @property
    def addresses(self) -> list[tuple[str, str]]:
        """Account and URL of each student; the account is empty if there is only one."""
        several = len(self.students) > 1
        return [(name if several else "", url) for name, url in self.students.items()]

    def pupils(self, names: Mapping[Seat, str], live: Live) -> list[Pupil]:
        """Return the known progress of each student. names: pupils' names by seat. live: their answers of now."""
        records, several, made = self.state.get("records", {}), len(self.students) > 1, []
        for student in self.students:
            seat, record = (self.pi, student), parse(records.get(student, "")) or Record()
            if student in records or seat in live:
                record, account = replace(record, tasks=dict(live.get(seat, record.tasks))), student if several else ""
                made.append(Pupil(self.pi, account, names.get(seat, ""), record, seat in live, self.heard))
        return made

    @property
    def strange(self) -> bool:
        """Whether it did not answer because its SSH host key has changed."""
        return bool(STRANGE_KEY.search(self.lost))

    @property
    def failing(self) -> list[Check]:
        """Checks that failed in the last verification."""
        return self.verified.those(FAILS)

    @property
    def grave(self) -> list[Fault]:
        """Faults that disturb a lesson."""
        return [fault for fault in self.faults if fault.grave]

    @property
    def repairable(self) -> bool:
        """Whether site.yml may repair a fault or a failed check."""
        return bool(self.failing) or any("make site" in fault.cure for fault in self.faults)

    @property
    def ready(self) -> bool:
        """Whether it answered, and has no grave fault or failed check."""
        return bool(self.state) and not (self.lost or self.grave or self.failing)


def rows(kept: Mapping[str, dict[str, Any]], pis: Mapping[str, Mapping[str, str]]) -> list[Row]:
    """Return each Pi's row. kept: name → saved columns. pis: name → students' URLs by account."""
    made = []
    sums: dict[str, dict[str, str]] = {}  # folder on this computer → SHA256 sums of its lessons
    for name, students in pis.items():
        of_it = dict(kept.get(name, {}))
        verified, lessons, room = (of_it.pop(what, None) for what in ("verified", "lessons", "room"))
        row = Row(name, students, **of_it)
        if verified:
            row.verified = result_of(verified)
        if row.state:
            sums[lessons] = sums.get(lessons) or sums_of(Path(lessons))
            row.faults = list(faults(row.state, sums[lessons], row.heard, room))
        made.append(row)
    return made


def draw(
    made: Sequence[Row], listed: Inventory, runs: Sequence[Run] = (), labels: float = 0, groups: Groups | None = None
) -> str:
    """Return the page. Text from Pis is escaped. runs: the latest first. labels: time at which they were made."""
    parts = {
        "tab": "pis",
        "rows": sorted(made, key=lambda row: (row.ready, bool(row.lost))),  # what is wrong is first
        "runs": runs,
        "listed": listed,
        "names": listed.names(),
        "groups": groups or {},
        "labels": labels,
        "asked": max((row.asked for row in made), default=0),
        "tested": TESTED,
        "HOLDS": HOLDS,
        "NOT_ASKED": NOT_ASKED,
    }
    return render("pis", parts)


def age(seconds: float) -> str:
    """Return a duration in words, rounded."""
    for unit, words in [(86400, _("{count} days")), (3600, _("{count} hours"))]:
        if seconds >= 2 * unit:
            return words.format(count=f"{seconds / unit:.0f}")
    return _("{minutes} min").format(minutes=f"{max(seconds, 0) / 60:.0f}")


def ago(when: float) -> str:
    """Return the time since then, in words."""
    # Translators: a duration, such as “3 days” or “5 min”.
    return _("{duration} ago").format(duration=age(time.time() - when))


def day(when: float) -> str:
    """Return a date and time in words."""
    # Translators: a time, for Python's strftime. In numbers, as in %d.%m.%Y, since %B would be English.
    return time.strftime(_("%-d %B %Y, %H:%M"), time.localtime(when))


def size(megabytes: float) -> str:
    """Return a size in MB or GB."""
    if megabytes < 1000:
        return _("{count} MB").format(count=f"{megabytes:.0f}")
    return _("{count} GB").format(count=in_figures(f"{megabytes / 1000:.1f}"))


def model(text: str) -> tuple[str, str]:
    """Return a Pi's model without “Raspberry”, and its revision, from the model in its device tree."""
    name, separator, revision = text.removeprefix("Raspberry ").rpartition(" Rev ")
    return (name, revision) if separator else (revision, "")


def sums_of(folder: Path) -> dict[str, str]:
    """Return the SHA256 sums of the lessons in a folder, by name."""
    return {name: sha256(lesson).hexdigest() for name, lesson in lessons_in(folder).items()}


for_templates(age, ago, day, size, model)
