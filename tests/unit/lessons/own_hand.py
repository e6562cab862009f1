"""One person's handwriting on the pad, with random variations.

The 1 has a flag and a foot, the 7 a bar, the 4 is open, and the 9 has a tail like a g: MNIST has few of these.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from mynn import Examples
from mynn.arrays import Bytes
from mynn.images import frame

SIDE = 112  # pixels, of the pad's drawings
# Strokes through points, x to the right and y down, 0 to 1 across the square.
HAND = {
    0: ["50,15 32,25 25,50 32,76 50,86 68,76 75,50 68,25 50,15"],
    1: ["30,38 52,14 52,86", "32,86 72,86"],
    2: ["28,32 38,16 58,14 70,28 66,46 46,66 28,84 74,84"],
    3: ["28,18 70,18 46,44 66,52 72,68 60,84 40,86 26,76"],
    4: ["34,14 24,56 78,56", "60,36 60,88"],
    5: ["70,15 34,15 30,46 52,42 70,54 70,74 54,86 28,80"],
    6: ["66,14 44,30 30,54 32,76 50,86 68,74 64,56 48,52 34,64"],
    7: ["24,18 74,18 58,50 46,86", "36,52 70,50"],
    8: ["66,24 50,14 34,24 38,40 64,58 68,76 50,86 32,76 36,58 62,40 66,24"],
    9: ["70,34 54,44 36,40 32,24 48,13 68,20 70,34 70,66 62,84 44,88 28,80"],
}


def drawing(digit: int, random: np.random.Generator) -> Bytes:
    """Return a random drawing of a digit as the pad sends it: brightness, shape (112, 112)."""
    turn, lean = random.normal(0, 0.12), random.normal(0, 0.15)
    bend = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ np.array([[1, lean], [0, 1]])
    bend *= random.uniform(0.75, 1.0, 2)[:, np.newaxis]
    rows, columns = (np.mgrid[:SIDE, :SIDE] + 0.5) / SIDE
    nearest = np.full((SIDE, SIDE), np.inf)
    for stroke in HAND[digit]:
        points = np.array([[float(number) / 100 for number in point.split(",")] for point in stroke.split()])
        points = (points - 0.5 + random.normal(0, 0.02, points.shape)) @ bend.T + 0.5
        for first, second in pairwise(points):
            for part in np.linspace(0, 1, 20):
                x, y = first + part * (second - first)
                nearest = np.minimum(nearest, np.hypot(columns - x, rows - y))
    return np.where(nearest < 0.043, 0, 255).astype(np.uint8)


def drawings(each: int, seed: int) -> Examples:
    """Return framed drawings of the digits 0 to 9, this many of each, in rounds of ten."""
    random = np.random.default_rng(seed)
    labels = [digit for _ in range(each) for digit in HAND]
    pixels = np.array([frame(drawing(digit, random)) for digit in labels])
    return Examples(np.array(labels, np.uint8), pixels)
