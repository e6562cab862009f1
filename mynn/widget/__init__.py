"""A pad for a notebook: draw a digit, see at once what a network reads, and keep the drawing with its label.

The drawing is done in the browser (pad.js), which is quick wherever the notebook runs. At the end of each stroke the
picture comes here, is framed as MNIST frames its digits, and goes to the network. What is kept goes to `my_digits.csv`
(mynn/drawings.py).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mynn import drawings
from mynn.arrays import Bytes, Floats
from mynn.errors import DataError
from mynn.images import frame
from mynn.mnist import LABELS, PIXELS, named, scale
from mynn.network import NeuralNetwork

try:
    import traitlets

    from mynn.live import Live, script
except ImportError:
    raise ImportError(
        "the pad needs the library anywidget, and it is missing here; `pip install anywidget` brings it"
    ) from None

SIDE = 112  # of the square that comes from the browser, in pixels: as in paper.js
EMPTY = "Draw a digit on the white square."  # two lines on a phone, like every message
FIRST = "Draw a digit, then press the button that says which it was."
GONE = "To draw here, run this lesson again from the top."


class Pad(Live):
    """A white square to draw a digit on; beside it what the network sees, and how strongly it takes it for each digit.

    `network`  is asked with the weights that it has at that moment, so it can be trained further meanwhile
    `pixels`   what it saw last, 0 (background) to 255 (ink), shape (784,); all background before the first stroke
    `outputs`  what it answered to that, a list of ten numbers; empty before the first stroke

    A touch on one of the buttons 0 to 9, or that key, keeps the drawing with this label: `mynn.drawings.my_digits()`
    returns what is kept.
    """

    _esm = script(Path(__file__).with_name("pad.js"), "paper.js")
    _css = Path(__file__).with_name("pad.css")

    # From the browser:
    drawing = traitlets.CBytes().tag(sync=True, echo_update=False)  # brightness row by row
    strokes = traitlets.List(traitlets.Any()).tag(sync=True, echo_update=False)  # for a page that is loaded anew
    sent = traitlets.Int().tag(sync=True, echo_update=False)  # how many drawings
    # To the browser:
    answered = traitlets.Int().tag(sync=True)  # the last drawing that the following belongs to
    seen = traitlets.Bytes().tag(sync=True)
    outputs = traitlets.List(traitlets.Float()).tag(sync=True)
    says = traitlets.Unicode(EMPTY).tag(sync=True)
    kept = traitlets.Unicode().tag(sync=True)
    counts = traitlets.List(traitlets.Int()).tag(sync=True)  # how many are kept of each digit
    more = traitlets.Bool().tag(sync=True)  # whether there is one to be taken back

    def __init__(self, network: NeuralNetwork) -> None:
        inputs = network.wih.shape[1]
        if inputs != PIXELS:
            raise DataError(f"the pad: this network has {inputs} inputs, not {PIXELS}; give one that reads digits")
        super().__init__()
        self.network = network
        self._mine: list[tuple[int, Bytes]] = []  # what was kept here, and can be taken back
        self.on_msg(self._told)
        self._count("")

    def gone(self) -> str:
        """Return the sentence for when the program has ended."""
        return GONE

    @property
    def pixels(self) -> Bytes:
        """What the network saw last."""
        return np.frombuffer(self.seen or bytes(PIXELS), np.uint8)

    @traitlets.observe("drawing")
    def _read(self, _change: Any) -> None:
        """Answer to a drawing."""
        with self.hold_sync():  # the browser gets all of it in one message
            self.seen, self.outputs, self.says, self.answered = b"", [], EMPTY, self.sent
            if not self.drawing:
                return
            try:
                pixels = _framed(self.drawing)
            except DataError as error:
                self.says = f"This cannot be read: {error}."
                return
            outputs = self.network.query(scale(pixels))
            self.seen, self.outputs, self.says = pixels.tobytes(), outputs.tolist(), _in_words(outputs)

    @traitlets.observe("sent")
    def _answer(self, _change: Any) -> None:
        self.answered = self.sent  # also where the drawing is the same as before

    def _told(self, _pad: Any, message: Any, buffers: list[Any]) -> None:
        """Do what a button says: keep a drawing, or take the last one back."""
        label = message.get("keep")
        with self.hold_sync():
            try:
                if type(label) is int and 0 <= label < LABELS and buffers:
                    if not buffers[0]:
                        self.kept = FIRST
                        return
                    self._keep(label, bytes(buffers[0]))
                    self.send({"kept": message.get("sent")})
                elif message.get("take_back") and self._mine:
                    self._take_back()
            except DataError as error:
                self.kept = f"Not kept: {error}."

    def _keep(self, label: int, drawing: bytes) -> None:
        pixels = _framed(drawing)
        drawings.keep(label, pixels)
        self._mine.append((label, pixels))
        self._count(f"Kept as {named(label)}. ")

    def _take_back(self) -> None:
        label, pixels = self._mine[-1]
        drawings.take_back(label, pixels)
        self._mine.pop()
        self._count(f"The {label} is taken back. ")

    def _count(self, news: str) -> None:
        """Say what happened, and how many drawings are kept now."""
        try:
            self.counts = drawings.count()
        except DataError as error:
            self.counts, self.kept = [], f"Nothing can be kept: {error}."
            return
        total, self.more = sum(self.counts), bool(self._mine)
        number = f"{total:,} drawing{'' if total == 1 else 's'}"
        self.kept = f"{news}{number} in {drawings.NAME}." if total or news else FIRST


def _framed(drawing: bytes) -> Bytes:
    if len(drawing) != SIDE**2:
        raise DataError(f"a drawing has {SIDE} x {SIDE} pixels")
    return frame(np.frombuffer(drawing, np.uint8).reshape(SIDE, SIDE), dark_on_light=True)


def _in_words(outputs: Floats) -> str:
    """Return the answer as a sentence."""
    second, first = np.argsort(outputs)[-2:]
    if outputs[first] < 0.5:
        return f"I am not sure. Is it {named(first)}, or {named(second)}?"
    if outputs[second] >= 0.5:
        return f"It could be {named(first)}, but also {named(second)}."
    return f"This is {named(first)}."
