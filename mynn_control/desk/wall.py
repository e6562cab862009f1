"""The tab Wall, and the page for the projector: results that students show. Their content is untrusted."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from mynn import wall
from mynn.arrays import Bytes
from mynn.errors import DataError
from mynn.files import write_text
from mynn.mnist import SIDE
from mynn.png import png_source
from mynn_control.desk.database import Database
from mynn_control.desk.monitor import Answers
from mynn_control.render import for_templates, render
from mynn_control.translation import N_, _, in_figures

# Layouts that fit the screen: up to how many cards, cards in a row, pictures in a row of a card.
LAYOUTS = [(1, 1, 5), (2, 2, 5), (3, 3, 5), (4, 2, 10), (6, 3, 5), (8, 4, 5), (15, 5, 5), (24, 4, 10), (30, 5, 10)]
MANY = (6, 10)  # cards and pictures in a row if there are more cards; the page then scrolls
# Size of the mosaic in rem (a 120th of the window's width).
MOSAIC_WIDTH, MOSAIC_HEIGHT = 29.0, 48.0
NOBODY = N_("There is nobody with that name.")
read = lru_cache(maxsize=1000)(wall.read)  # each change on any Pi redraws the wall


@dataclass(frozen=True)
class Card:
    """A student's card. place: `PI/STUDENT`."""

    place: str
    shown: wall.Shown


class Wall:
    """The wall. database: knows the students taken off. test_set: CSV file with all digits on the wall."""

    def __init__(self, answers: Answers, database: Database, test_set: Path) -> None:
        self.answers, self.database, self.test_set = answers, database, test_set
        self._digits = ""  # the test set, as last written

    def cards(self) -> list[Card]:
        """Return the cards of all students who show something valid."""
        cards = []
        for pi, texts in self.answers.shown("wall").items():
            for student, text in texts.items():
                with suppress(DataError):
                    cards.append(Card(f"{pi}/{student}", read(text)))
        return cards

    def take_off(self, given: Mapping[str, str]) -> str:
        """Take a student off, by place. Returns the error message, or nothing."""
        if (place := given.get("place", "")) not in {card.place for card in self.cards()}:
            return _(NOBODY)
        self.database.take_off(place)
        return ""

    def put_back(self, given: Mapping[str, str]) -> str:
        """Put a student back, by place. Returns the error message, or nothing."""
        if (place := given.get("place", "")) not in self.database.taken_off():
            return _(NOBODY)
        self.database.put_back(place)
        return ""

    def draw(self) -> dict[str, str]:
        """Return the pages for the teacher (`wall`) and for the projector (`full`). Write the test set, too."""
        cards, taken_off = self.cards(), self.database.taken_off()
        on = [card for card in cards if card.place not in taken_off]
        parts = parts_of(on) | {"taken_off": taken_off}
        # The test set is CSV in MNIST's format, for `read_csv`.
        digits = "".join(f"{label},{','.join(map(str, pixels.tolist()))}\n" for label, pixels in parts["tiles"])
        if digits and digits != self._digits:
            self.test_set.parent.mkdir(parents=True, exist_ok=True)
            write_text(self.test_set, digits)
        elif cards and not digits:
            self.test_set.unlink(missing_ok=True)
        self._digits = digits
        parts |= {"answering": self.answers.answering, "pis": len(self.answers.pis)}
        return {tab: render("wall", parts | {"tab": tab}) for tab in ("wall", "full")}


def parts_of(cards: Sequence[Card]) -> dict[str, Any]:
    """Return the cards' parts of the page. Its text is escaped, and pictures are drawn here, from pixels."""
    cards = sorted(cards, key=lambda card: (without_marks(card.shown.name), card.place))
    columns, in_a_row = next(((columns, row) for most, columns, row in LAYOUTS if len(cards) <= most), MANY)
    scored = [card.shown for card in cards if card.shown.score is not None]
    most = max((shown.tested or 0 for shown in scored), default=0)  # a score on fewer digits is not comparable
    compared = [shown for shown in scored if (shown.tested or 0) == most]
    best = max((shown.score or 0.0 for shown in compared), default=None)
    return {
        "cards": cards,
        "columns": columns,
        "in_a_row": in_a_row,
        "best": best,
        "names": [shown.name for shown in compared if shown.score == best],
        "tiles": mosaic(cards),
    }


def percent(score: float) -> Markup:
    """Return a score (0 to 1) in percent, as HTML."""
    return Markup(in_figures(f"{score:.1%}"[:-1]) + "&#8239;%")


def without_marks(name: str) -> str:
    """Return a sort key for a name: Élodie is between Ed and Emil."""
    letters = unicodedata.normalize("NFKD", name.casefold())
    return "".join(letter for letter in letters if not unicodedata.combining(letter))


def mosaic(cards: Sequence[Card]) -> list[tuple[int, Bytes]]:
    """Return all digits on the cards as (label, pixels), sorted by label."""
    drawn = [card.shown.digits for card in cards if card.shown.digits is not None]
    tiles = [(int(label), pixels) for one in drawn for label, pixels in zip(one.labels, one.pixels, strict=True)]
    return sorted(tiles, key=lambda tile: tile[0])


def picture(pixels: Bytes) -> str:
    """Return a picture of 784 pixels as a data URL, dark where there is ink."""
    return _png(pixels.tobytes(), SIDE)


def together(tiles: Sequence[tuple[int, Bytes]]) -> str:
    """Return the mosaic as one picture, as a data URL."""
    # The smallest number of tiles in a row with which the mosaic fits its place.
    columns = next(n for n in range(5, 1000) if MOSAIC_WIDTH / n * math.ceil(len(tiles) / n) <= MOSAIC_HEIGHT)
    canvas = np.zeros((math.ceil(len(tiles) / columns), SIDE, columns, SIDE), np.uint8)
    for place, (_label, pixels) in enumerate(tiles):
        canvas[place // columns, :, place % columns] = pixels.reshape(SIDE, SIDE)
    return _png(canvas.tobytes(), columns * SIDE)


@lru_cache(maxsize=4096)
def _png(pixels: bytes, width: int) -> str:
    return png_source(np.frombuffer(pixels, np.uint8).reshape(-1, width))


for_templates(picture, together, percent)
