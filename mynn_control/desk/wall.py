"""The tab Wall, and the projector's page: what students show. Nothing of it is trusted."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

import numpy as np
from markupsafe import Markup

from ansible_collections.mynn.pi.plugins.module_utils.text import printable
from mynn import wall
from mynn.arrays import Bytes
from mynn.errors import DataError
from mynn.files import write_text
from mynn.mnist import SIDE
from mynn.png import png_source
from mynn_control.desk.asking import Answers
from mynn_control.desk.memory import Memory
from mynn_control.render import for_templates, render
from mynn_control.words import _, in_figures, marked

# For so many cards at most: how many stand side by side, and how many of a card's pictures, so that all fit the screen.
LAYOUTS = [(1, 1, 5), (2, 2, 5), (3, 3, 5), (4, 2, 10), (6, 3, 5), (8, 4, 5), (15, 5, 5), (24, 4, 10), (30, 5, 10)]
MANY = (6, 10)  # of more cards; the page can be scrolled then
# The mosaic's place, in the page's units (a 120th of the window's width each): how wide and high it is.
MOSAIC_WIDTH, MOSAIC_HEIGHT = 29.0, 48.0
NOBODY = marked("There is nobody of that name.")


@dataclass(frozen=True)
class Card:
    """What one student shows. place: `PI/STUDENT`. digest: of all that is shown."""

    place: str
    digest: str
    shown: wall.Shown


class Wall:
    """The wall. memory: whom the teacher took off. test_set: the file with all digits that are on the wall."""

    def __init__(self, answers: Answers, memory: Memory, test_set: Path) -> None:
        self.answers, self.memory, self.test_set = answers, memory, test_set
        self._left_out: set[str] = set()  # places
        self._digits = ""  # the test set as it was written
        if places := memory.taken_off():
            print(f"Still taken off the wall: {printable(', '.join(places))}.")

    def cards(self) -> list[Card]:
        """Return the cards of all who show something that can be read."""
        cards = []
        for pi, texts in self.answers.shown("wall").items():
            for student, text in texts.items():
                place, digest = f"{pi}/{student}", sha256(text.encode()).hexdigest()
                try:
                    cards.append(Card(place, digest, read(text)))
                except DataError as error:
                    if place not in self._left_out:  # a student may write another such file again and again
                        print(f"{place} is left out. {printable(error)}", flush=True)
                    self._left_out.add(place)
        return cards

    def take_off(self, given: Mapping[str, str]) -> str:
        """Take a student off, by place. Returns why not, or nothing."""
        if (place := given.get("place", "")) not in {card.place for card in self.cards()}:
            return _(NOBODY)
        self.memory.take_off(place)
        return ""

    def put_back(self, given: Mapping[str, str]) -> str:
        """Put a student back, by place. Returns why not, or nothing."""
        if (place := given.get("place", "")) not in self.memory.taken_off():
            return _(NOBODY)
        self.memory.put_back(place)
        return ""

    def draw(self) -> dict[str, str]:
        """Return the teacher's page, `wall`, and the projector's, `full`. Write the test set, too."""
        cards, taken_off = self.cards(), self.memory.taken_off()
        on = [card for card in cards if card.place not in taken_off]
        digits = test_set(mosaic(on))
        if digits and digits != self._digits:
            self.test_set.parent.mkdir(parents=True, exist_ok=True)
            write_text(self.test_set, digits)
        elif cards and not digits:
            self.test_set.unlink(missing_ok=True)
        self._digits = digits
        counts = {"answering": self.answers.answering, "pis": len(self.answers.pis)}
        return {tab: page(on, tab=tab, taken_off=taken_off, **counts) for tab in ("wall", "full")}


def page(
    cards: Sequence[Card],
    *,
    tab: str = "full",
    taken_off: Sequence[str] = (),
    answering: int = 0,
    pis: int = 0,
) -> str:
    """Return the page. What came from a Pi is escaped, and its pictures are drawn anew.

    tab: `full`, or `wall`, which has the teacher's buttons. taken_off: whom the teacher took off. answering: how many
    of the Pis answer.
    """
    cards = sorted(cards, key=lambda card: (without_marks(card.shown.name), card.place))
    columns, in_a_row = next(((columns, row) for most, columns, row in LAYOUTS if len(cards) <= most), MANY)
    scored = [card.shown for card in cards if card.shown.score is not None]
    most = max((shown.tested or 0 for shown in scored), default=0)  # nobody is best at a few drawings
    compared = [shown for shown in scored if (shown.tested or 0) == most]
    best = max((shown.score or 0.0 for shown in compared), default=None)
    parts = {
        "tab": tab,
        "cards": cards,
        "columns": columns,
        "in_a_row": in_a_row,
        "best": best,
        "names": [shown.name for shown in compared if shown.score == best],
        "tiles": mosaic(cards),
        "taken_off": taken_off,
        "answering": answering,
        "pis": pis,
    }
    return render("wall", parts)


def percent(score: float) -> Markup:
    """Return a share in percent."""
    return Markup(in_figures(f"{score:.1%}"[:-1]) + "&#8239;%")


@lru_cache(maxsize=1000)
def read(text: str) -> wall.Shown:
    """Return what a student shows, as mynn.wall.read does: each change of any Pi draws the wall anew."""
    return wall.read(text)


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
    return _png(pixels.tobytes(), SIDE)


def together(tiles: Sequence[tuple[int, Bytes]]) -> str:
    """Return the mosaic's picture as an address."""
    columns = tile_columns(len(tiles))
    canvas = np.zeros((math.ceil(len(tiles) / columns), SIDE, columns, SIDE), np.uint8)
    for place, (_label, pixels) in enumerate(tiles):
        canvas[place // columns, :, place % columns] = pixels.reshape(SIDE, SIDE)
    return _png(canvas.tobytes(), columns * SIDE)


@lru_cache(maxsize=4096)
def _png(pixels: bytes, width: int) -> str:
    return png_source(np.frombuffer(pixels, np.uint8).reshape(-1, width))


for_templates(picture, together, percent)
