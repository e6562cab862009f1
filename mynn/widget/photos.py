"""Photos of digits, an anywidget for notebooks: take one, of a digit or a whole sheet, and see what a network reads.

The browser decodes whatever the camera gives, and sends it as a small JPEG. Python finds the digits (images.py), and
asks a second network whether each is a digit at all (doubt.py). Digits that the pupil labels go to
`my_digits.csv`, as those from the pad do.
"""

from __future__ import annotations

import io
from base64 import b64decode
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import traitlets
from PIL import Image

from mynn import drawings
from mynn.arrays import Bytes
from mynn.doubt import is_digit
from mynn.errors import DataError
from mynn.images import Box, cut
from mynn.live import PAPER, Live, script
from mynn.mnist import LABELS, Examples, named, require_digits, scale
from mynn.network import NeuralNetwork
from mynn.translation import N_, _, ngettext
from mynn.widget import row

FIRST = N_("Take a photo of one digit, or of a sheet with many. Leave white all around each.")


class Photos(Live):
    """The latest photo with a box around each digit, and what `network` reads there.

    `digits`  a dictionary for each box: its `answer` is None if this is no digit, and `seen` what the network sees
    """

    _script = script(Path(__file__).with_name("photos.js"), *PAPER, "photo.js")
    _css = Path(__file__).with_name("pad.css")

    # To the browser:
    photo = traitlets.Unicode().tag(sync=True)  # a data URL
    digits = traitlets.List(traitlets.Dict()).tag(sync=True)
    says = traitlets.Unicode().tag(sync=True)

    def __init__(self, network: NeuralNetwork, _examples: Examples | None = None) -> None:
        # Older copies of the lesson give examples, with which each digit was compared.
        require_digits(network.wih, network.who)
        super().__init__(says=_(FIRST))
        self.network = network
        self.on_msg(self._told)

    def gone(self) -> str:
        """Return the sentence to show once the program has ended."""
        return _("To take photos here, run this lesson again from the top.")

    def entered(self) -> str:
        """Return what the network sees in the photo, with its answers, as HTML. The photo itself is not kept."""
        if not self.digits:
            return escape(_("no digits"))
        answers = ", ".join("?" if one["answer"] is None else str(one["answer"]) for one in self.digits[-20:])
        said = _("The network says {answer}.").format(answer=answers)
        return row([np.frombuffer(one["seen"], np.uint8) for one in self.digits], said)

    def _told(self, _photos: Any, message: Any, _buffers: list[Any]) -> None:
        """Handle a photo, or a button."""
        with self.hold_sync():
            try:
                match message:
                    case {"photo": str(photo)}:
                        self._look(photo)
                    case {"keep": int(label), "which": int(which)} if 0 <= which < len(self.digits):
                        self._keep(label, which)
            except DataError as error:
                self.says = str(error)
        self.send({})  # it is done

    def _look(self, photo: str) -> None:
        """Find and read the digits in a photo."""
        self.photo, self.digits = photo, []
        with Image.open(io.BytesIO(b64decode(photo.partition(",")[2])), formats=["JPEG"]) as picture:
            self.digits = [self._read(*found) for found in cut(np.asarray(picture.convert("L")))]
        count = ngettext("{count} digit.", "{count} digits.", len(self.digits)).format(count=len(self.digits))
        self.says = f"{count} " + _("Tap a box: what does the network see, and was it right?")

    def _read(self, box: Box, pixels: Bytes) -> dict[str, Any]:
        """Return what is in a box."""
        outputs = self.network.query(scale(pixels))
        answer = int(outputs.argmax()) if is_digit(pixels) else None
        return {"box": box, "answer": answer, "output": float(outputs.max()), "kept": None, "seen": pixels.tobytes()}

    def _keep(self, label: int, which: int) -> None:
        """Keep a digit with the pupil's label, or take its box away: it was no digit."""
        digit, others = self.digits[which], [*self.digits]
        if 0 <= label < LABELS:
            drawings.keep(label, np.frombuffer(digit["seen"], np.uint8))
            others[which] = {**digit, "kept": label}
            # Translators: {digit} is "a 7" in English, and only "7" in your language.
            self.says = _("Kept as {digit}.").format(digit=named(label)) + f" {drawings.NAME}"
        else:
            del others[which]
        self.digits = others
