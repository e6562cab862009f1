"""Pictures of what is no digit: letters, words, shapes, scribbles, and what a photo may have instead."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont

from mynn.arrays import Bytes
from mynn.images import frame
from tests.support.pupil import Strokes

LETTERS = "AEFHKMNRTWXYadefhkmnprtwxßäÄЖ&@%$?€#+"
TEXTS = ("a line of text", "Hello", "mynn", "Class 7b", "x = y", "?!?")
SHAPES: dict[str, Strokes] = {
    "the edge of a table": [[(-0.1, 0.3), (1.1, 0.42)]],
    "the corner of a sheet": [[(0.2, 1.1), (0.22, 0.25), (1.1, 0.2)]],
    "squared paper": [[(0.1, y), (0.9, y)] for y in (0.2, 0.5, 0.8)] + [[(x, 0.1), (x, 0.9)] for x in (0.2, 0.5, 0.8)],
    "lines": [[(0.1, y), (0.9, y)] for y in (0.2, 0.35, 0.5, 0.65, 0.8)],
    "house": [
        [(0.2, 0.85), (0.2, 0.45), (0.5, 0.15), (0.8, 0.45), (0.8, 0.85), (0.2, 0.85)],
        [(0.5, 0.85), (0.5, 0.6)],
    ],
    "person": [[(0.5, 0.15), (0.5, 0.6), (0.3, 0.9)], [(0.5, 0.6), (0.7, 0.9)], [(0.25, 0.4), (0.75, 0.4)]],
    "star": [
        [(0.5 + 0.4 * math.sin(0.8 * turn * math.pi), 0.5 - 0.4 * math.cos(0.8 * turn * math.pi)) for turn in range(6)]
    ],
    "heart": [[(0.5, 0.85), (0.15, 0.45), (0.3, 0.2), (0.5, 0.35), (0.7, 0.2), (0.85, 0.45), (0.5, 0.85)]],
    "square": [[(0.2, 0.2), (0.8, 0.2), (0.8, 0.8), (0.2, 0.8), (0.2, 0.2)]],
    "triangle": [[(0.5, 0.15), (0.85, 0.8), (0.15, 0.8), (0.5, 0.15)]],
    "cross": [[(0.2, 0.2), (0.8, 0.8)], [(0.8, 0.2), (0.2, 0.8)]],
    "arrow": [[(0.15, 0.5), (0.85, 0.5)], [(0.65, 0.3), (0.85, 0.5), (0.65, 0.7)]],
    "zigzag": [[(0.1, 0.5), (0.25, 0.2), (0.4, 0.8), (0.55, 0.2), (0.7, 0.8), (0.85, 0.3)]],
}


def no_digits() -> Iterator[tuple[str, Bytes]]:
    """Yield the name of each, and what a network sees of it."""
    random, side = np.random.default_rng(5), 112
    scribbles = {f"scribble {number}": [list(map(tuple, random.uniform(0.15, 0.85, (9, 2))))] for number in range(8)}
    for name, strokes in (SHAPES | scribbles).items():
        picture = Image.new("L", (side, side), 255)
        for points in strokes:
            ImageDraw.Draw(picture).line([(x * side, y * side) for x, y in points], fill=0, width=7, joint="curve")
        yield name, frame(np.asarray(picture))
    font = ImageFont.truetype(font_manager.findfont("DejaVu Sans"), 60)
    for text in (*LETTERS, *TEXTS):
        left, top, right, bottom = font.getbbox(text)
        picture = Image.new("L", (int(right - left) + 80, int(bottom - top) + 80), 255)
        ImageDraw.Draw(picture).text((40 - left, 40 - top), text, font=font, fill=0)
        yield text, frame(np.asarray(picture))
