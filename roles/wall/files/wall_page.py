"""The wall's page, and the class's own test set, of what students show. Nothing of it is trusted."""

from __future__ import annotations

import base64
import io
import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from ansible_collections.mynn.pi.plugins.module_utils.live_page import render
from mynn.arrays import Bytes
from mynn.mnist import SIDE
from mynn.wall import Shown

HERE = Path(__file__).resolve().parent
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
    shown: Shown


@dataclass(frozen=True)
class Tile:
    """A digit of the mosaic: its label, its pixels, and who drew it."""

    label: int
    pixels: Bytes
    name: str


def page(cards: Sequence[Card], *, taken_off: int = 0, answering: int = 0, lost: Sequence[str] = ()) -> str:
    """Return the page: self-contained HTML. What came from a Pi is escaped, and its pictures are drawn anew.

    taken_off: how many students the teacher took off. answering, lost: how many Pis answer, and which do not.
    """
    by_name = sorted(cards, key=lambda card: (without_marks(card.shown.name), card.place))
    tiles = mosaic(by_name)
    columns, in_a_row = next(((columns, row) for most, columns, row in LAYOUTS if len(cards) <= most), MANY)
    parts = {
        "cards": by_name,
        "columns": columns,
        "in_a_row": in_a_row,
        "best": best(by_name),
        "tiles": tiles,
        "tile_columns": tile_columns(len(tiles)),
        "drawn_by": sum(card.shown.digits is not None for card in cards),
        "taken_off": taken_off,
        "answering": answering,
        "lost": lost,
    }
    filters = {"picture": picture, "percent": lambda score: f"{score:.1%}".replace("%", "\u202f%")}
    return render(HERE / "wall.html.j2", parts, filters)


def without_marks(name: str) -> str:
    """Return a name to sort by: Élodie is between Ed and Emil."""
    letters = unicodedata.normalize("NFKD", name.casefold())
    return "".join(letter for letter in letters if not unicodedata.combining(letter))


def best(cards: Sequence[Card]) -> tuple[list[str], float] | None:
    """Return the best score, and whose it is."""
    scores = [card.shown.score for card in cards if card.shown.score is not None]
    if not scores:
        return None
    most = max(scores)
    return [card.shown.name for card in cards if card.shown.score == most], most


def mosaic(cards: Sequence[Card]) -> list[Tile]:
    """Return all digits that are shown, the zeros first."""
    tiles = [
        Tile(int(label), pixels, card.shown.name)
        for card in cards
        if card.shown.digits is not None
        for label, pixels in zip(card.shown.digits.labels, card.shown.digits.pixels, strict=True)
    ]
    return sorted(tiles, key=lambda tile: tile.label)


def tile_columns(count: int) -> int:
    """Return how many tiles stand side by side, so that the mosaic fills its place and no more."""
    return next(n for n in range(5, 1000) if MOSAIC_WIDTH / n * math.ceil(count / n) <= MOSAIC_HEIGHT)


def test_set(tiles: Sequence[Tile]) -> str:
    """Return the digits as CSV in MNIST's form, for `read_csv`."""
    return "".join(f"{tile.label},{','.join(map(str, tile.pixels.tolist()))}\n" for tile in tiles)


def picture(pixels: Bytes) -> str:
    """Return a picture of 784 pixels as an address, dark where there is ink."""
    return _png(pixels.tobytes())


@lru_cache(maxsize=4096)
def _png(pixels: bytes) -> str:
    image = Image.fromarray(255 - np.frombuffer(pixels, np.uint8).reshape(SIDE, SIDE))
    with io.BytesIO() as file:
        image.save(file, "PNG")
        return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
