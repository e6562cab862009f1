"""Drawings that are no digits, and digits, as strokes on the pad: letters, doodles of things, and scribbles.

No hand drew them: each is a few lines with small changes by chance. `seen` makes of them what a network sees.
"""

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib import font_manager
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from mynn.arrays import Bytes
from mynn.errors import DataError
from mynn.images import frame

Points = NDArray[np.float64]
Pair = Sequence[float] | Points
Strokes = list[Points]
Random = np.random.Generator
Draw = Callable[[Random], Strokes | Bytes]

SIDE, PEN, RASTER = 560, 48, 112  # of the pad in paper.js
FONTS = ("DejaVu Sans", "DejaVu Serif", "DejaVu Sans Mono")  # matplotlib has them
LIKE_DIGITS = "ODQoIlijSsZzBbGgq"  # letters that look like a digit: nobody could refuse these and take all digits
# Points of strokes on a grid of 7 columns and 9 rows, such as 08: column 0, row 8.
LETTERS = {
    "A": "08 30 68,15 55", "C": "61 30 11 04 17 38 67", "E": "60 00 08 68,04 54", "F": "60 00 08,04 54",
    "H": "00 08,60 68,04 64", "J": "50 56 38 17", "K": "00 08,60 04 68", "L": "00 08 68", "M": "08 10 35 50 68",
    "N": "08 00 68 60", "P": "08 00 40 52 44 04", "R": "08 00 40 52 44 04,34 68", "T": "00 60,30 38",
    "U": "00 06 28 48 66 60", "V": "00 38 60", "W": "00 18 32 48 60", "X": "00 68,60 08", "Y": "00 34 60,34 38",
    "a": "53 33 14 17 38 56,53 58", "c": "53 23 05 17 38 57", "d": "54 33 15 17 38 56,50 58",
    "e": "15 65 53 23 05 17 38 67", "f": "50 30 22 28,04 44", "h": "10 18,15 33 54 58", "k": "10 18,53 16 58",
    "m": "08 03,04 23 34 38,34 53 64 68", "n": "13 18,15 33 54 58", "p": "13 19,14 33 54 56 38 17",
    "r": "13 18,15 33 53", "t": "30 37 48 57,03 53", "u": "13 16 28 47,53 58", "v": "13 38 63", "w": "03 18 34 48 63",
    "x": "13 58,53 18", "y": "13 36,63 29", "ä": "53 33 14 17 38 56,53 58,21,41", "+": "30 38,04 64",
    "#": "20 28,50 58,03 73,06 76", "?": "02 10 40 52 34 36,38", "!": "30 35,38", "%": "60 08,11,57",
    "=": "03 63,05 65", "*": "30 38,02 66,62 06",
}  # fmt: skip
# The same for things that children draw.
THINGS = {
    "house": "08 04 64 68 08,04 30 64", "house with a door": "08 04 64 68 08,04 30 64,28 26 46 48",
    "arrow": "04 64,42 64 46", "flash": "50 15 45 18", "square": "01 61 67 07 01", "triangle": "30 68 08 30",
    "star": "30 48 03 63 18 30", "grid": "20 28,40 48,03 63,06 66", "bars": "08 00,28 20,48 40,68 60",
    "envelope": "01 61 67 07 01 34 61", "tent": "08 30 68 08,38 30", "ladder": "10 18,50 58,12 52,14 54,16 56",
    "boat": "06 18 58 66 06,36 30 54 34", "crown": "08 00 24 30 44 60 68 08", "diamond": "30 64 38 04 30",
    "stairs": "08 06 26 24 44 42 62 60", "cup": "01 08 58 51 01,53 73 76 56", "flag": "08 00 62 04",
    "kite": "30 53 38 13 30,13 53", "rake": "30 35,06 66,05 08,25 28,45 48,65 68", "table": "03 63,13 18,53 58",
}  # fmt: skip
DIGITS: Sequence[Sequence[str]] = (
    ("30 10 02 06 18 48 66 62 50 30",),
    ("30 38", "12 30 38", "50 28", "12 30 38,18 58"),
    ("02 10 40 62 54 08 68", "02 10 40 62 54 17 06 26 68"),
    ("01 30 61 53 24,24 54 66 48 07", "00 60 33 64 67 38 07"),
    ("40 05 65,43 48", "10 05 65,50 48", "00 04 64,60 68"),
    ("10 04 33 65 57 28 07,10 60", "60 10 04 43 66 48 07"),
    ("50 21 05 17 38 57 55 34 06",),
    ("00 60 38", "00 60 28,14 54", "01 00 60 28"),
    ("51 30 11 23 45 57 38 17 15 43 51", "30 11 23 43 51 30,34 15 17 38 57 55 34"),
    ("52 30 11 13 34 52,52 56 28", "30 11 13 34 53 51 30,51 48"),
)


def _points(text: str) -> Strokes:
    """Return strokes from their points on the grid."""
    grid = [[(int(point[0]), int(point[1])) for point in stroke.split()] for stroke in text.split(",")]
    return [np.array(stroke, float) * [60, 55] + [100, 60] for stroke in grid]


def _round(stroke: Points) -> Points:
    """Return a stroke as a smooth curve through its points (Catmull and Rom)."""
    if len(stroke) < 3:
        return stroke
    around = np.vstack([2 * stroke[0] - stroke[1], stroke, 2 * stroke[-1] - stroke[-2]])
    t = np.linspace(0, 1, 8)[:, None]
    parts = []
    for before, a, b, after in zip(around, around[1:], around[2:], around[3:], strict=False):
        bend = t**2 * (2 * before - 5 * a + 4 * b - after) + t**3 * (3 * a - before - 3 * b + after)
        parts.append(a + t * (b - before) / 2 + bend / 2)
    return np.vstack(parts)


def _arc(middle: Pair, radii: Pair, begin: float = 0, turn: float = 2 * np.pi) -> Points:
    angles = np.linspace(begin, begin + turn, 24)
    points: Points = np.asarray(middle) + np.asarray(radii) * np.column_stack([np.cos(angles), np.sin(angles)])
    return points


def by_hand(strokes: Strokes, random: Random, tremble: float = 13) -> Strokes:
    """Return strokes as another hand would draw them: leaning, wider or narrower, and not quite steady."""
    angle = random.normal(0, 0.11)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    change = turn @ (np.eye(2) + random.normal(0, 0.1, (2, 2)))
    steady = [
        stroke + random.normal(0, tremble if len(stroke) < 12 else tremble / 5, stroke.shape) for stroke in strokes
    ]
    return [np.clip((stroke - SIDE / 2) @ change.T + SIDE / 2, PEN / 2, SIDE - PEN / 2) for stroke in steady]


def _drawn(shapes: Sequence[str], random: Random, roundness: float = 0.5) -> Strokes:
    strokes = by_hand(_points(shapes[int(random.integers(len(shapes)))]), random)
    return [_round(stroke) for stroke in strokes] if random.random() < roundness else strokes


def letter(random: Random) -> Strokes:
    return _drawn([*LETTERS.values()], random)


def thing(random: Random) -> Strokes:
    return _drawn([*THINGS.values()], random, 0.15)


def digit(random: Random) -> Strokes:
    shapes = DIGITS[int(random.integers(len(DIGITS)))]
    return [_round(stroke) for stroke in by_hand(_points(shapes[int(random.integers(len(shapes)))]), random, 9)]


def printed(random: Random, signs: Sequence[str] = (*LETTERS,)) -> Bytes:
    """Return what a network sees of a printed letter."""
    family = FONTS[int(random.integers(len(FONTS)))]
    font = ImageFont.truetype(font_manager.findfont(family), 60)
    sign = signs[int(random.integers(len(signs)))]
    left, top, right, bottom = font.getbbox(sign)
    picture = Image.new("L", (int(right - left) + 80, int(bottom - top) + 80), 255)
    ImageDraw.Draw(picture).text((40 - left, 40 - top), sign, font=font, fill=0)
    return frame(np.asarray(picture.rotate(random.normal(0, 6), fillcolor=255)))


def scribble(random: Random) -> Strokes:
    """Return one wild line, or two."""
    return [_round(random.uniform(60, 500, (random.integers(6, 13), 2))) for _ in range(random.integers(1, 3))]


def zigzag(random: Random) -> Strokes:
    count = random.integers(4, 12)
    heights = np.where(np.arange(count) % 2, random.uniform(100, 200), random.uniform(340, 450))
    line = np.c_[np.linspace(80, 480, count), heights]
    return by_hand([_round(line) if random.random() < 0.4 else line[:, :: random.choice([1, -1])]], random)


def spiral(random: Random) -> Strokes:
    turns, sense = np.linspace(0, random.uniform(2, 4), 70), random.choice([1, -1])
    angles = sense * 2 * np.pi * turns
    radii = turns / turns[-1] * 210
    return by_hand([np.c_[280 + radii * np.cos(angles), 280 + radii * np.sin(angles)]], random)


def face(random: Random) -> Strokes:
    mouth = (
        _arc((280, 300), (90, 70), 0.3, np.pi - 0.6) if random.random() < 0.6 else _arc((280, 420), (90, 70), 3.4, 2.5)
    )
    eyes = [_arc((x, 220), (12, 12)) for x in (210, 350)]
    return by_hand([_arc((280, 280), (200, 200)), *eyes, mouth], random)


def heart(random: Random) -> Strokes:
    t = np.linspace(0, 2 * np.pi, 40)
    down = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return by_hand([np.c_[280 + 208 * np.sin(t) ** 3, 280 - 13 * down]], random)


def flower(random: Random) -> Strokes:
    leaves = [_arc((280 + 110 * np.cos(a), 210 + 110 * np.sin(a)), (60, 60)) for a in np.arange(5) * 2 * np.pi / 5]
    return by_hand([*leaves, np.array([(280.0, 320.0), (280.0, 520.0)])], random)


def tree(random: Random) -> Strokes:
    trunk = [np.array([(x, 320.0), (x, 500.0)]) for x in (250.0, 310.0)]
    return by_hand([_arc((280, 190), (random.uniform(110, 180), 130)), *trunk], random)


def fish(random: Random) -> Strokes:
    body = np.vstack([_arc((250, 280), (170, 100), 0.4, 2 * np.pi - 0.8), [(490, 370), (490, 190), (406, 320)]])
    return by_hand([body], random)


def person(random: Random) -> Strokes:
    lines = [np.array(line, float) for line in ([(280, 190), (280, 350)], [(160, 240), (400, 240)])]
    legs = np.array([(190.0, 490.0), (280.0, 350.0), (370.0, 490.0)])
    return by_hand([_arc((280, 130), (60, 60)), *lines, legs], random)


def jumble(random: Random) -> Strokes:
    """Return two to five lines, arcs and corners, sometimes with their mirror image, as most things have one."""

    def part() -> Points:
        middle, radii = random.uniform(120, 440, 2), random.uniform(30, 200, 2)
        match random.integers(5):
            case 0:
                return random.uniform(60, 500, (2, 2))
            case 1:
                return random.uniform(60, 500, (random.integers(3, 7), 2))
            case 2:
                return _arc(middle, radii)
            case 3:
                return _arc(middle, radii, random.uniform(0, 7), random.uniform(1.5, 5))
        return _round(random.uniform(60, 500, (random.integers(3, 8), 2)))

    parts = [part() for _ in range(random.choice([2, 3, 4, 5], p=[0.4, 0.3, 0.2, 0.1]))]
    if random.random() < 0.35:
        parts += [np.c_[SIDE - one[:, 0], one[:, 1]] for one in parts[:2]]
    return by_hand(parts, random, 4)


DOODLES: Sequence[Draw] = (
    thing, thing, thing, scribble, zigzag, spiral, face, heart, flower, tree, fish, person,
)  # fmt: skip


def seen(strokes: Strokes, pen: float = PEN) -> Bytes | None:
    """Return what a network sees of strokes, as paper.js draws them; None if that is nothing."""
    picture, scale = Image.new("L", (RASTER, RASTER), 255), RASTER / SIDE
    draw, radius = ImageDraw.Draw(picture), pen * scale / 2
    for stroke in strokes:
        points = [(float(x), float(y)) for x, y in stroke * scale]
        if len(points) > 1:
            draw.line(points, fill=0, width=round(2 * radius), joint="curve")
        for x, y in (points[0], points[-1]) if len(points) > 12 else points:
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=0)
    try:
        return frame(np.asarray(picture))
    except DataError:
        return None


def pictures(kinds: Sequence[Draw], count: int, seed: int, pens: tuple[float, float] = (40, 56)) -> Bytes:
    """Return what a network sees of so many drawings of these kinds in turn, shape (count, 784)."""
    random = np.random.default_rng(seed)
    found: list[Bytes] = []
    while len(found) < count:
        drawn = kinds[len(found) % len(kinds)](random)
        picture = drawn if isinstance(drawn, np.ndarray) else seen(drawn, random.uniform(*pens))
        if picture is not None:
            found.append(picture)
    return np.array(found, np.uint8)
