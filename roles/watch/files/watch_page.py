"""The page that shows the teacher what runs on each Pi. Nothing that a Pi says is trusted."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from ansible_collections.mynn.pi.plugins.module_utils.live_page import render
from ansible_collections.mynn.pi.plugins.module_utils.schema import misfit
from ansible_collections.mynn.pi.plugins.module_utils.text import printable

HERE = Path(__file__).resolve().parent
SHORT = 60  # MB that are too few for what a lesson does, as on the notebooks' pages
QUIET = 10  # minutes without a cell that ran, after which the page says so
DIED = {"memory": "ran out of memory", "stopped": "stopped unexpectedly"}
MEGABYTES = {"type": "integer", "minimum": 0, "maximum": 1 << 20}
PROGRAM = {
    "path": {"type": "string", "maxLength": 300},
    "busy": {"type": "boolean"},
    "quiet": {"type": "integer", "minimum": 0, "maximum": 1 << 20},  # minutes
    "died": {"enum": ["", *DIED]},
}
# What a student's server says (mynn_server/teacher.py).
SAID = {
    "running": {
        "type": "array",
        "items": {
            "type": "object",
            "properties": PROGRAM,
            "required": list(PROGRAM),
            "additionalProperties": False,
        },
        "maxItems": 50,
    },
    "free": MEGABYTES,
    "total": {**MEGABYTES, "minimum": 1},
}
SCHEMA = {"type": "object", "properties": SAID, "required": list(SAID), "additionalProperties": False}


@dataclass(frozen=True)
class Heard:
    """What a student's server says. wrong: in words, why there is nothing to show."""

    running: Sequence[Mapping[str, Any]] = ()
    free: int = 0
    total: int = 0
    wrong: str = ""


@dataclass(frozen=True)
class Seat:
    """A student at a Pi. student: empty where a Pi has one.

    lost: why the Pi does not answer; None if it was not asked yet. heard: None if the student's server does not run.
    """

    pi: str
    student: str
    lost: str | None
    heard: Heard | None


@dataclass(frozen=True)
class Card:
    """What the page shows of a seat. lines: by program, its lesson, and whether that is ours."""

    name: str
    student: str
    state: str  # a class of the style sheet
    word: str
    lines: Sequence[tuple[str, bool]] = ()
    faults: Sequence[str] = ()
    why: str = ""  # in the words of SSH or Ansible
    free: int = 0
    used: int = 0  # percent


def heard(text: str | None) -> Heard | None:
    """Return what a server says, checked against the schema. text: None if it does not run, "" if it is silent."""
    if text is None:
        return None
    if not text:
        return Heard(wrong="Wait for a minute; then switch it off and on.")
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        said = None
    if misfit(said, SCHEMA):
        return Heard(wrong="Its answer is invalid.")
    return Heard(**said)


def page(seats: Sequence[Seat], lessons: Mapping[str, str]) -> str:
    """Return the page: self-contained HTML. What came from a Pi is escaped. lessons: their titles, by name."""
    cards = [card(seat, lessons) for seat in seats]
    pis = {seat.pi: seat.lost for seat in seats}
    parts = {
        "cards": cards,
        "short": SHORT,
        "pis": len(pis),
        "answering": sum(lost == "" for lost in pis.values()),
        "open": sum(bool(one.lines) for one in cards),
        "working": sum(one.state == "working" for one in cards),
        "faulty": [one for one in cards if one.faults],
    }
    return render(HERE / "watch.html.j2", parts)


def card(seat: Seat, lessons: Mapping[str, str]) -> Card:
    """Return what is shown of a seat."""
    name, said = printable(seat.pi, 80).removesuffix(".local"), seat.heard
    if seat.lost is None:
        return Card(name, seat.student, "asked", "Asking …")
    if seat.lost:
        fault = "Check its power and its Wi-Fi."
        return Card(name, seat.student, "lost", "Does not answer", faults=[fault], why=printable(seat.lost))
    if said is None:
        # One student's server runs all the time; of several, each server is started when its page is opened.
        return Card(name, seat.student, "asked", "Not signed in" if seat.student else "No notebook server yet")
    if said.wrong:
        return Card(name, seat.student, "lost", "No answer", faults=[said.wrong])
    lines = [titled(one["path"], lessons) for one in said.running]
    died = [(title, DIED[one["died"]]) for (title, _), one in zip(lines, said.running, strict=True) if one["died"]]
    faults = [f"{title if len(lines) > 1 else 'It'} {what}." for title, what in died]
    if said.free < SHORT:
        faults.append("Memory is short: let a lesson be ended.")
    state = "working" if any(one["busy"] for one in said.running) else "open" if lines else "none"
    quiet = min((one["quiet"] for one in said.running), default=0)
    word = {
        "working": "Working",
        "open": f"Quiet for {quiet} min" if quiet >= QUIET else "Open",
        "none": "Nothing open",
    }
    used = round(100 * (1 - min(said.free, said.total) / said.total))
    return Card(name, seat.student, state, word[state], lines, faults, free=said.free, used=used)


def titled(path: str, lessons: Mapping[str, str]) -> tuple[str, bool]:
    """Return a notebook's title without its part, if it is a lesson of ours; else its name."""
    place = PurePosixPath(path)
    title = lessons.get(place.stem, "") if place.suffix == ".ipynb" else ""
    if not title:
        return printable(place.name, 60) or "?", False
    short = re.sub(r"^(Part|Lesson)[^:]{0,40}: ", "", title)
    return short[:1].upper() + short[1:], True
