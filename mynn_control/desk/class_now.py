"""The tab Class: the programs that run on each Pi. Answers from Pis are untrusted."""

from __future__ import annotations

import functools
import json
import math
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from ansible_collections.mynn.pi.plugins.module_utils.linux import SHORT
from ansible_collections.mynn.pi.plugins.module_utils.schema import misfit
from ansible_collections.mynn.pi.plugins.module_utils.text import printable
from mynn.outline import Lesson
from mynn.tasks import MOST, NAME, TYPED
from mynn_control.desk.database import Seat
from mynn_control.desk.monitor import NOT_SET_UP, STRANGE_KEY, Answers
from mynn_control.render import render
from mynn_control.report_schemas import CLOSED, COUNT, YES_OR_NO, by_name, of
from mynn_control.translation import N_, _
from mynn_server.look import NOTEBOOK
from mynn_server.status_stream import STRANGER

if TYPE_CHECKING:
    from mynn_control.desk.talk import Talk

QUIET = 10  # minutes without a run of a cell, after which the page says so
LONGEST = 600  # minutes at a task: a longer time means a wrong clock
MARKS = {True: "✔", False: "✘", None: "·"}  # per task: right, tried, untouched
DIED = {"memory": N_("{lesson} ran out of memory."), "stopped": N_("{lesson} stopped unexpectedly.")}
MEGABYTES = {"type": "integer", "minimum": 0, "maximum": 1 << 20}
PROGRAM = {
    "path": {"type": "string", "maxLength": 300},
    "busy": YES_OR_NO,
    "quiet": {"type": "integer", "minimum": 0, "maximum": 1 << 20},  # minutes
    "died": {"enum": ["", *DIED]},
    "began": COUNT,  # seconds since 1970
}
# Schema of a notebook server's answer (mynn_server/status_socket.py).
ANSWER = CLOSED | of(
    {
        "running": {"type": "array", "items": CLOSED | of(PROGRAM), "maxItems": 50},
        "free": MEGABYTES,
        "total": {**MEGABYTES, "minimum": 1},
        "tasks": by_name(rf"^{NAME}\Z", YES_OR_NO, MOST),
        "typed": by_name(rf"^{NAME}\Z", {"type": "string", "pattern": rf"^{TYPED.pattern}\Z"}, MOST),
        "answered": COUNT,
        "read": COUNT,  # number of the last line that the pupil read
        "asked": COUNT,  # number of an open call for help; 0: none
        "about": {"type": "string", "maxLength": 300},  # the notebook that the call came from
    }
)


@dataclass(frozen=True)
class Line:
    """A program on a card. ours: whether it runs one of our lessons.

    marks: one per task of the lesson, as on the tab Tasks. task: the first that is not right. minutes: time since the
    last answer or the program's start, in words; empty if unknown.
    """

    title: str
    ours: bool = False
    marks: str = ""
    task: str = ""
    minutes: str = ""
    notebook: str = ""  # its name, for a link to it; empty if the pupil keeps it in another folder


@dataclass(frozen=True)
class Said:
    """A line to a pupil. number: about when, in seconds since 1970. lesson, task: its subject, if any."""

    number: int
    text: str
    lesson: str
    task: str
    read: bool


@dataclass(frozen=True)
class Card:
    """A student's card. student: the account; empty if the Pi has only one. name: of the pupil; empty if not given.

    word: the state in words. lines: one per program. why: the reason why a Pi does not answer, from SSH.
    """

    pi: str
    student: str
    state: str  # CSS class
    word: str
    lines: Sequence[Line] = ()
    faults: Sequence[str] = ()
    why: str = ""
    free: int = SHORT  # MB
    used: int = 0  # percent of the memory
    name: str = ""
    seat: Seat = ("", "")
    call: str = ""  # for help, in words
    last: Said | None = None  # the last line to this pupil


def draw(
    answers: Answers, lessons: Mapping[str, Lesson], names: Mapping[Seat, str], talk: Talk, usual: Sequence[str]
) -> str:
    """Return the page: cards in the inventory's order, after those that ask for help, in turn, and those with a fault.

    What came from a Pi is escaped. lessons: by name. names: pupils' names by seat. usual: lines that are often sent.
    """
    cards: list[tuple[float, bool, Card]] = []
    for pi, texts in answers.shown("class").items():
        students, lost = answers.pis[pi]["students"], answers.pis[pi]["lost"]
        for student in students:
            whose = student if len(students) > 1 else ""
            made = card(pi, whose, lost, texts.get(student), lessons, off=pi in answers.off)
            seat = (pi, student)
            made = replace(made, name=names.get(seat, ""), seat=seat, last=talk.last(seat))
            if place := talk.place(seat):
                made = replace(made, call=call(texts.get(student), lessons, talk.minutes(seat)))
            cards.append((place or math.inf, not made.faults, made))
    cards.sort(key=lambda ranked: ranked[:2])
    parts = {
        "cards": [made for *_rank, made in cards],
        "usual": usual,
        "short": SHORT,
        "pis": len(answers.pis),
        "answering": answers.answering,
    }
    return render("class", parts | {"tab": "class"})


def card(
    pi: str, student: str, lost: str | None, text: str | None, lessons: Mapping[str, Lesson], *, off: bool = False
) -> Card:
    """Return a student's card.

    text: the notebook server's answer; None if it does not run, "" if it is silent. off: the Pi was switched off.
    """
    name = printable(pi, 80).removesuffix(".local")
    if lost is None:
        return Card(name, student, "asked", _("Asking …"))
    if lost and off:
        return Card(name, student, "asked", _("Switched off"))
    if lost:
        shut = re.search("ssh password|permission denied", lost, re.I)
        fault = _("It wants a password: adopt it, on the tab Pis.") if shut else _("Check its power and its Wi-Fi.")
        if STRANGE_KEY.search(lost):
            fault = _("It has another SSH host key than before: see the tab Pis.")
        elif lost == NOT_SET_UP:
            fault, lost = _("It has no mynn-pi yet, or another version: set it up, on the tab Pis."), ""
        return Card(name, student, "lost", _("Does not answer"), faults=[fault], why=lost)
    if text is None:
        # A single student's server always runs. With several students, opening the page starts each server.
        return Card(name, student, "asked", _("Not signed in") if student else _("No notebook server yet"))
    answer = parsed(text)
    if answer is None:
        fault = _("Its answer is invalid.") if text else _("Wait for a minute; then switch it off and on.")
        if text == STRANGER:
            fault = _("Another student's program on this Pi answers in its place: switch the Pi off and on.")
        return Card(name, student, "lost", _("No answer"), faults=[fault])
    running = answer["running"]
    lines = [line_of(program, answer, lessons) for program in running]
    died = [(line.title, program["died"]) for line, program in zip(lines, running, strict=True) if program["died"]]
    faults = [_(DIED[why]).format(lesson=title) for title, why in died]
    if answer["free"] < SHORT:
        faults.append(_("Memory is short: have one of the lessons ended."))
    quiet = min((program["quiet"] for program in running), default=0)
    if any(program["busy"] for program in running):
        state, word = "working", _("Working")
    elif running:
        state, word = "open", _("Quiet for {minutes} min").format(minutes=quiet) if quiet >= QUIET else _("Open")
    else:
        state, word = "none", _("Nothing open")
    used = round(100 * (1 - min(answer["free"], answer["total"]) / answer["total"]))
    return Card(name, student, state, word, lines, faults, free=answer["free"], used=used)


@functools.lru_cache(256)  # each change on any Pi redraws the pages
def parsed(text: str) -> dict[str, Any] | None:
    """Return a server's answer, or None if it does not match the schema."""
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return None if misfit(answer, ANSWER) else answer


def at_hand(answer: Mapping[str, Any] | None, lessons: Mapping[str, Lesson]) -> tuple[str, str]:
    """Return the lesson's name and the task that a pupil is at; empty if unknown. A call for help says its lesson."""
    if not answer:
        return "", ""
    last = sorted(answer["running"], key=lambda program: program["began"], reverse=True)
    paths = [answer["about"]] if answer["asked"] else [program["path"] for program in last]
    name = next((stem for path in paths if (stem := PurePosixPath(path).stem) in lessons), "")
    return name, next_task(lessons[name], answer["tasks"]) if name else ""


def next_task(lesson: Lesson, tried: Mapping[str, bool]) -> str:
    """Return the name of a lesson's first task that is not right yet; empty if all are right."""
    return next((task for task in lesson.tasks if not tried.get(task)), "")


def call(text: str | None, lessons: Mapping[str, Lesson], minutes: int) -> str:
    """Return a call for help in words."""
    name, task = at_hand(parsed(text or ""), lessons)
    where = ", ".join(filter(None, [lessons[name].title.partition(":")[0] if name else "", task]))
    asked = _("Asks for help, {minutes} min").format(minutes=minutes)
    return f"{asked} ({where})" if where else asked


def line_of(program: Mapping[str, Any], answer: Mapping[str, Any], lessons: Mapping[str, Lesson]) -> Line:
    """Return a program's line: the lesson's title if it is one of ours, otherwise the file's name."""
    place = PurePosixPath(program["path"])
    lesson = lessons.get(place.stem) if place.suffix == ".ipynb" else None
    notebook = place.stem if NOTEBOOK.fullmatch(program["path"]) else ""
    if not lesson:
        return Line(printable(place.name, 60) or "?", notebook=notebook)
    tried, minutes = answer["tasks"], max(0, int((time.time() - max(program["began"], answer["answered"])) / 60))
    if minutes > LONGEST:
        return Line(lesson.title, True, notebook=notebook)
    marks = "".join(MARKS[tried.get(task)] for task in lesson.tasks)
    lasted = _("{minutes} min").format(minutes=minutes)
    return Line(lesson.title, True, marks, next_task(lesson, tried), lasted, notebook)
