"""`make wall`: show the class what students show, until Ctrl-C. Nothing of it is trusted.

python -m mynn_control.wall FOLDER COMMAND...

COMMAND runs playbooks/wall.yml. The page is FOLDER/index.html, and while this runs http://127.0.0.1:8900, where each
card has a button that takes it off. Whom the teacher took off is remembered in FOLDER/taken_off.json. The class's own
test set is FOLDER/test_set/class_digits.csv. The Pis' answers themselves are kept only while this runs.
"""

from __future__ import annotations

import base64
import io
import json
import math
import sys
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import ClassVar

import numpy as np
from markupsafe import Markup
from PIL import Image

from ansible_collections.mynn.pi.plugins.module_utils.files import write_text
from ansible_collections.mynn.pi.plugins.module_utils.text import printable
from mynn import wall
from mynn.arrays import Bytes
from mynn.errors import DataError
from mynn.mnist import SIDE
from mynn_control.live_page import LivePage, keep
from mynn_control.render import render, script

# For so many cards at most: how many stand side by side, and how many of a card's pictures, so that all fit the screen.
LAYOUTS = [(1, 1, 5), (2, 2, 5), (3, 3, 5), (4, 2, 10), (6, 3, 5), (8, 4, 5), (15, 5, 5), (24, 4, 10), (30, 5, 10)]
MANY = (6, 10)  # of more cards; the page can be scrolled then
# The mosaic's place, in the page's units (a 120th of the window's width each): how wide and high it is.
MOSAIC_WIDTH, MOSAIC_HEIGHT = 29.0, 48.0


@dataclass(frozen=True)
class Card:
    """What one student shows. place: `PI/STUDENT`. digest: of all that is shown."""

    place: str
    digest: str
    shown: wall.Shown


class Wall(LivePage):
    """The wall. folder: what is kept of it."""

    name = "wall"
    port = 8900
    hint = "open it on the projector; F11 fills the screen"
    settings: ClassVar = {"wall_file": wall.FILE, "wall_largest": wall.LARGEST}

    def __init__(self, folder: Path, answers: Path) -> None:
        super().__init__(answers)
        self.folder = folder
        self.remembered = folder / "taken_off.json"
        self.taken_off: list[str] = json.loads(self.remembered.read_bytes()) if self.remembered.exists() else []
        self._left_out: set[str] = set()  # places
        if self.taken_off:
            print(f"Still taken off: {printable(', '.join(self.taken_off))}.")

    def farewell(self) -> str:
        """Return where the page stays."""
        return f"The wall has ended. {self.folder}/index.html shows it as it was; delete {self.folder} to forget it."

    def press(self, button: str, what: str) -> bool:
        """Take a student off, by place, or put back the one who was taken off last."""
        with self.lock:
            if button == "take-off" and what in {card.place for card in self.cards()}:
                self.taken_off = [*(place for place in self.taken_off if place != what), what]
            elif button == "put-back":
                self.taken_off = self.taken_off[:-1]
            else:
                return False
            write_text(self.remembered, json.dumps(self.taken_off) + "\n")
            self.redraw()
        return True

    def cards(self) -> list[Card]:
        """Return the cards of all who show something that can be read."""
        cards = []
        for pi, answer in self.pis.items():
            for student, text in answer["shown"].items():
                place, digest = f"{pi}/{student}", sha256(text.encode()).hexdigest()
                try:
                    cards.append(Card(place, digest, wall.read(text)))
                except DataError as error:
                    if place not in self._left_out:  # a student may write another such file again and again
                        print(f"{place} is left out. {printable(error)}", flush=True)
                    self._left_out.add(place)
        return cards

    def draw(self) -> str:
        """Return the page. Write it and the test set, too, if they change."""
        cards = self.cards()
        on = [card for card in cards if card.place not in self.taken_off]
        answering = sum(answer["lost"] == "" for answer in self.pis.values())
        html = page(on, taken_off=len(self.taken_off), answering=answering, pis=len(self.pis))
        if html != self.html:
            write_text(self.folder / "index.html", html)
            digits = self.folder / "test_set/class_digits.csv"
            if tiles := mosaic(on):
                digits.parent.mkdir(exist_ok=True)
                write_text(digits, test_set(tiles))
            elif cards:
                digits.unlink(missing_ok=True)
        return html


def page(cards: Sequence[Card], *, taken_off: int = 0, answering: int = 0, pis: int = 0) -> str:
    """Return the page. What came from a Pi is escaped, and its pictures are drawn anew.

    taken_off: how many students the teacher took off. answering: how many of the Pis answer.
    """
    cards = sorted(cards, key=lambda card: (without_marks(card.shown.name), card.place))
    tiles = mosaic(cards)
    columns, in_a_row = next(((columns, row) for most, columns, row in LAYOUTS if len(cards) <= most), MANY)
    scored = [card.shown for card in cards if card.shown.score is not None]
    most = max((shown.tested or 0 for shown in scored), default=0)  # nobody is best at a few drawings
    compared = [shown for shown in scored if (shown.tested or 0) == most]
    best = max((shown.score or 0.0 for shown in compared), default=None)
    parts = script("live_page.js", "wall.js") | {
        "cards": cards,
        "columns": columns,
        "in_a_row": in_a_row,
        "best": best,
        "names": [shown.name for shown in compared if shown.score == best],
        "tiles": tiles,
        "tile_columns": tile_columns(len(tiles)),
        "taken_off": taken_off,
        "answering": answering,
        "pis": pis,
    }
    filters = {"picture": picture, "percent": lambda score: Markup(f"{score:.1%}".replace("%", "&#8239;%"))}
    return render("wall", parts, filters=filters)


def without_marks(name: str) -> str:
    """Return a name to sort by: Élodie is between Ed and Emil."""
    letters = unicodedata.normalize("NFKD", name.casefold())
    return "".join(letter for letter in letters if not unicodedata.combining(letter))


def mosaic(cards: Sequence[Card]) -> list[tuple[int, Bytes]]:
    """Return all digits that are shown, each with its label, the zeros first."""
    drawn = [card.shown.digits for card in cards if card.shown.digits is not None]
    tiles = [(int(label), pixels) for one in drawn for label, pixels in zip(one.labels, one.pixels, strict=True)]
    return sorted(tiles, key=lambda tile: tile[0])


def tile_columns(count: int) -> int:
    """Return how many tiles stand side by side, so that the mosaic fills its place and no more."""
    return next(n for n in range(5, 1000) if MOSAIC_WIDTH / n * math.ceil(count / n) <= MOSAIC_HEIGHT)


def test_set(tiles: Sequence[tuple[int, Bytes]]) -> str:
    """Return the digits as CSV in MNIST's form, for `read_csv`."""
    return "".join(f"{label},{','.join(map(str, pixels.tolist()))}\n" for label, pixels in tiles)


def picture(pixels: Bytes) -> str:
    """Return a picture of 784 pixels as an address, dark where there is ink."""
    return _png(pixels.tobytes())


@lru_cache(maxsize=4096)
def _png(pixels: bytes) -> str:
    image = Image.fromarray(255 - np.frombuffer(pixels, np.uint8).reshape(SIDE, SIDE))
    with io.BytesIO() as file:
        image.save(file, "PNG")
        return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


if __name__ == "__main__":
    own = Path(sys.argv[1])
    sys.exit(keep(own, sys.argv[2:], lambda answers: Wall(own, answers)))
