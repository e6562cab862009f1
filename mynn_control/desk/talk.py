"""Lines to pupils, and pupils' calls for help. What a Pi and the desk tell each other is in mynn_server/talk.py."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from typing import Any

from mynn.outline import Lesson
from mynn_control.desk.class_now import Said, at_hand, parsed
from mynn_control.desk.database import Database, Seat
from mynn_control.desk.monitor import Answers
from mynn_control.translation import N_, _
from mynn_server.talk import LONGEST, MOST

# No invisible characters, and none that change the direction of text: these could imitate another text.
TEXT = re.compile(rf"[^\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]{{1,{LONGEST}}}")
ABOUT = re.compile(r"[a-z0-9_]{0,64}")  # a lesson, or a task
NO_LINE = N_("A line has at most 200 characters, without line breaks.")
NOBODY = N_("Tick the pupils whom the line is for.")


class Talk:
    """Lines to pupils, and the queue of those who ask for help.

    send: sends a request to a Pi, and returns whether the Pi answers. lessons: returns the lessons, by name.
    """

    def __init__(
        self,
        answers: Answers,
        database: Database,
        send: Callable[[str, Mapping[str, Any]], bool],
        lessons: Callable[[], Mapping[str, Lesson]],
    ) -> None:
        self.answers, self.database, self.send, self.lessons = answers, database, send, lessons
        self.queue: dict[Seat, tuple[int, float]] = {}  # number of the call, and when the desk heard it
        self.lines: Mapping[Seat, list[Said]] = {}
        self._helped: dict[Seat, int] = {}  # number of the last call that was answered
        self._told: dict[str, Mapping[str, str]] = {}  # by Pi: text by account

    def update(self) -> None:
        """Take up the Pis' latest answers, and tell each Pi what is new for its pupils."""
        self.lines = self._saved()
        for pi, texts in self.answers.shown("class").items():
            for student, text in texts.items():
                if answer := parsed(text):
                    self._hear((pi, student), answer)
        for pi, known in self.answers.pis.items():
            if known["lost"]:
                self._told.pop(pi, None)  # it may have been flashed again
                continue
            texts = {student: self._text((pi, student)) for student in known["students"]}
            if self._told.get(pi) != texts and self.send(pi, {"tell": texts}):
                self._told[pi] = texts

    def _saved(self) -> dict[Seat, list[Said]]:
        lines: dict[Seat, list[Said]] = {}
        for pi, student, number, text, lesson, task, read in self.database.lines():
            lines.setdefault((pi, student), []).append(Said(number, text, lesson, task, bool(read)))
        return lines

    def _hear(self, seat: Seat, answer: Mapping[str, Any]) -> None:
        asked = answer["asked"]
        if not asked or asked <= self._helped.get(seat, 0):
            self.queue.pop(seat, None)
        elif self.queue.get(seat, (0,))[0] != asked:
            self.queue[seat] = (asked, time.time())
        if any(not line.read and line.number <= answer["read"] for line in self.lines.get(seat, ())):
            self.database.read_lines(seat, answer["read"])
            self.lines = self._saved()

    def _text(self, seat: Seat) -> str:
        """Return the content of the pupil's file; empty if there is nothing to tell."""
        lines = [
            {"number": line.number, "text": line.text, "lesson": line.lesson, "task": line.task}
            for line in self.lines.get(seat, ())[-MOST:]
        ]
        place, helped = self.place(seat), self._helped.get(seat, 0)
        return json.dumps({"lines": lines, "place": place, "helped": helped}) if lines or place or helped else ""

    def place(self, seat: Seat) -> int:
        """Return the place in the queue, from 1; 0 for those who do not ask for help."""
        return list(self.queue).index(seat) + 1 if seat in self.queue else 0

    def last(self, seat: Seat) -> Said | None:
        """Return the last line to a pupil, if there is any."""
        return self.lines[seat][-1] if seat in self.lines else None

    def minutes(self, seat: Seat) -> int:
        """Return for how many minutes a pupil in the queue has asked for help."""
        return max(0, int((time.time() - self.queue[seat][1]) / 60))

    def say(self, given: Mapping[str, str]) -> str:
        """Save a line (`text`) for seats (`to`: PI/STUDENT, with commas). Returns the error message, or nothing."""
        to = [name.partition("/") for name in given.get("to", "").split(",")]
        chosen = [(pi, student) for pi, _, student in to if student in self.answers.pis.get(pi, {}).get("students", ())]
        text, about = given.get("text", "").strip(), (given.get("lesson", ""), given.get("task", ""))
        if not chosen:
            return _(NOBODY)
        if not TEXT.fullmatch(text) or not all(map(ABOUT.fullmatch, about)):
            return _(NO_LINE)
        for pi, student in chosen:
            answer = parsed(self.answers.pis[pi]["shown"]["class"].get(student, ""))
            self.database.add_line((pi, student), text, *(about if any(about) else at_hand(answer, self.lessons())))
        return ""

    def end_call(self, given: Mapping[str, str]) -> str:
        """End the call for help of a seat (`to`: PI/STUDENT)."""
        pi, _, student = given.get("to", "").partition("/")
        if call := self.queue.pop((pi, student), None):
            self._helped[pi, student] = call[0]
        return ""
