"""Image preprocessing: a PNG or JPEG of a digit, drawn or photographed, to 28 x 28 pixels like those in MNIST.

MNIST's digits are light on dark, of one size (the ink just fits into 20 x 20 pixels) and in one place (its
centre of mass is the middle of 28 x 28). A network knows nothing else. Four steps bring a picture there:
decide whether ink is dark or light; remove the paper with its shadows; find the digit; scale and centre it,
with a thicker pen if it is thin. A 28 x 28 picture whose digit has that size and place already is not scaled. Grey
edges stay grey throughout. (docs/develop/measurements-network.md: how well networks read seven styles of pictures.)
A sheet with several digits is cut into them first.
"""

from __future__ import annotations

import os
import warnings

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from scipy import ndimage

from mynn.arrays import Bytes, Floats
from mynn.errors import DataError, reason
from mynn.mnist import SIDE
from mynn.translation import N_, _

DIGIT_SIDE = 20  # pixels: MNIST's digits fit into this square
BARS_SIDE = 18  # pixels: their bars fit into this one
BAR = 0.4  # fraction of the fullest row's ink from which a row is part of a bar
THINNEST = 1.75  # pixels: the pens of 95 % of MNIST are thicker
WORKING_SIDE = 200  # pixels: larger pictures are shrunk first, for less grain and less time
SHEET_SIDE = 400  # pixels: the same for a sheet with several digits
MOST_PIXELS = 16_000_000  # 64 MB of memory as a PNG; a larger JPEG is decoded at a smaller size

CONTRAST = 20  # least difference between ink and paper, of 255 levels
OUTSTANDING = 8  # least ratio of that difference to the paper's grain (its standard deviation)
FAINTEST = 0.25  # fraction of the strongest ink from which a pixel belongs to the digit
SMALLEST = 20  # pixels: least area of a digit's largest piece, after shrinking
PIECES = 12  # most pieces of a digit, since a pen leaves gaps; more are dirt
MOST_DIGITS = 50  # on a sheet; more things are text, or a pattern
REACH = (0.25, 0.15)  # fractions of a digit's size: its strokes are no farther from each other, down and across

Box = tuple[
    float, float, float, float
]  # distance from the picture's top, right, bottom and left edge, as fractions of it

_NOTHING = N_("no digit can be seen in this picture; draw one, dark on light paper, with paper all around it")


def read_image(path: str | os.PathLike[str]) -> Bytes:
    """Read a PNG or JPEG of one digit, of any size, as pixels 0 (background) to 255 (ink), shape (784,).

    It may be grey, coloured or partly transparent, dark on light or light on dark. Transparent parts count as
    paper. A photo is turned upright by its EXIF data. Raise DataError for any other file, or if there is no digit.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=("PNG", "JPEG")) as picture:
                brightness = _brightness(picture)
    except UnidentifiedImageError:
        raise DataError(f"{path}: " + _("this is not a PNG or JPEG picture; save it as one")) from None
    except (_TooLarge, Image.DecompressionBombError, Image.DecompressionBombWarning):
        sentence = _("this picture is too large; cut out the digit, or save it smaller")
        raise DataError(f"{path}: {sentence}") from None
    except OSError as error:
        if error.strerror is None:  # from Pillow, not the system: the file ends too early
            raise _damaged(path) from error
        sentence = _("{reason}; give the path of a PNG or JPEG picture")
        raise DataError(f"{path}: " + sentence.format(reason=reason(error))) from error
    except Exception as error:  # a damaged picture raises any of a dozen kinds of error
        raise _damaged(path) from error
    try:
        return frame(brightness)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def frame(grey: ArrayLike) -> Bytes:
    """Return the digit in an array of brightness 0..255, shape (height, width), as `read_image` does: (784,).

    Ink is the rarer of dark and light. Raise DataError if nothing stands out.
    """
    ink, dark = _inked(grey, WORKING_SIDE)
    ink = np.where(_digit(dark), ink, 0.0)
    return _as_pixels(ink) if ink.shape == (SIDE, SIDE) and _is_framed(ink) else _placed(_cropped(ink))


def cut(grey: ArrayLike) -> list[tuple[Box, Bytes]]:
    """Return the digits on a sheet, in the order of reading: where each is, and it as `frame` returns it.

    Raise DataError if nothing stands out, or too much.
    """
    ink, dark = _inked(grey, SHEET_SIDE)
    height, width = ink.shape
    found = []
    for (rows, columns), digit in _digits(dark):
        box = (rows.start / height, 1 - columns.stop / width, 1 - rows.stop / height, columns.start / width)
        found.append((box, _placed(_cropped(np.where(digit, ink[rows, columns], 0.0)))))
    return found


class _TooLarge(Exception):
    pass


def _damaged(path: str | os.PathLike[str]) -> DataError:
    return DataError(f"{path}: " + _("this picture is damaged or incomplete; save or copy it again"))


def _brightness(picture: Image.Image) -> Floats:
    """Return the brightness 0..255 of an open picture, (height, width), with transparent parts as paper."""
    picture.draft(None, (2 * WORKING_SIDE, 2 * WORKING_SIDE))  # decode a large JPEG at half its size, or less
    if picture.width * picture.height > MOST_PIXELS:
        raise _TooLarge
    picture.load()
    orientation = picture.getexif()  # now, since conversions may lose it
    if picture.mode.startswith("I"):  # 16 bits, of which a scanner may use only 10 or 12
        deep = np.asarray(picture).astype(np.uint32)
        picture = Image.fromarray((deep >> max(0, int(deep.max()).bit_length() - 8)).astype(np.uint8))
    if picture.mode in ("LA", "PA", "RGBA") or "transparency" in picture.info:
        picture = _on_paper(picture if picture.mode == "RGBA" else picture.convert("RGBA"))  # converting copies
    elif picture.mode == "CMYK":
        picture = picture.convert("RGB")
    picture = picture.convert("L")
    picture.thumbnail((2 * WORKING_SIDE, 2 * WORKING_SIDE), Image.Resampling.BILINEAR)  # floats take 8 times the memory
    picture.getexif().update(orientation)
    return np.asarray(ImageOps.exif_transpose(picture), np.float64)


def _on_paper(picture: Image.Image) -> Image.Image:
    """Convert to grey and fill transparent parts with paper.

    If most of the picture is transparent, or the rest has a single brightness, the opaque pixels are ink: paper is
    the opposite, black or white. Otherwise paper is their median, since there is more of it than of ink.
    """
    alpha = picture.getchannel("A")
    grey = picture.convert("L")
    opaque = np.asarray(grey)[np.asarray(alpha) > 127]
    if not opaque.size:
        return Image.new("L", grey.size, 255)
    some = opaque[:: len(opaque) // 100_000 + 1]  # a sample: numpy sorts a copy of eight bytes each
    low, middle, high = np.quantile(some, (0.05, 0.5, 0.95))
    if 2 * opaque.size < alpha.width * alpha.height or high - low < 2 * CONTRAST:
        middle = 0 if middle > 127 else 255
    return Image.composite(grey, Image.new("L", grey.size, int(middle)), alpha)


def _inked(grey: ArrayLike, side: int) -> tuple[Floats, NDArray[np.bool_]]:
    """Return a picture's ink, 0 where there is only paper, and the mask of what stands out: both (height, width).

    The picture is shrunk to `side` pixels a side. Raise DataError if nothing stands out.
    """
    brightness = np.asarray(grey, np.float64)
    if brightness.ndim != 2 or not brightness.size or not ((brightness >= 0) & (brightness <= 255)).all():
        sentence = _("a picture must be an array (height, width) of numbers from 0 to 255, not {shape} with {most}")
        raise DataError(sentence.format(shape=brightness.shape, most=f"{brightness.max(initial=0):g}"))
    ink = _without_paper(_shrunk(brightness, side))
    smooth = ndimage.gaussian_filter(ink, 1.0)  # grain is finer than a pen
    paper, low = np.quantile(smooth, (0.25, 0.08))  # at least a quarter of a picture is paper
    grain = (paper - low) / 0.73  # standard deviation: 0.73 is the distance of these quantiles in a normal distribution
    strongest = smooth.max() - paper
    if strongest < max(CONTRAST, OUTSTANDING * grain):
        raise DataError(_(_NOTHING))
    faintest = max(FAINTEST * strongest, 4 * grain)
    return np.where(ink > paper + 0.5 * faintest, ink - paper, 0.0), smooth > paper + faintest


def _shrunk(brightness: Floats, most: int) -> Floats:
    """Return a picture of at most `most` pixels a side, each the mean of the pixels it covers."""
    height, width = brightness.shape
    factor = most / max(height, width)
    if factor >= 1:
        return brightness
    size = max(1, round(width * factor)), max(1, round(height * factor))
    picture = Image.fromarray(brightness.astype(np.float32))
    return np.asarray(picture.resize(size, Image.Resampling.BILINEAR), np.float64)


def _without_paper(brightness: Floats) -> Floats:
    """Return each pixel's distance from its paper, towards ink: 0 and more, in the same shape.

    First subtract the lighting, a smooth surface. Pixels far from it are ink, since most of a picture is paper.
    Then remove shadows by a morphological top-hat, which keeps only what is narrower than its window. The window
    must be just wider than the pen's stroke: a wider one would keep shadows as ink.
    """
    away = brightness - _bend(brightness)
    if (away**3).sum() < 0:  # cubed, the few far pixels outweigh all the grain
        away = -away
    window = max(away.shape) + 1
    for _step in range(4):  # each pass removes shadows, so the next measures strokes better
        strokes: Floats = ndimage.white_tophat(away, size=(window, window))
        depth = ndimage.distance_transform_cdt(strokes > strokes.max() / 2).max()  # in pixels: half a stroke's width
        if window <= 4 * depth + 1:
            break
        window = 4 * depth + 1
    return strokes


def _bend(brightness: Floats) -> Floats:
    """Return the paper's brightness, in the same shape: a quadratic surface that follows the light.

    The fit is by least absolute deviations, on which the little ink has hardly any influence.
    """
    little = _shrunk(brightness, 50)
    terms, values = _terms(little.shape), little.reshape(-1)
    away = values - np.median(values)
    for _step in range(10):
        pulls = terms.T / (np.abs(away) + 1.0)  # (6, pixels): the farther away, the smaller the weight
        bend = np.linalg.solve(pulls @ terms + 1e-9 * np.eye(6), pulls @ values)  # 1e-9: solvable with a single pixel
        away = values - terms @ bend
    surface: Floats = (_terms(brightness.shape) @ bend).reshape(brightness.shape)
    return surface


def _terms(shape: tuple[int, ...]) -> Floats:
    """Return the terms of a quadratic surface at each pixel: (pixels, 6)."""
    height, width = shape
    down, across = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].reshape(2, -1)
    return np.stack([np.ones_like(down), down, across, down * across, down**2, across**2], axis=1)


def _digit(dark: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the mask of the digit: the dark pixels without specks beside it."""
    pieces = ndimage.label(dark, np.ones((3, 3)))[0]
    sizes = np.bincount(pieces.reshape(-1))
    sizes[0] = 0  # label 0 is everything that is not dark
    large = sizes >= 0.05 * sizes.max()
    if sizes.max() < SMALLEST or large.sum() > PIECES:
        raise DataError(_(_NOTHING))
    digit: NDArray[np.bool_] = large[pieces]
    _require_ends(digit)
    return digit


def _require_ends(dark: NDArray[np.bool_]) -> None:
    """Raise DataError for ink from one side of the picture straight to the other, as at the edge of a page or table."""
    for lines in (dark, dark.T):
        if lines[:, lines.mean(axis=0) > 0.9].sum() > 0.8 * lines.sum():
            raise DataError(_(_NOTHING))


def _digits(dark: NDArray[np.bool_]) -> list[tuple[tuple[slice, slice], NDArray[np.bool_]]]:
    """Return where on a sheet each digit is, in the order of reading, and the mask of its ink there.

    What leaves the picture is the table, unless there is nothing else. Pieces that lie close together are one digit.
    What is small and far from all others is dirt.
    """
    pieces = ndimage.label(dark, np.ones((3, 3)))[0]
    is_ink = np.bincount(pieces.reshape(-1)) >= SMALLEST
    is_ink[0] = False  # label 0 is everything that is not dark
    is_inside = is_ink.copy()
    for edge in (pieces[0], pieces[-1], pieces[:, 0], pieces[:, -1]):
        is_inside[edge] = False
    ink = (is_inside if is_inside.any() else is_ink)[pieces]
    sides = [_side(place) for place in ndimage.find_objects(ndimage.label(ink, np.ones((3, 3)))[0])]
    if not sides:
        raise DataError(_(_NOTHING))
    _require_ends(ink)
    size = float(np.median([side for side in sides if side >= max(sides) / 3]))  # of a digit
    reach = [2 * int(part * size / 2) + 1 for part in REACH]
    digits = np.where(ink, ndimage.label(ndimage.maximum_filter(ink, reach), np.ones((3, 3)))[0], 0)
    found = [(place, digits[place] == number) for number, place in enumerate(ndimage.find_objects(digits), 1)]
    found = [one for one in found if _side(one[0]) >= size / 2]
    if len(found) > MOST_DIGITS:
        sentence = _("more than {most} things can be seen in this picture; take a photo of fewer digits")
        raise DataError(sentence.format(most=MOST_DIGITS))
    found.sort(key=lambda one: int(one[0][0].start + one[0][0].stop))
    middles = np.array([rows.start + rows.stop for (rows, _columns), _mask in found]) / 2
    lines = np.cumsum(np.diff(middles, prepend=middles[0]) > size / 2)
    lefts = [columns.start for (_rows, columns), _mask in found]
    return [found[one] for one in np.lexsort((lefts, lines))]


def _side(place: tuple[slice, ...]) -> int:
    """Return the longer side of a place in a picture, in pixels."""
    return max(int(one.stop - one.start) for one in place)


def _cropped(ink: Floats) -> Floats:
    """Return the part of a picture, (height, width), that has all of its ink."""
    rows, columns = (np.flatnonzero(ink.any(axis=axis)) for axis in (1, 0))
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _is_framed(ink: Floats) -> bool:
    """Return whether ink, (28, 28) and 0 outside the digit, has the size and place of MNIST's digits."""
    ends = [np.flatnonzero(ink.any(axis=axis))[[0, -1]] for axis in (1, 0)]
    size = max(last - first + 1 for first, last in ends)
    aside = max(abs(centre - SIDE / 2) for centre in ndimage.center_of_mass(ink))
    return DIGIT_SIDE - 1 <= size <= DIGIT_SIDE and bool(aside <= 0.6)


def _placed(ink: Floats) -> Bytes:
    """Scale ink that fills its array, (height, width), to MNIST's size, and centre it by its centre of mass."""
    ink = _thickened(ink, THINNEST / _factor(ink))
    factor = _factor(ink)
    firsts = []  # top and left edge of the ink, within 28 x 28 pixels
    for side, centre in zip(ink.shape, ndimage.center_of_mass(ink), strict=True):
        first = SIDE / 2 + 0.5 - (centre + 0.5) * factor
        firsts.append(min(max(first, 0.0), SIDE - side * factor))  # a lopsided digit stays inside
    margin = int(SIDE / factor) + 1
    top, left = (margin - first / factor for first in firsts)
    page = Image.fromarray(np.pad(ink, margin).astype(np.float32))
    box = (left, top, left + SIDE / factor, top + SIDE / factor)
    small = np.asarray(page.resize((SIDE, SIDE), Image.Resampling.BILINEAR, box=box), np.float64)
    return _as_pixels(small)


def _factor(ink: Floats) -> float:
    """Return the scale factor for ink, (height, width).

    MNIST's digits end in bends, printed ones often in bars. A bar at the edge of 20 x 20 would lie where a network
    hardly ever saw ink, so bars stay inside 18 x 18.
    """
    between = []  # rows, then columns, from the first bar to the last
    for axis in (0, 1):
        filled = ink.sum(axis=axis)
        bars = np.flatnonzero(filled >= BAR * filled.max())
        between.append(bars[-1] - bars[0] + 1)
    return float(min(DIGIT_SIDE / max(ink.shape), BARS_SIDE / max(between)))


def _thickened(ink: Floats, thinnest: float) -> Floats:
    """Thicken strokes to about `thinnest` pixels, if they are thinner: the array, (height, width), grows with them."""
    inside = ndimage.distance_transform_cdt(np.pad(ink > ink.max() / 2, 1), "chessboard")  # distance from paper
    ridges = inside[(inside > 0) & (inside == ndimage.maximum_filter(inside, 3))]
    more = int((thinnest - (2 * float(np.median(ridges)) - 1)) / 2)  # pixels on each side of a stroke
    if more < 1:
        return ink
    thick: Floats = ndimage.grey_dilation(np.pad(ink, more), size=(2 * more + 1, 2 * more + 1))
    return thick


def _as_pixels(ink: Floats) -> Bytes:
    return (ink.clip(0) * (255 / ink.max())).round().astype(np.uint8).reshape(SIDE * SIDE)
