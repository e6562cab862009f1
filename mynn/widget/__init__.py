"""A pad for a notebook: draw a digit, and see at once what a network reads, and how sure it is.

The drawing is done in the browser (pad.js), which is quick wherever the notebook runs. At the end of each stroke the
picture comes here, is framed as MNIST frames its digits, and goes to the network.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mynn.arrays import Bytes, Floats
from mynn.errors import DataError
from mynn.images import frame
from mynn.mnist import PIXELS, scale
from mynn.network import NeuralNetwork

try:
    import anywidget
    import traitlets
except ImportError:
    raise ImportError(
        "the pad needs the library anywidget, and it is missing here; `pip install anywidget` brings it"
    ) from None

SIDE = 112  # of the square that comes from the browser, in pixels: as in pad.js
EMPTY = "Draw a digit on the white square, with the mouse or a finger."


class Pad(anywidget.AnyWidget):
    """A white square to draw a digit on; beside it what the network sees, and how strongly it takes it for each digit.

    `network`  is asked with the weights that it has at that moment, so it can be trained further meanwhile
    `pixels`   what it saw last, 0 (background) to 255 (ink), shape (784,); all background before the first stroke
    `outputs`  what it answered to that, a list of ten numbers; empty before the first stroke
    """

    _esm = Path(__file__).with_name("pad.js")
    _css = Path(__file__).with_name("pad.css")

    drawing = traitlets.CBytes().tag(sync=True, echo_update=False)  # brightness row by row: the browser sends it
    seen = traitlets.Bytes().tag(sync=True)
    outputs = traitlets.List(traitlets.Float()).tag(sync=True)
    says = traitlets.Unicode(EMPTY).tag(sync=True)

    def __init__(self, network: NeuralNetwork) -> None:
        inputs = network.wih.shape[1]
        if inputs != PIXELS:
            raise DataError(f"the pad: this network has {inputs} inputs, not {PIXELS}; give one that reads digits")
        super().__init__()
        self.network = network

    @property
    def pixels(self) -> Bytes:
        """What the network saw last."""
        return np.frombuffer(self.seen or bytes(PIXELS), np.uint8)

    @traitlets.observe("drawing")
    def _read(self, _change: Any) -> None:
        """Answer to a drawing."""
        with self.hold_sync():  # the browser gets all of it in one message
            self.seen, self.outputs, self.says = b"", [], EMPTY
            if not self.drawing:
                return
            try:
                pixels = frame(np.frombuffer(self.drawing, np.uint8).reshape(SIDE, SIDE))
            except DataError as error:
                self.says = f"This cannot be read: {error}."
                return
            outputs = self.network.query(scale(pixels))
            self.seen, self.outputs, self.says = pixels.tobytes(), outputs.tolist(), _in_words(outputs)


def _in_words(outputs: Floats) -> str:
    """Return the answer as a sentence."""
    second, first = np.argsort(outputs)[-2:]
    if outputs[first] < 0.5:
        return f"I am not sure. Is it a {first}, or a {second}?"
    if outputs[second] >= 0.5:
        return f"It could be a {first}, but also a {second}."
    return f"This is a {first}."
