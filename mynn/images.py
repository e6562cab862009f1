"""Images of one's own: a PNG or JPEG, drawn or photographed, framed as MNIST's are.

MNIST's digits are light on dark in the files, of one size (their ink just fits into 20 x 20 pixels) and in
one place (the ink's centre of mass is the middle of 28 x 28). A network knows nothing else, so a picture is
brought to that in four steps: which side is ink, the dark or the light; take the paper away, with its
shadows; find the digit; scale and place it, with a thicker pen where it is thin. A digit that is of that size
and in that place already stays as it is. Grey edges stay grey all the way. (docs/develop/measurements-network.md
has how well networks read pictures of seven styles framed like this.)
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
from mynn.words import _, marked

DIGIT_SIDE = 20  # MNIST's digits fit into so many pixels
BARS_SIDE = 18  # and their bars into so many
BAR = 0.4  # a row with so much ink, of the fullest row's, is part of a bar
THINNEST = 1.75  # nineteen in twenty of MNIST's pens are thicker, in pixels
WORKING_SIDE = 200  # larger pictures are made smaller first: less grain, less time
MOST_PIXELS = 16_000_000  # a PNG of so many takes 64 MB of memory; a larger JPEG is decoded at a smaller size

CONTRAST = 20  # ink is at least so much darker than its paper, of 255 levels
OUTSTANDING = 8  # and so many times as much as the paper's own grain is uneven
FAINTEST = 0.25  # as much ink as this, of the strongest in the picture, still belongs to the digit
SMALLEST = 20  # and a digit's largest piece covers so many pixels, be it on a large page
PIECES = 12  # a pen may leave gaps, but a digit in more pieces is dirt

_NOTHING = marked("no digit can be seen in this picture; draw one, dark on light paper, with paper all around it")


def read_image(path: str | os.PathLike[str]) -> Bytes:
    """Read a PNG or JPEG of one digit, of any size, as pixels 0 (background) to 255 (ink), shape (784,).

    Grey, coloured or partly transparent (which counts as paper), dark on light or light on dark; a phone's
    photo is turned upright. Anything else, and a picture with no digit in it, is a DataError.
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
        if error.strerror is None:  # not of the file system, but of Pillow: the file ends too early
            raise _damaged(path) from error
        sentence = _("{reason}; give the path of a PNG or JPEG picture")
        raise DataError(f"{path}: " + sentence.format(reason=reason(error))) from error
    except Exception as error:  # a damaged picture shows itself as any of a dozen kinds of error
        raise _damaged(path) from error
    try:
        return frame(brightness)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def frame(grey: ArrayLike) -> Bytes:
    """Return the digit in an array of brightness 0..255, shape (height, width), as `read_image` does: (784,).

    Ink is what there is less of, the dark or the light. An array in which nothing stands out is a DataError.
    """
    brightness = np.asarray(grey, np.float64)
    if brightness.ndim != 2 or not brightness.size or not np.isfinite(brightness).all():
        sentence = _("a picture must be an array of brightness values, (height, width), not {shape}")
        raise DataError(sentence.format(shape=brightness.shape))
    ink = _without_paper(_shrunk(brightness, WORKING_SIDE))  # (height, width), smaller
    smooth = ndimage.gaussian_filter(ink, 1.0)  # grain is finer than a pen
    paper, low = np.quantile(smooth, (0.25, 0.08))  # a quarter of a picture is paper, at least
    grain = (paper - low) / 0.73  # so far apart are these two in random grain of standard deviation 1
    strongest = smooth.max() - paper
    if strongest < max(CONTRAST, OUTSTANDING * grain):
        raise DataError(_(_NOTHING))

    faintest = max(FAINTEST * strongest, 4 * grain)
    digit = _digit(smooth > paper + faintest)  # (height, width), whether this pixel belongs to it
    ink = np.where(digit & (ink > paper + 0.5 * faintest), ink - paper, 0.0)
    if ink.shape == (SIDE, SIDE) and _is_framed(ink):
        return _as_pixels(ink)
    rows, columns = (np.flatnonzero(ink.any(axis=axis)) for axis in (1, 0))
    return _placed(ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])


class _TooLarge(Exception):
    pass


def _damaged(path: str | os.PathLike[str]) -> DataError:
    return DataError(f"{path}: " + _("this picture is damaged or incomplete; save or copy it again"))


def _brightness(picture: Image.Image) -> Floats:
    """Return the brightness 0..255 of a picture that was opened, (height, width); transparent parts as paper."""
    picture.draft(None, (2 * WORKING_SIDE, 2 * WORKING_SIDE))  # a large JPEG is decoded at half its size, or less
    if picture.width * picture.height > MOST_PIXELS:
        raise _TooLarge
    picture.load()
    orientation = picture.getexif()  # before the picture becomes another
    if picture.mode.startswith("I"):  # 16 bits
        picture = Image.fromarray((np.asarray(picture).astype(np.uint32) >> 8).astype(np.uint8))
    if picture.mode in ("LA", "PA", "RGBA") or "transparency" in picture.info:
        picture = _on_paper(picture if picture.mode == "RGBA" else picture.convert("RGBA"))  # as it is: no copy
    elif picture.mode == "CMYK":
        picture = picture.convert("RGB")
    picture = picture.convert("L")
    picture.thumbnail((2 * WORKING_SIDE, 2 * WORKING_SIDE), Image.Resampling.BILINEAR)  # numbers need more memory
    picture.getexif().update(orientation)
    return np.asarray(ImageOps.exif_transpose(picture), np.float64)


def _on_paper(picture: Image.Image) -> Image.Image:
    """Fill what is transparent, in grey.

    Where most of a picture is transparent, or all that is not has one brightness, that is ink, and it gets
    paper of the opposite. Otherwise the paper is there, transparent only at its edges: there is more of it.
    """
    alpha = picture.getchannel("A")
    grey = picture.convert("L")
    opaque = np.asarray(grey)[np.asarray(alpha) > 127]
    if not opaque.size:
        return Image.new("L", grey.size, 255)
    some = opaque[:: len(opaque) // 100_000 + 1]  # numpy sorts a copy, of eight bytes each
    low, middle, high = np.quantile(some, (0.05, 0.5, 0.95))
    if 2 * opaque.size < alpha.width * alpha.height or high - low < 2 * CONTRAST:
        middle = 0 if middle > 127 else 255
    return Image.composite(grey, Image.new("L", grey.size, int(middle)), alpha)


def _shrunk(brightness: Floats, most: int) -> Floats:
    """Return a picture of at most so many pixels a side, each the mean of what it covers."""
    height, width = brightness.shape
    factor = most / max(height, width)
    if factor >= 1:
        return brightness
    return _resized(brightness, max(1, round(height * factor)), max(1, round(width * factor)))


def _resized(values: Floats, height: int, width: int) -> Floats:
    picture = Image.fromarray(values.astype(np.float32))
    return np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR), np.float64)


def _without_paper(brightness: Floats) -> Floats:
    """Return how far each pixel stands out from its paper, towards ink: 0 and more, in the same shape.

    First the large: the light falls as a smooth bend across the paper. What lies far from it is ink, since most
    of a picture is paper. Then shadows: whatever is narrower than a window is erased, and the rest is taken
    for paper. That window must be wider than the pen's stroke, but only a little, or it takes shadows for ink.
    """
    away = brightness - _bend(brightness)
    if (away**3).sum() < 0:  # cubed, the few that lie far away count more than all the grain
        away = -away
    window = max(away.shape) + 1
    for _step in range(4):  # with fewer shadows in it, strokes are told better
        strokes: Floats = ndimage.white_tophat(away, size=(window, window))
        depth = ndimage.distance_transform_cdt(strokes > strokes.max() / 2).max()  # in pixels: half a stroke's width
        if window <= 4 * depth + 1:
            break
        window = 4 * depth + 1
    return strokes


def _bend(brightness: Floats) -> Floats:
    """Return the paper's brightness, in the same shape: a quadratic surface that follows the light.

    It is fitted so that it passes near as many pixels as it can (least absolute deviations), so that ink, which
    is little, hardly pulls at it.
    """
    little = _shrunk(brightness, 50)
    terms, values = _terms(little.shape), little.reshape(-1)
    away = values - np.median(values)
    for _step in range(10):
        pulls = terms.T / (np.abs(away) + 1.0)  # (6, pixels): the farther away, the less a pixel pulls
        bend = np.linalg.solve(pulls @ terms + 1e-9 * np.eye(6), pulls @ values)  # 1e-9: one pixel is enough
        away = values - terms @ bend
    surface: Floats = (_terms(brightness.shape) @ bend).reshape(brightness.shape)
    return surface


def _terms(shape: tuple[int, ...]) -> Floats:
    """Return what a quadratic surface is made of, at each pixel: (pixels, 6)."""
    height, width = shape
    down, across = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].reshape(2, -1)
    return np.stack([np.ones_like(down), down, across, down * across, down**2, across**2], axis=1)


def _digit(dark: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which of the dark pixels are the digit, and not specks beside it."""
    pieces = ndimage.label(dark, np.ones((3, 3)))[0]
    sizes = np.bincount(pieces.reshape(-1))
    sizes[0] = 0  # this is all that is not dark
    large = sizes >= 0.05 * sizes.max()
    if sizes.max() < SMALLEST or large.sum() > PIECES:
        raise DataError(_(_NOTHING))
    digit: NDArray[np.bool_] = large[pieces]
    return digit


def _is_framed(ink: Floats) -> bool:
    """Return whether ink, (28, 28) and 0 outside the digit, is of MNIST's size and in its place."""
    ends = [np.flatnonzero(ink.any(axis=axis))[[0, -1]] for axis in (1, 0)]
    size = max(last - first + 1 for first, last in ends)
    aside = max(abs(centre - SIDE / 2) for centre in ndimage.center_of_mass(ink))
    return DIGIT_SIDE - 1 <= size <= DIGIT_SIDE and bool(aside <= 0.6)


def _placed(ink: Floats) -> Bytes:
    """Bring ink that fills its array, (height, width), to MNIST's size, and its centre of mass into the middle."""
    ink = _thickened(ink, THINNEST / _factor(ink))
    factor = _factor(ink)
    firsts = []  # where the ink begins, in the 28 x 28 pixels
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
    """Return how many times as large ink, (height, width), must become.

    MNIST's digits end in bends, print often ends in bars. At the edge of 20 x 20, these would lie where a network
    hardly ever saw ink, so they are kept inside.
    """
    between = []  # the outermost rows, and columns, that are bars
    for axis in (0, 1):
        filled = ink.sum(axis=axis)
        bars = np.flatnonzero(filled >= BAR * filled.max())
        between.append(bars[-1] - bars[0] + 1)
    return float(min(DIGIT_SIDE / max(ink.shape), BARS_SIDE / max(between)))


def _thickened(ink: Floats, thinnest: float) -> Floats:
    """Return ink, (height, width), or the same with a wider margin if its strokes had to become thicker."""
    inside = ndimage.distance_transform_cdt(np.pad(ink > ink.max() / 2, 1), "chessboard")  # of each pixel from paper
    ridges = inside[(inside > 0) & (inside == ndimage.maximum_filter(inside, 3))]
    more = int((thinnest - (2 * float(np.median(ridges)) - 1)) / 2)  # pixels, at each side of a stroke
    if more < 1:
        return ink
    thick: Floats = ndimage.grey_dilation(np.pad(ink, more), size=(2 * more + 1, 2 * more + 1))
    return thick


def _as_pixels(ink: Floats) -> Bytes:
    return (ink.clip(0) * (255 / ink.max())).round().astype(np.uint8).reshape(SIDE * SIDE)
