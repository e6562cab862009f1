"""How pictures should be framed for the network: as `read_image` frames them, as they are, or by another rule.

    python -m tests.benchmarks.framing [--held-out] [--large] [--sheet PICTURE.png]

draws digits in seven styles, has ten networks read each picture under each recipe, and prints a table: of ten networks,
how many recognise it, by style. The development set is what the rule was made on; the set that is held out has other
fonts, other handwriting, other bitmaps, other seeds and other parameters, and was looked at once, at the end.

The lessons' networks never saw the handwriting: they learn from the first 20,000 training digits of MNIST, one set is
drawn from the next 20,000, the other one from the last 20,000. The fonts are matplotlib's and
reportlab's, which this alone needs: `.venv/bin/python -m pip install reportlab`.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from unittest import mock

import matplotlib
import numpy as np
import reportlab
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from mynn import DataError, Examples, NeuralNetwork, images, read_csv
from mynn.arrays import Bytes, Floats, Integers
from mynn.images import frame

Random = np.random.Generator
Ink = Floats  # 0 (paper) to 1, (height, width)

EACH = 8  # pictures of a digit, by style
SEEDS = 10
TTF = Path(matplotlib.__file__).parent / "mpl-data/fonts/ttf"
PFB = Path(reportlab.__file__).parent / "fonts"


@dataclass(frozen=True)
class Sources:
    """What one set is drawn from."""

    seed: int
    first: int  # of the digits of MNIST
    fonts: tuple[Path, ...]
    bitmaps: tuple[str, ...]
    strokes: tuple[str, ...]  # by digit: lines through points, in a box of 100 x 100
    pen: float  # this much thicker or thinner than usual
    light: float  # how uneven the light is in a photo
    grain: float


# Bitmaps: rows from top to bottom, digits side by side.
ROUND = """
.###. ..#.. .###. ##### ...#. ##### .###. ##### .###. .###.
#...# .##.. #...# ...#. ..##. #.... #.... ....# #...# #...#
#..## ..#.. ....# ..#.. .#.#. ####. #.... ...#. #...# #...#
#.#.# ..#.. ...#. .###. #..#. ....# ####. ..#.. .###. .####
##..# ..#.. ..#.. ....# ##### ....# #...# .#... #...# ....#
#...# ..#.. .#... #...# ...#. #...# #...# .#... #...# ....#
.###. .###. ##### .###. ...#. .###. .###. .#... .###. .###."""
SMALL = """
### .#. ### ### #.# ### ### ### ### ###
#.# ##. ..# ..# #.# #.. #.. ..# #.# #.#
#.# .#. ### ### ### ### ### ..# ### ###
#.# .#. #.. ..# ..# ..# #.# ..# #.# ..#
### ### ### ### ..# ### ### ..# ### ###"""
SQUARE = """
######. ...##.. ######. ######. ##..##. ####### ####### ####### ####### #######
##..##. .####.. ##..##. ....##. ##..##. ##..... ##..... ....##. ##...## ##...##
##..##. ...##.. ....##. ....##. ##..##. ##..... ##..... ....##. ##...## ##...##
##..##. ...##.. ...##.. .#####. ####### ######. ######. ...##.. .#####. #######
##..##. ...##.. ..##... ....##. ....##. .....## ##...## ...##.. ##...## .....##
##..##. ...##.. .##.... ....##. ....##. .....## ##...## ..##... ##...## .....##
######. .#####. ######. ######. ....##. ######. ####### ..##... ####### ######."""
SEVEN = """
#### ...# #### #### #..# #### #### #### #### ####
#..# ...# ...# ...# #..# #... #... ...# #..# #..#
#..# ...# ...# ...# #..# #... #... ...# #..# #..#
#..# ...# #### #### #### #### #### ...# #### ####
#..# ...# #... ...# ...# ...# #..# ...# #..# ...#
#..# ...# #... ...# ...# ...# #..# ...# #..# ...#
#### ...# #### #### ...# #### #### ...# #### ####"""

# Strokes of my own: points, lines are broken at /.
MINE = (
    "50,5 25,20 18,50 25,82 50,95 75,82 82,50 74,20 50,5",
    "50,3 50,97",
    "22,25 38,6 65,8 76,28 62,55 20,95 82,93",
    "22,12 50,4 76,20 66,42 42,48 72,54 80,78 55,96 20,86",
    "66,95 64,4 14,64 88,66",
    "78,6 32,7 26,44 56,38 80,60 70,88 44,96 20,86",
    "68,5 36,32 22,68 36,94 64,93 76,72 60,54 30,62",
    "18,8 82,8 44,96",
    "52,48 26,30 34,8 64,6 74,26 52,48 24,72 34,94 68,94 78,72 52,48",
    "76,30 50,48 26,32 34,8 66,6 76,30 72,64 60,96",
)
OTHERS = (
    "60,4 34,14 16,46 20,80 46,97 74,84 86,50 80,16 56,4 46,12",
    "30,26 54,4 52,96",
    "16,22 44,3 74,14 70,44 34,72 16,94 24,80 44,90 88,88",
    "18,6 78,7 44,40 74,50 76,80 44,97 16,84",
    "28,4 18,54 82,52 / 70,22 66,97",
    "30,8 26,46 60,42 78,66 62,93 22,92 / 30,8 80,5",
    "56,3 28,40 20,74 44,97 72,82 66,58 40,56 22,76",
    "14,16 84,6 60,50 46,97 / 34,52 76,48",
    "70,16 44,4 26,22 46,44 72,66 60,95 32,90 28,68 60,40 72,18",
    "70,10 38,12 30,40 62,46 74,12 74,56 50,96 26,86",
)

SETS = {
    False: Sources(
        1,
        20_000,
        tuple(
            TTF / f"{name}.ttf"
            for name in [
                "DejaVuSans",
                "DejaVuSans-Bold",
                "DejaVuSerif",
                "DejaVuSansMono",
                "STIXGeneral",
                "STIXGeneralBol",
                "cmss10",
            ]
        ),
        (ROUND, SQUARE),
        MINE,
        1.0,
        0.25,
        12.0,
    ),
    True: Sources(
        2,
        40_000,
        (
            *(TTF / f"{name}.ttf" for name in ["DejaVuSerif-BoldItalic", "DejaVuSans-Oblique", "cmr10", "cmtt10"]),
            *(PFB / f"{name}.pfb" for name in ["_a______", "_ab_____", "_er_____", "com_____", "cob_____"]),
        ),
        (SMALL, SEVEN),
        OTHERS,
        1.25,
        0.35,
        9.0,
    ),
}


def printed(digit: int, size: int, font: Path) -> Ink:
    """Return a printed digit, so many pixels high, without a margin."""
    kind = ImageFont.truetype(font, 4 * size)
    box = kind.getbbox(str(digit))
    picture = Image.new("L", (int(box[2] - box[0]) + 8, int(box[3] - box[1]) + 8))
    ImageDraw.Draw(picture).text((4 - box[0], 4 - box[1]), str(digit), font=kind, fill=255)
    picture = picture.crop(picture.getbbox())
    width = max(1, round(picture.width * size / picture.height))
    return np.asarray(picture.resize((width, size), Image.Resampling.BOX)) / 255


def drawn(digit: int, size: int, thick: float, strokes: tuple[str, ...], random: Random) -> Ink:
    """Return a digit of these strokes, so many pixels high, shaky and leaning a little; `thick` of its size the pen."""
    scale_ = 4 * size / 100
    turn, slant, narrow = random.normal(0, 0.06), random.normal(0.05, 0.12), random.uniform(0.6, 0.95)
    upright = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    lean = np.array([[narrow, slant], [0, 1]]) @ upright
    pen = thick * 4 * size
    picture = Image.new("L", (8 * size, 8 * size))
    draw = ImageDraw.Draw(picture)
    for line in strokes[digit].split("/"):
        points = np.array([list(map(float, point.split(","))) for point in line.split()])
        points += random.normal(0, 2.0, points.shape)
        many = np.linspace(0, len(points) - 1, 12 * len(points))
        smooth = [ndimage.map_coordinates(points[:, axis], [many], order=2, mode="nearest") for axis in (0, 1)]
        for across, down in (lean @ (np.array(smooth) - 50)).T * scale_ + 4 * size:
            draw.ellipse((across - pen / 2, down - pen / 2, across + pen / 2, down + pen / 2), fill=255)
    picture = picture.crop(picture.getbbox())
    width = max(1, round(picture.width * size / picture.height))
    return np.asarray(picture.resize((width, size), Image.Resampling.BOX)) / 255


def written(pixels: Bytes, size: int, thick: float) -> Ink:
    """Return a digit of MNIST's, so many pixels high, its outline sharp again, with a pen thicker or thinner."""
    large = np.asarray(Image.fromarray(pixels.reshape(28, 28)).resize((280, 280), Image.Resampling.BICUBIC)) / 255
    distance = ndimage.distance_transform_edt(large > 0.5) - ndimage.distance_transform_edt(large <= 0.5)
    half = distance.max()
    ink = (distance > half * min(0.5, 1 - thick)).astype(np.uint8) * 255
    picture = Image.fromarray(ink)
    picture = picture.crop(picture.getbbox())
    width = max(1, round(picture.width * size / picture.height))
    return np.asarray(picture.resize((width, size), Image.Resampling.BOX)) / 255


def on_page(ink: Ink, shape: tuple[int, int], random: Random, middle: float = 1.0) -> Ink:
    """Return a page of this shape with the ink on it: in its middle, or (0) anywhere."""
    height, width = (min(a, b) for a, b in zip(ink.shape, shape, strict=True))
    free = np.array(shape) - (height, width)
    down, across = np.round(free * (middle * 0.5 + (1 - middle) * random.random(2))).astype(int)
    page = np.zeros(shape)
    page[down : down + height, across : across + width] = ink[:height, :width]
    return page


@cache
def training() -> Examples:
    """Return MNIST's training digits."""
    return read_csv(Path(os.environ.get("MNIST_DIR", "build/mnist")) / "mnist_train.csv")


class Artist:
    """Draws the digits of one set."""

    def __init__(self, sources: Sources) -> None:
        self.sources = sources
        self.random = np.random.default_rng(sources.seed)

    def by_hand(self, digit: int, size: int, thick: float) -> Ink:
        """Return handwriting: every other one is of MNIST's digits, the others are strokes of my own."""
        thick *= self.sources.pen
        if self.random.random() < 0.5:
            return drawn(digit, size, thick, self.sources.strokes, self.random)
        labels = np.asarray(training().labels[self.sources.first : self.sources.first + 20_000])
        chosen = self.sources.first + self.random.choice(np.flatnonzero(labels == digit))
        return written(training().pixels[chosen], size, thick * 10)

    def print(self, digit: int) -> Floats:
        """Black on white, on a little picture of 28 x 28 or on a page."""
        font = self.sources.fonts[self.random.integers(len(self.sources.fonts))]
        if self.random.random() < 0.6:
            ink = on_page(printed(digit, int(self.random.integers(14, 23)), font), (28, 28), self.random)
        else:
            size = int(self.random.integers(40, 160))
            ink = on_page(printed(digit, size, font), (int(size * 1.4), int(size * 1.4)), self.random)
        return 255 - 255 * ink

    def marker(self, digit: int) -> Floats:
        """Thick, dark on white, on a picture of 28 x 28 or on a square page."""
        ink = self.by_hand(digit, 150, self.random.uniform(0.12, 0.2))
        if self.random.random() < 0.5:
            side = int(self.random.integers(18, 24))
            width = max(1, round(side * ink.shape[1] / ink.shape[0]))
            small = Image.fromarray((255 * ink).astype(np.uint8)).resize((width, side), Image.Resampling.BOX)
            return 255 - 255 * on_page(np.asarray(small) / 255, (28, 28), self.random)
        return 250 - 220 * on_page(ink, (220, 220), self.random, 0.6)

    def ballpoint(self, digit: int) -> Floats:
        """Thin and bluish, somewhere on a sheet."""
        ink = self.by_hand(digit, int(self.random.integers(60, 140)), self.random.uniform(0.03, 0.05))
        page = on_page(ink, (260, 200), self.random, 0.3)
        return 240 - 150 * page + self.random.normal(0, 2, page.shape)

    def chalk(self, digit: int) -> Floats:
        """Light and crumbly on a dark board that was wiped."""
        ink = self.by_hand(digit, 120, self.random.uniform(0.08, 0.13))
        page = on_page(ink, (200, 240), self.random, 0.5)
        crumbs = self.random.random(page.shape) < 0.85
        wiped = ndimage.gaussian_filter(self.random.normal(0, 1, page.shape), 12) * 60
        board = 50 + wiped + ndimage.gaussian_filter(170 * page * crumbs, 0.7)
        taken: Floats = np.clip(board + self.random.normal(0, self.sources.grain / 2, page.shape), 0, 255)
        return taken

    def photo(self, digit: int) -> Floats:
        """Handwriting or print under a lamp at one side, with a shadow, grain, and JPEG's blocks left out."""
        size, random = int(self.random.integers(90, 200)), self.random
        if random.random() < 0.3:
            ink = printed(digit, size, self.sources.fonts[random.integers(len(self.sources.fonts))])
        else:
            ink = self.by_hand(digit, size, random.uniform(0.06, 0.12))
        page = ndimage.gaussian_filter(on_page(ink, (300, 400), random, 0.4), 1.2)
        down, across = np.mgrid[-1:1:300j, -1:1:400j]
        light = 1 + self.sources.light * across * random.choice([-1, 1]) - 0.1 * (across**2 + down**2)
        light *= 1 - 0.25 / (1 + np.exp(-12 * (across + down - random.uniform(-1, 1))))
        taken: Floats = np.clip((190 - 110 * page) * light + random.normal(0, self.sources.grain, page.shape), 0, 255)
        return taken

    def pixel_art(self, digit: int) -> Floats:
        """Squares, each of two to four pixels a side, on a picture of 28 x 28; light on dark every other time."""
        rows = self.sources.bitmaps[self.random.integers(len(self.sources.bitmaps))].split("\n")[1:]
        bits = np.array([[mark == "#" for mark in row.split()[digit]] for row in rows])
        bits = bits[:, bits.any(axis=0)]
        largest = 24 // max(bits.shape)
        ink = np.kron(bits, np.ones(2 * [int(self.random.integers(max(1, largest - 1), largest + 1))]))
        page = on_page(ink, (28, 28), self.random)
        return 255 * page if self.random.random() < 0.5 else 255 - 255 * page

    def touch_pad(self, digit: int) -> Floats:
        """Drawn with a finger on the pad of the lessons, which is 112 pixels wide."""
        size = int(self.random.integers(50, 100))
        ink = drawn(digit, size, self.sources.pen * 8 / size, self.sources.strokes, self.random)
        return 255 - 255 * on_page(ink, (112, 112), self.random, 0.6)


STYLES = {
    "print": Artist.print,
    "marker": Artist.marker,
    "ballpoint": Artist.ballpoint,
    "chalk": Artist.chalk,
    "photo": Artist.photo,
    "pixel art": Artist.pixel_art,
    "touch pad": Artist.touch_pad,
}


def pictures(held_out: bool) -> list[tuple[str, int, Floats]]:
    """Return a set: style, digit and picture of each."""
    artist = Artist(SETS[held_out])
    return [(s, digit, make(artist, digit)) for s, make in STYLES.items() for digit in range(10) for _ in range(EACH)]


def as_it_is(brightness: Floats) -> Bytes:
    """Return a picture as the book's reader would have it: made 28 x 28, ink light, nothing else."""
    small = Image.fromarray(brightness.astype(np.float32)).resize((28, 28), Image.Resampling.BILINEAR)
    pixels: Bytes = np.clip(np.asarray(small), 0, 255).round().astype(np.uint8).reshape(784)
    return 255 - pixels if np.median(pixels) > 127 else pixels


@cache
def networks(large: bool) -> list[NeuralNetwork]:
    """Return ten trained networks: the lessons' default, or the one that is on each Pi."""
    made = []
    for seed in range(SEEDS):
        network = NeuralNetwork(784, 200 if large else 100, 10, 0.1 if large else 0.2, seed=seed)
        first = training() if large else training()[:20_000]
        network.fit(first, epochs=5 if large else 1)
        made.append(network)
    return made


def framed_before(brightness: Floats) -> Bytes:
    """Return a picture as earlier releases framed it: the digit's box to 20 x 20, wherever whole pixels let it be."""
    with mock.patch.object(images, "_placed", _box_to_20), mock.patch.object(images, "_is_framed", lambda _ink: False):
        return frame(brightness)


def _box_to_20(ink: Floats) -> Bytes:
    factor = 20 / max(ink.shape)
    height, width = (max(1, round(side * factor)) for side in ink.shape)
    small = np.asarray(Image.fromarray(ink.astype(np.float32)).resize((width, height), Image.Resampling.BILINEAR))
    placed = np.zeros((28, 28))
    centres = ndimage.center_of_mass(small)
    down, across = (min(max(round(14 - c), 0), 28 - n) for c, n in zip(centres, small.shape, strict=True))
    placed[down : down + height, across : across + width] = small * 255 / small.max()
    return placed.round().astype(np.uint8).reshape(784)


RECIPES: dict[str, Callable[[Floats], Bytes]] = {
    "framed before": framed_before,
    "as it is": as_it_is,
    "the rule": frame,
}


def recognised(drawn: list[tuple[str, int, Floats]], recipe: Callable[[Floats], Bytes], large: bool) -> Integers:
    """Return how many of the ten networks recognise each picture, (n,). One that is refused is recognised by none."""
    labels = np.array([digit for _, digit, _ in drawn], np.uint8)
    pixels = np.zeros((len(drawn), 784), np.uint8)
    seen = np.ones(len(drawn), bool)
    for row, (_, _, brightness) in enumerate(drawn):
        try:
            pixels[row] = recipe(brightness)
        except DataError:
            seen[row] = False
    answers = np.array([network.predict(Examples(labels, pixels)) for network in networks(large)])
    found: Integers = ((answers == labels) & seen).sum(axis=0)
    return found


def table(held_out: bool, large: bool) -> str:
    """Return the table, in Markdown."""
    drawn = pictures(held_out)
    styles = np.array([style for style, _, _ in drawn])
    counts = {name: recognised(drawn, recipe, large) for name, recipe in RECIPES.items()}
    before, as_is, rule = counts.values()
    better = np.maximum(before, as_is)
    worse = {"1": rule < better - 1, "5": rule < better - 5}
    rows = [
        f"| style | {' | '.join(RECIPES)} | better of both, by picture | worse by more than 1 | by more than 5 |",
        "|---|---|---|---|---|---|---|",
    ]
    for style in [*STYLES, "all"]:
        these = (styles == style) | (style == "all")
        cells = [style, *(f"{count[these].mean():.1f}" for count in (before, as_is, rule, better))]
        cells += [f"{which[these].sum()} of {these.sum()}" for which in worse.values()]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def sheet(held_out: bool, path: Path) -> None:
    """Draw every other picture as it is and, below it, as the network sees it: a row of each for a style."""
    drawn = pictures(held_out)
    across = 10 * EACH // 2
    large = Image.new("L", (across * 60, len(STYLES) * 130), 128)
    for row, style in enumerate(STYLES):
        chosen = [brightness for name, _, brightness in drawn if name == style][::2]
        for column, brightness in enumerate(chosen):
            picture = Image.fromarray(np.clip(brightness, 0, 255).astype(np.uint8)).resize((56, 56))
            large.paste(picture, (column * 60, row * 130))
            with suppress(DataError):
                seen = Image.fromarray(255 - frame(brightness).reshape(28, 28)).resize((56, 56))
                large.paste(seen, (column * 60, row * 130 + 60))
    large.save(path)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--held-out", action="store_true", help="the set that the rule was not made on")
    parser.add_argument("--large", action="store_true", help="networks of 200 hidden nodes, 0.1, 5 epochs")
    parser.add_argument("--sheet", type=Path, metavar="PICTURE.png", help="draw the pictures instead")
    options = parser.parse_args()
    if options.sheet:
        sheet(options.held_out, options.sheet)
    else:
        print(table(options.held_out, options.large))


if __name__ == "__main__":
    main()
