#!/usr/bin/env python3
"""Make the six pictures of this folder: digits as six people might write them, 28 x 28 pixels, dark on white.

    make_pictures.py [FOLDER]

A pen follows a smooth curve through a few points. The hand shakes, and presses harder in some places than in others.
The last character of a file's name is the digit that is meant.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

SIDE = 28
LARGE = 20  # a printed digit is made 20 times as large, then reduced: its edges become smooth
STEPS = 60  # steps of the pen from one point to the next

Floats = NDArray[np.float64]

# Points on the way of the pen, stroke by stroke: x to the right, y down, in pixels. A corner is a point given twice.
FOUR = [
    "10.5,4.0 9.0,9.5 6.8,14.6 6.8,14.6 13.0,14.2 21.2,13.6",
    "17.2,7.6 16.6,15.0 15.2,24.2",
]
FIVE = [
    "9.8,5.6 9.2,9.0 8.6,12.8 8.6,12.8 13.0,11.4 18.0,13.4 18.6,18.2 14.6,22.4 7.6,21.8",
    "9.8,5.4 14.5,5.2 20.0,4.6",
]
THREE = [
    "8.2,7.4 11.8,4.4 16.6,5.0 18.0,8.6 15.4,12.0 11.8,13.2 11.8,13.2 16.6,13.8 19.4,17.4 17.6,21.8 12.6,23.8 7.6,21.4",
]
SIX = [
    "17.6,4.2 13.0,7.0 9.6,12.0 8.4,17.6 10.0,22.4 14.4,23.8 18.4,21.2 18.6,16.8 15.2,14.4 11.2,15.8 9.2,19.0",
]


def path_through(stroke: str) -> Floats:
    """Return a smooth path through the points of a stroke (Catmull and Rom's curve): (steps, 2)."""
    points = [[float(number) for number in point.split(",")] for point in stroke.split()]
    known = np.array([points[0], *points, points[-1]])  # (n + 2, 2)
    t = np.linspace(0, 1, STEPS)[:, np.newaxis]
    pieces = [
        b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))
        for a, b, c, d in zip(known, known[1:], known[2:], known[3:], strict=False)
    ]
    return np.concatenate(pieces)


def tremor(random: np.random.Generator, steps: int, waves: float) -> Floats:
    """Return smooth random waves around 0, about 1 high, `waves` of them on the whole way: (steps,)."""
    t = np.linspace(0, 2 * np.pi, steps)
    shares = [np.sin(random.uniform(0.5, 1.5) * waves * t + random.uniform(0, 2 * np.pi)) for _ in range(4)]
    total: Floats = np.sum(shares, axis=0) / np.sqrt(2)
    return total


def draw(
    strokes: list[str],
    random: np.random.Generator,
    *,
    width: float,
    wobble: float,
    gaps: tuple[tuple[float, float], ...] = (),
) -> Floats:
    """Return the ink of a digit, 0 to 1: shape (28, 28).

    `width`   of the pen, in pixels
    `wobble`  how far the hand shakes, in pixels
    `gaps`    parts of each stroke without ink: from and to, 0 to 1
    """
    rows, columns = np.mgrid[:SIDE, :SIDE] + 0.5  # the middle of each pixel
    ink = np.zeros((SIDE, SIDE))
    for stroke in strokes:
        path = path_through(stroke)
        path += wobble * np.stack([tremor(random, len(path), 5), tremor(random, len(path), 5)], axis=1)
        pressures = 1 + 0.15 * tremor(random, len(path), 2)
        for part, (x, y), pressure in zip(np.linspace(0, 1, len(path)), path, pressures, strict=True):
            if any(start < part < end for start, end in gaps):
                continue
            distance = np.hypot(columns - x, rows - y)
            mark = np.clip(pressure * width / 2 - distance + 0.5, 0, 1) * min(1, 0.9 * pressure)
            ink = np.maximum(ink, mark)
    return ink


def printed(digit: str) -> Floats:
    """Return the ink of a digit of the font DejaVu Serif, 0 to 1: shape (28, 28)."""
    file = Path(matplotlib.get_data_path(), "fonts/ttf/DejaVuSerif.ttf")
    font = ImageFont.truetype(str(file), 26 * LARGE)
    page = Image.new("L", (SIDE * LARGE, SIDE * LARGE))
    ImageDraw.Draw(page).text((SIDE * LARGE / 2, SIDE * LARGE / 2), digit, fill=255, font=font, anchor="mm")
    return np.asarray(page.reduce(LARGE)) / 255


def photograph(ink: Floats, blur: float = 0.0) -> Image.Image:
    """Return ink as a picture on white paper, blurred by `blur` pixels."""
    picture = Image.fromarray(np.round(255 * (1 - ink)).astype(np.uint8))
    return picture.filter(ImageFilter.GaussianBlur(blur)) if blur else picture


def pictures() -> Iterator[tuple[str, Image.Image]]:
    """Yield the name of each picture, and the picture."""
    yield "ballpoint_4", photograph(draw(FOUR, np.random.default_rng(4), width=1.4, wobble=0.2))
    yield "marker_5", photograph(draw(FIVE, np.random.default_rng(5), width=3.6, wobble=0.2))
    yield "printed_2", photograph(printed("2"), blur=1.0)
    gaps = ((0.14, 0.2), (0.38, 0.43), (0.66, 0.74))
    yield "gaps_3", photograph(draw(THREE, np.random.default_rng(3), width=2.2, wobble=0.25, gaps=gaps))
    wobbly = photograph(draw(SIX, np.random.default_rng(6), width=2.4, wobble=0.5), blur=0.9)
    yield "wobbly_6", wobbly
    noise = np.random.default_rng(66).normal(0, 64, (SIDE, SIDE))
    yield "noisy_6", Image.fromarray(np.clip(np.asarray(wobbly) + noise, 0, 255).astype(np.uint8))


def main() -> None:
    """Write the pictures into the folder."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    for name, picture in pictures():
        picture.save(folder / f"{name}.png")


if __name__ == "__main__":
    main()
