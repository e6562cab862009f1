"""The tab Class: what runs on each Pi. Nothing that a Pi says is trusted."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from ansible_collections.mynn.pi.plugins.module_utils.schema import misfit
from ansible_collections.mynn.pi.plugins.module_utils.text import printable
from ansible_collections.mynn.pi.plugins.modules.live_page import STRANGER
from mynn_control.desk.asking import Answers
from mynn_control.render import render

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


def closed(properties: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of an object with these properties and no others."""
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


# What a student's notebook server answers (mynn_server).
ANSWER = closed(
    {
        "running": {"type": "array", "items": closed(PROGRAM), "maxItems": 50},
        "free": MEGABYTES,
        "total": {**MEGABYTES, "minimum": 1},
    }
)


@dataclass(frozen=True)
class Card:
    """What the page shows of a student at a Pi. student: empty where a Pi has one.

    lines: by program, its lesson, and whether that is ours. why: the reason that a Pi does not answer, as SSH puts it.
    """

    pi: str
    student: str
    state: str  # a class of the style sheet
    word: str
    lines: Sequence[tuple[str, bool]] = ()
    faults: Sequence[str] = ()
    why: str = ""
    free: int = SHORT  # MB
    used: int = 0  # percent


def cards(answers: Answers, lessons: Mapping[str, str]) -> list[Card]:
    """Return the students' cards: first those with a fault, each in the inventory's order. lessons: titles by name."""
    found = []
    for pi, texts in answers.shown("class").items():
        students, lost = answers.pis[pi]["students"], answers.pis[pi]["lost"]
        for student in students:
            whose = student if len(students) > 1 else ""
            found.append(card(pi, whose, lost, texts.get(student), lessons, off=pi in answers.off))
    return sorted(found, key=lambda card: not card.faults)


def draw(answers: Answers, lessons: Mapping[str, str]) -> str:
    """Return the page. What came from a Pi is escaped."""
    parts = {"cards": cards(answers, lessons), "short": SHORT, "pis": len(answers.pis), "answering": answers.answering}
    return render("class", parts | {"tab": "class"})


def card(
    pi: str, student: str, lost: str | None, text: str | None, lessons: Mapping[str, str], *, off: bool = False
) -> Card:
    """Return a student's card.

    text: of the notebook server, None if it does not run, "" if it is silent. off: whether the Pi was switched off.
    """
    name = printable(pi, 80).removesuffix(".local")
    if lost is None:
        return Card(name, student, "asked", "Asking …")
    if lost and off:
        return Card(name, student, "asked", "Switched off")
    if lost:
        shut = re.search("ssh password|permission denied", lost, re.I)
        fault = "It wants a password: adopt it, on the tab Pis." if shut else "Check its power and its Wi-Fi."
        return Card(name, student, "lost", "Does not answer", faults=[fault], why=lost)
    if text is None:
        # One student's server runs all the time; of several, each server is started when its page is opened.
        return Card(name, student, "asked", "Not signed in" if student else "No notebook server yet")
    answer = parsed(text)
    if answer is None:
        fault = "Its answer is invalid." if text else "Wait for a minute; then switch it off and on."
        if text == STRANGER:
            fault = "Another student's program on this Pi answers in its place: switch the Pi off and on."
        return Card(name, student, "lost", "No answer", faults=[fault])
    running = answer["running"]
    lines = [titled(program["path"], lessons) for program in running]
    faults = [
        f"{title if len(lines) > 1 else 'It'} {DIED[program['died']]}."
        for (title, _), program in zip(lines, running, strict=True)
        if program["died"]
    ]
    if answer["free"] < SHORT:
        faults.append("Memory is short: let a lesson be ended.")
    quiet = min((program["quiet"] for program in running), default=0)
    if any(program["busy"] for program in running):
        state, word = "working", "Working"
    elif running:
        state, word = "open", f"Quiet for {quiet} min" if quiet >= QUIET else "Open"
    else:
        state, word = "none", "Nothing open"
    used = round(100 * (1 - min(answer["free"], answer["total"]) / answer["total"]))
    return Card(name, student, state, word, lines, faults, free=answer["free"], used=used)


def parsed(text: str) -> dict[str, Any] | None:
    """Return what a server answers, if it matches the schema."""
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return None if misfit(answer, ANSWER) else answer


def titled(path: str, lessons: Mapping[str, str]) -> tuple[str, bool]:
    """Return a notebook's title, if it is a lesson of ours; else its name."""
    place = PurePosixPath(path)
    title = lessons.get(place.stem, "") if place.suffix == ".ipynb" else ""
    return (title, True) if title else (printable(place.name, 60) or "?", False)
