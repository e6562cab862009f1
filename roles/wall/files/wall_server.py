"""`make wall`: run the playbook that asks the Pis, and show the class what students show, until Ctrl-C.

wall_server.py FOLDER COMMAND...

COMMAND runs playbooks/wall.yml. The page is FOLDER/index.html, and while this runs http://127.0.0.1:8900, where each
card has a button that takes it off. Whom the teacher took off is remembered in FOLDER/taken_off.json. The class's own
test set is FOLDER/test_set/class_digits.csv. The Pis' answers themselves are kept only while this runs.
"""

from __future__ import annotations

import json
import sys
from hashlib import sha256
from pathlib import Path

from wall_page import Card, mosaic, page, test_set

from ansible_collections.mynn.pi.plugins.module_utils.files import replacing
from ansible_collections.mynn.pi.plugins.module_utils.live_page import LivePage, keep
from ansible_collections.mynn.pi.plugins.module_utils.text import printable
from mynn import wall
from mynn.errors import DataError


class Wall(LivePage):
    """What is on the wall."""

    title = "The wall"
    port = 8900
    hint = "open it on the projector; F11 fills the screen"

    def __init__(self, folder: Path, answers: Path) -> None:
        super().__init__(answers)
        self.folder = folder
        self.taken_off = self._remembered()
        self._cards: dict[str, list[Card]] = {}  # by Pi
        self._unreadable: set[str] = set()

    def greeting(self) -> str:
        """Say who is still taken off."""
        return f"Still taken off, as you asked: {printable(', '.join(self.taken_off))}." if self.taken_off else ""

    def farewell(self) -> str:
        """Say where the page is."""
        return f"The wall has ended. {self.folder}/index.html shows it as it was; delete {self.folder} to forget it."

    def press(self, button: str, what: str) -> bool:
        """Take a student off, or put the last one back."""
        if button == "take-off":
            return self.take_off(what)
        if button == "put-back":
            self.put_back()
            return True
        return False

    def take_off(self, place: str) -> bool:
        """Take a student off, until `put_back`. Returns whether that student is on the wall."""
        with self.lock:
            if place not in {card.place for cards in self._cards.values() for card in cards}:
                return False
            self.taken_off = [*(one for one in self.taken_off if one != place), place]
            self._remember()
            self.show()
        return True

    def put_back(self) -> None:
        """Put back the student who was taken off last."""
        with self.lock:
            self.taken_off = self.taken_off[:-1]
            self._remember()
            self.show()

    def take_in(self, pi: str, shown: dict[str, str]) -> None:
        """Take in what a Pi's students show."""
        self._cards[pi] = []
        for student, text in shown.items():
            place, digest = f"{pi}/{student}", sha256(text.encode()).hexdigest()
            try:
                self._cards[pi].append(Card(place, digest, wall.read(text)))
            except DataError as error:
                if digest not in self._unreadable:
                    print(f"{place} is left out. {printable(error)}", flush=True)
                self._unreadable.add(digest)

    def draw(self) -> str:
        """Return the page."""
        lost = sorted(pi for pi, why in self.lost.items() if why)
        return page(self._on, taken_off=len(self.taken_off), answering=len(self.lost) - len(lost), lost=lost)

    def show(self) -> None:
        """Write the page and the test set, if they change."""
        before = self.html
        super().show()
        if self.html == before:
            return
        _write(self.folder / "index.html", self.html)
        digits = self.folder / "test_set/class_digits.csv"
        if tiles := mosaic(self._on):
            digits.parent.mkdir(exist_ok=True)
            _write(digits, test_set(tiles))
        elif any(self._cards.values()):
            digits.unlink(missing_ok=True)

    @property
    def _on(self) -> list[Card]:
        return [card for cards in self._cards.values() for card in cards if card.place not in self.taken_off]

    def _remembered(self) -> list[str]:
        try:
            places = json.loads((self.folder / "taken_off.json").read_bytes())
            return [place for place in places if isinstance(place, str)] if isinstance(places, list) else []
        except (OSError, ValueError):
            return []

    def _remember(self) -> None:
        _write(self.folder / "taken_off.json", json.dumps(self.taken_off) + "\n")


def _write(path: Path, text: str) -> None:
    with replacing(path) as file:
        file.write(text.encode())


if __name__ == "__main__":
    own = Path(sys.argv[1])
    sys.exit(keep(own, sys.argv[2:], lambda answers: Wall(own, answers)))
