"""`make watch`: run the playbook that asks the Pis, and show the teacher what runs, until Ctrl-C.

watch_server.py FOLDER COMMAND...

COMMAND runs playbooks/watch.yml. The page is at http://127.0.0.1:8901 while this runs, and is not kept. FOLDER is
locked meanwhile.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from watch_page import Seat, heard, page

from ansible_collections.mynn.pi.plugins.module_utils.lessons import outline
from ansible_collections.mynn.pi.plugins.module_utils.live_page import LivePage, keep


class Watch(LivePage):
    """What runs on the Pis. lessons: their titles, by name."""

    title = "The watch"
    port = 8901

    def __init__(self, answers: Path, lessons: dict[str, str]) -> None:
        super().__init__(answers)
        self.lessons = lessons
        self._students: dict[str, list[str]] = {}  # by Pi
        self._said: dict[str, dict[str, str]] = {}

    def look(self) -> None:
        """Take in the answers that are new, and at first which Pis and students the playbook says there are."""
        super().look()
        told = self.answers / ".pis"
        if not self._students and told.exists():
            self._students = json.loads(told.read_bytes())
            with self.lock:
                self.show()

    def take_in(self, pi: str, shown: dict[str, str]) -> None:
        """Take in what the servers of a Pi say."""
        self._said[pi] = shown

    def draw(self) -> str:
        """Return the page: the Pis in the inventory's order."""
        seats = []
        for pi, students in self._students.items():
            said, lost = self._said.get(pi, {}), self.lost.get(pi)
            seats += [Seat(pi, name if len(students) > 1 else "", lost, heard(said.get(name))) for name in students]
        return page(seats, self.lessons)


if __name__ == "__main__":
    lessons = outline(Path(__file__).resolve().parents[3] / "notebooks")
    titles = {name: lesson.title for name, lesson in lessons.items()}
    sys.exit(keep(Path(sys.argv[1]), sys.argv[2:], lambda answers: Watch(answers, titles)))
