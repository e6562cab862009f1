"""Ink, or a plot of matplotlib's, as a picture that a page shows at once."""

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

MARGIN, RIM = 100, 10  # pixels around a plot: how far its texts may reach, and the paper that is left around all
FAST = 3  # the last of zlib's levels that take half as long as the usual one


def png_source(ink: Bytes) -> str:
    """Return the address of a picture, as of an `<img>`: ink 0..255 of shape (height, width), dark on white."""
    return _address(_png(255 - ink))


def plot_source(figure: Figure) -> str:
    """Return the address of a plot's picture, cut to what is drawn. The figure has axes.

    Jupyter draws a plot twice, first to learn how far its texts reach. This draws it once, with margins for them, and
    cuts off what stays empty. Only a plot that reaches farther is drawn again.
    """
    from matplotlib.transforms import Bbox

    margin = 0 if figure.get_layout_engine() else MARGIN  # a layout makes room for the texts
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

    for axes in figure.axes if margin else ():  # or pictures would be stretched
        locator: Any = axes.get_axes_locator()
        axes.apply_aspect(locator(axes, None) if locator else None)
    width, height = (int(np.ceil(length)) + 2 * margin for length in figure.bbox.size)
    half = 0.5  # a pixel, as sizes are rounded down
    box = np.array([-margin, -margin, width + half, height + half]) / figure.dpi
    kept, own = _Kept(), figure.canvas
    canvas: Any = FigureCanvasAgg(figure)
    try:
        canvas.print_figure(kept, dpi=figure.dpi, format="raw", bbox_inches=Bbox.from_bounds(*box) if margin else None)
    finally:
        figure.set_canvas(own)
    # Each text refers to what it was drawn on, and a notebook to the figure: so it gives up its pixels, 2 MB.
    type(canvas.renderer).__init__(canvas.renderer, 1, 1, figure.dpi)
    return kept.pixels.reshape(-1, width, 4)


class _Kept(io.RawIOBase):
    """A file that keeps the pixels that are written to it, without a copy: a kernel would keep that memory, too."""

    pixels: Bytes

    def write(self, pixels: Any) -> int:
        self.pixels = np.frombuffer(pixels, np.uint8)
        return self.pixels.size


def _ink(pixels: Bytes) -> Iterator[BboxBase]:
    """Yield where pixels, (height, width, 4), differ from the paper in their corner, if they do."""
    from matplotlib.transforms import Bbox

    colours = pixels.view(np.uint32)[..., 0]  # (height, width)
    is_ink = colours != colours[0, 0]
    rows, columns = np.flatnonzero(is_ink.any(axis=1)), np.flatnonzero(is_ink.any(axis=0))
    if len(rows):
        yield Bbox.from_extents(columns[0], len(colours) - 1 - rows[-1], columns[-1] + 1, len(colours) - rows[0])


def _boxes(figure: Figure) -> Iterator[BboxBase]:
    """Yield where a figure has axes, texts and legends, in pixels: beyond the margins, no ink tells of them."""
    from matplotlib.backends.backend_agg import RendererAgg
    from matplotlib.legend import Legend
    from matplotlib.text import Text

    renderer = RendererAgg(1, 1, figure.dpi)  # type: ignore[no-untyped-call]  # one that only measures
    for part in (figure, *figure.axes):
        for artist in part.get_children():
            if isinstance(artist, Text | Legend) and artist.get_visible() and artist.get_in_layout():
                box = artist.get_tightbbox(renderer)
                if box is not None and box.width and np.isfinite(box.extents).all():
                    yield box
    yield from (axes.bbox.frozen() for axes in figure.axes if axes.get_visible())


def _png(pixels: Bytes) -> bytes:
    """Return a picture's file; of shape (height, width), or (height, width, 4) with colours and opacity.

    Pillow would try five filters on each row, which takes several times as long and saves little where most is paper.
    """
    height, width = pixels.shape[:2]
    rows = np.zeros((height, 1 + pixels[0].size), np.uint8)  # each begins with a 0: no filter
    rows[:, 1:] = pixels.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, 0 if pixels.ndim == 2 else 6, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, FAST)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )


def _address(png: bytes) -> str:
    return f"data:image/png;base64,{b64encode(png).decode()}"
