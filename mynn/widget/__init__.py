"""Drawing pad, an anywidget for notebooks: draw a digit, see at once what a network reads, and store the drawing.

The browser draws, frames the drawing and answers (pad.js), with the network's weights as of the last stroke's end:
no round trip delays it. It sends the framed pixels to Python, which stores drawings with their labels in
`my_digits.csv` (mynn/drawings.py). `Plane` is a network of two inputs, all of it in the browser.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from mynn import drawings
from mynn.arrays import Bytes
from mynn.checkpoint import for_browser
from mynn.errors import DataError
from mynn.mnist import LABELS, PIXELS, SIDE, named, require_digits, scale
from mynn.network import NeuralNetwork
from mynn.png import png_source
from mynn.translation import N_, _, in_figures, ngettext

try:
    import traitlets

    from mynn.live import PAPER, Live, script
except ImportError:
    raise ImportError(
        _("the pad needs the library anywidget, and it is missing here; `pip install anywidget` brings it")
    ) from None

# Translators: two lines on a phone, like every message here.
FIRST = N_("Draw a digit, then press the button that says which it was.")


def row(digits: Sequence[Bytes], said: str) -> str:
    """Return the last twenty digits, each (784,), as HTML: a picture of them side by side, and what is said of them."""
    ink = np.hstack([one.reshape(SIDE, SIDE) for one in digits[-20:]])
    return f'<img alt="" width="{2 * ink.shape[1]}" src="{png_source(ink)}"><br>{escape(said)}'


class Plane(Live):
    """A square of points in two colours, and the border that a network in the browser learns to draw between them."""

    _script = script(Path(__file__).parents[1] / "plane.js", "network.js")
    _css = Path(__file__).with_name("pad.css")

    def gone(self) -> str:
        """Return the sentence to show once the program has ended."""
        return _("To move the border, run this lesson again from the top.")


class Pad(Live):
    """White square to draw a digit on, beside it the network's view of the drawing, and its output for each digit.

    `network`  you may train it further meanwhile: after the next stroke, the pad answers with the new weights
    `pixels`   the network's view, 0 (background) to 255 (ink), shape (784,); without a digit all background
    `outputs`  its outputs, a list of ten numbers; empty without a digit

    One of the buttons 0 to 9, or that key, stores the drawing with this label: `mynn.drawings.my_digits()` returns
    the stored ones.
    """

    _script = script(Path(__file__).with_name("pad.js"), *PAPER)
    _css = Path(__file__).with_name("pad.css")

    # From the browser:
    drawing = traitlets.CBytes().tag(sync=True, echo_update=False)  # framed pixels; empty without a digit
    strokes = traitlets.List(traitlets.Any()).tag(sync=True, echo_update=False)  # restores the drawing after a reload
    # To the browser:
    weights = traitlets.Bytes().tag(sync=True)
    kept = traitlets.Unicode().tag(sync=True)
    counts = traitlets.List(traitlets.Int()).tag(sync=True)  # number of stored drawings of each digit
    more = traitlets.Bool().tag(sync=True)  # whether a drawing can be taken back

    def __init__(self, network: NeuralNetwork) -> None:
        require_digits(network.wih, network.who)
        super().__init__(weights=for_browser(network.wih, network.who))
        self.network = network
        self._mine: list[tuple[int, Bytes]] = []  # drawings stored by this pad, which can be taken back
        self.on_msg(self._told)
        self._count("")

    def gone(self) -> str:
        """Return the sentence to show once the program has ended."""
        return _("To draw here, run this lesson again from the top.")

    def entered(self) -> str:
        """Return the drawing, and those that were kept, as HTML."""
        parts = []
        if self.outputs:
            parts.append(
                row([self.pixels], _("The network says {answer}.").format(answer=int(np.argmax(self.outputs))))
            )
        if self._mine:
            labels = ", ".join(str(label) for label, _pixels in self._mine[-20:])
            parts.append(row([pixels for _label, pixels in self._mine], f"{labels}. {self.kept}"))
        return "<br>".join(parts) or escape(_("nothing drawn"))

    @property
    def pixels(self) -> Bytes:
        """The network's view of the drawing."""
        return np.frombuffer(self.drawing if len(self.drawing) == PIXELS else bytes(PIXELS), np.uint8)

    @property
    def outputs(self) -> list[float]:
        """The network's outputs."""
        pixels = self.pixels
        return self.network.query(scale(pixels)).tolist() if pixels.any() else []

    @traitlets.observe("drawing")
    def _drawn(self, _change: Any) -> None:
        self.weights = for_browser(self.network.wih, self.network.who)  # traitlets sends them only if changed

    def _told(self, _pad: Any, message: Any, buffers: list[Any]) -> None:
        """Handle a button: store a drawing, or take the last one back."""
        label, is_kept = message.get("keep"), False
        with self.hold_sync():
            try:
                if type(label) is int and 0 <= label < LABELS and buffers:
                    if is_kept := len(buffers[0]) == PIXELS:
                        self._keep(label, np.frombuffer(buffers[0], np.uint8))
                    else:
                        self.kept = _(FIRST)
                elif message.get("take_back") and self._mine:
                    self._take_back()
            except DataError as error:
                is_kept, self.kept = False, _("Not kept: {error}.").format(error=error)
        self.send({"kept": is_kept, "sent": message.get("sent")})

    def _keep(self, label: int, pixels: Bytes) -> None:
        drawings.keep(label, pixels)
        self._mine.append((label, pixels))
        # Translators: {digit} is "a 7" in English, and only "7" in your language.
        self._count(_("Kept as {digit}.").format(digit=named(label)))

    def _take_back(self) -> None:
        label, pixels = self._mine[-1]
        drawings.take_back(label, pixels)
        self._mine.pop()
        self._count(_("The {digit} is taken back.").format(digit=label))

    def _count(self, news: str) -> None:
        """Show the news and the number of stored drawings."""
        try:
            self.counts = drawings.count()
        except DataError as error:
            self.counts, self.kept = [], _("Nothing can be kept: {error}.").format(error=error)
            return
        total, self.more = sum(self.counts), bool(self._mine)
        number = ngettext("{count} drawing in {file}.", "{count} drawings in {file}.", total)
        number = number.format(count=in_figures(f"{total:,}"), file=drawings.NAME)
        self.kept = f"{news} {number}".strip() if total or news else _(FIRST)
