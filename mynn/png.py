"""Fast PNG encoding of digits and matplotlib figures, as data URLs."""

from __future__ import annotations

import io
import struct
import zlib
from base64 import b64encode
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from mynn.arrays import Bytes

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.transforms import BboxBase

MARGIN, RIM = 100, 10  # pixels around a plot: room for its texts, and the blank border of the result
FAST = 3  # highest zlib level that takes half as long as the default


def png_source(ink: Bytes) -> str:
    """Return a picture as a data URL for `<img>`: ink 0..255 of shape (height, width), dark on white."""
    return _address(_png(255 - ink))


def plot_source(figure: Figure) -> str:
    """Return a figure as a data URL, cropped to its content. The figure must have axes.

    Jupyter draws a plot twice: the first time only to measure its texts. This draws it once, with margins for them,
    and crops the empty part. Only a plot that reaches beyond the margins is drawn again.
    """
    from matplotlib.transforms import Bbox

    margin = 0 if figure.get_layout_engine() else MARGIN  # a layout engine makes room for texts itself
    pixels = _draw(figure, margin)
    height, width = pixels.shape[:2]
    boxes = [*_ink(pixels), *(box.translated(margin, margin) for box in _boxes(figure))] or [figure.bbox]
    left, below, right, above = (int(edge) for edge in np.rint(Bbox.union(boxes).extents))
    rim = min(RIM, margin)
    if left <= rim or below <= rim or right >= width - rim or above >= height - rim:
        with io.BytesIO() as file:
            figure.savefig(file, format="png", dpi="figure", bbox_inches="tight")
            return _address(file.getvalue())
    rows = slice(max(0, height - above - RIM), height - below + RIM)
    return _address(_png(pixels[rows, max(0, left - RIM) : right + RIM]))


def _draw(figure: Figure, margin: int) -> Bytes:
    """Return the pixels of a figure and of a margin around it, (height, width, 4)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.transforms import Bbox

    for axes in figure.axes if margin else ():  # keeps images from being stretched
        locator: Any = axes.get_axes_locator()
        axes.apply_aspect(locator(axes, None) if locator else None)
    width, height = (int(np.ceil(length)) + 2 * margin for length in figure.bbox.size)
    half = 0.5  # of a pixel, since matplotlib rounds sizes down
    box = np.array([-margin, -margin, width + half, height + half]) / figure.dpi
    drawn, own = io.BytesIO(), figure.canvas
    canvas: Any = FigureCanvasAgg(figure)
    try:
        canvas.print_figure(drawn, dpi=figure.dpi, format="raw", bbox_inches=Bbox.from_bounds(*box) if margin else None)
    finally:
        figure.set_canvas(own)
    # Free the renderer's pixels, 2 MB: a notebook keeps the figure, and its texts keep the renderer.
    type(canvas.renderer).__init__(canvas.renderer, 1, 1, figure.dpi)
    return np.frombuffer(drawn.getbuffer(), np.uint8).reshape(-1, width, 4)


def _ink(pixels: Bytes) -> Iterator[BboxBase]:
    """Yield the bounding box of pixels, (height, width, 4), that differ from the top left one, if any do."""
    from matplotlib.transforms import Bbox

    colours = pixels.view(np.uint32)[..., 0]  # (height, width)
    is_ink = colours != colours[0, 0]
    rows, columns = np.flatnonzero(is_ink.any(axis=1)), np.flatnonzero(is_ink.any(axis=0))
    if len(rows):
        yield Bbox.from_extents(columns[0], len(colours) - 1 - rows[-1], columns[-1] + 1, len(colours) - rows[0])


def _boxes(figure: Figure) -> Iterator[BboxBase]:
    """Yield the bounding boxes of a figure's axes, texts and legends, in pixels: they may reach beyond the margins."""
    from matplotlib.backends.backend_agg import RendererAgg
    from matplotlib.legend import Legend
    from matplotlib.text import Text

    renderer = RendererAgg(1, 1, figure.dpi)  # type: ignore[no-untyped-call]  # only to measure
    for part in (figure, *figure.axes):
        for artist in part.get_children():
            if isinstance(artist, Text | Legend) and artist.get_visible() and artist.get_in_layout():
                box = artist.get_tightbbox(renderer)
                if box is not None and box.width and np.isfinite(box.extents).all():
                    yield box
    yield from (axes.bbox.frozen() for axes in figure.axes if axes.get_visible())


def _png(pixels: Bytes) -> bytes:
    """Encode a PNG: grey pixels of shape (height, width), or RGBA of shape (height, width, 4).

    Pillow would try five filters on each row: several times as slow, with little gain where most is paper.
    """
    height, width = pixels.shape[:2]
    rows = np.zeros((height, 1 + pixels[0].size), np.uint8)  # byte 0 of each row: filter type 0, none
    rows[:, 1:] = pixels.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, 0 if pixels.ndim == 2 else 6, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, FAST)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )


def _address(png: bytes) -> str:
    return f"data:image/png;base64,{b64encode(png).decode()}"
