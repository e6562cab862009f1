"""`make watch`: show the teacher what runs on each Pi, until Ctrl-C. Nothing that a Pi says is trusted.

python -m mynn_control.watch FOLDER COMMAND...

COMMAND runs playbooks/watch.yml. The page is at http://127.0.0.1:8901 while this runs, and is not kept. FOLDER is
locked meanwhile.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from ansible_collections.mynn.pi.plugins.module_utils.schema import misfit
from ansible_collections.mynn.pi.plugins.module_utils.text import printable
from ansible_collections.mynn.pi.plugins.modules.live_page import STRANGER
from mynn.outline import outline
from mynn_control.live_page import LivePage, keep
from mynn_control.render import render, script

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


class Watch(LivePage):
    """What runs on the Pis. lessons: their titles, by name."""

    name = "watch"
    port = 8901

    def __init__(self, answers: Path, lessons: Mapping[str, str]) -> None:
        super().__init__(answers)
        self.lessons = lessons

    def draw(self) -> str:
        """Return the page: the Pis in the inventory's order. What came from a Pi is escaped."""
        pis = sorted(self.pis.items(), key=lambda pi: pi[1]["place"])
        cards = [
            card(name, student if len(pi["students"]) > 1 else "", pi["lost"], pi["shown"].get(student), self.lessons)
            for name, pi in pis
            for student in pi["students"]
        ]
        answering = sum(pi["lost"] == "" for pi in self.pis.values())
        parts = {"cards": cards, "short": SHORT, "pis": len(pis), "answering": answering}
        return render("watch", script("live_page.js") | parts)


def card(pi: str, student: str, lost: str | None, text: str | None, lessons: Mapping[str, str]) -> Card:
    """Return a student's card. text: of the notebook server, None if it does not run, "" if it is silent."""
    name = printable(pi, 80).removesuffix(".local")
    if lost is None:
        return Card(name, student, "asked", "Asking …")
    if lost:
        return Card(name, student, "lost", "Does not answer", faults=["Check its power and its Wi-Fi."], why=lost)
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


if __name__ == "__main__":
    lessons = outline(Path(__file__).resolve().parents[1] / "notebooks")
    titles = {name: lesson.title for name, lesson in lessons.items()}
    sys.exit(keep(Path(sys.argv[1]), sys.argv[2:], lambda answers: Watch(answers, titles)))
