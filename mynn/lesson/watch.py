"""Live view of a training: the current digit, the network's outputs, and a curve of its accuracy.

One SVG of a few kilobytes, redrawn in place: matplotlib needs four seconds per plot on a Pi Zero.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from html import escape

import numpy as np

from mynn.arrays import Bytes, Floats
from mynn.lesson.guesses import GuessedCurve
from mynn.lesson.notebook import in_a_notebook, show_svg
from mynn.mnist import SIDE, named
from mynn.png import png_source
from mynn.training import Network
from mynn.translation import _, in_figures

PAUSE = 0.2  # least time between two drawings, seconds: a browser shows no more
SHARE = 20  # pause per drawing time: about 5 % goes to drawing, and as much to sending on the same processor
WIDTH, HEIGHT = 340, 330  # pixels: fits a phone's screen
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 330, 176, 296  # edges of the curve's plot
_INK, _PALE = "#c2410c", "#767676"


class Watch:
    """A picture of a network that learns from `total` digits, with the guessed curve.

        watch = Watch(network, 60_000, curve_guess)
        watch.digit(inputs, label)          # before training on each digit
        watch.curve(seen, recognised)       # after each test: digits seen and fraction recognised, of all tests so far

    It is drawn when time allows, and after the last digit.
    """

    def __init__(self, network: Network, total: int, guessed: GuessedCurve | None = None) -> None:
        """Prepare the picture without drawing it."""
        self.network, self.total = network, total
        self._guessed = [] if guessed is None or guessed.value is None else _points(guessed.x, guessed.value, total)
        self._due = 0.0 if in_a_notebook() else float("inf")
        self._curve: list[str] = []
        self._top = self._says = self._reads = ""
        self._place = None

    def digit(self, inputs: Floats, label: int) -> None:
        """Show a digit and the network's outputs for it, if a drawing is due."""
        if time.monotonic() < self._due:
            return
        outputs = self.network.query(inputs)
        self._top = _digit(np.rint((inputs - 0.01) / 0.99 * 255).astype(np.uint8)) + _bars(outputs, label)
        # Translators: {digit} is "a 7" in English, and only "7" in your language. There is room for 45 letters.
        sentence = _("This is {digit}. The network says {answer}.")
        self._says = sentence.format(digit=named(label), answer=int(np.argmax(outputs)))
        self._draw()

    def curve(self, seen: Sequence[int], recognised: Sequence[float]) -> None:
        """Show the fraction recognised after each number of digits seen."""
        self._curve = _points(seen, recognised, self.total)
        part, count = in_figures(f"{100 * recognised[-1]:.0f} %"), in_figures(f"{seen[-1]:,}")
        # Translators: there is room for 45 letters.
        self._reads = _("{part} recognised after {count} digits.").format(part=part, count=count)
        if time.monotonic() >= self._due or (seen[-1] >= self.total and in_a_notebook()):
            self._draw()

    def _draw(self) -> None:
        begun = time.monotonic()
        text = [_text(10, 150, self._says, anchor="start"), _text(190, 168, self._reads, fill=_INK)]
        lines = [
            _line(self._guessed, f'stroke="{_PALE}" stroke-dasharray="2 3"'),
            _text(_RIGHT, 282, _("dotted: your guess"), anchor="end", fill=_PALE) if self._guessed else "",
            _line(self._curve, f'stroke="{_INK}"'),
        ]
        picture = "".join([_FRAME, self._top, *text, _axes(self.total), *lines, "</svg>"])
        self._place = show_svg(picture, f"{self._says} {self._reads}".strip(), self._place)
        now = time.monotonic()
        self._due = now + max(PAUSE, SHARE * (now - begun))


_FRAME = (
    f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}"'
    f' font-family="sans-serif" font-size="13"><rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>'
)


def _digit(pixels: Bytes) -> str:
    """Return the SVG of a digit, (784,), as an embedded PNG, dark on light."""
    return (
        '<rect x="9" y="9" width="114" height="114" fill="none" stroke="#ccc"/><image x="10" y="10" width="112"'
        f' height="112" style="image-rendering:pixelated" href="{png_source(pixels.reshape(SIDE, SIDE))}"/>'
    )


def _bars(outputs: Floats, label: int) -> str:
    """Return the SVG of a bar chart of the outputs: the strongest coloured, the label in bold."""
    strongest, parts = int(np.argmax(outputs)), []
    for number, output in enumerate(np.ravel(outputs)):
        x, height = 142 + 19 * number, 100 * float(output)
        colour = _INK if number == strongest else _PALE
        parts.append(f'<rect x="{x}" y="{110 - height:.1f}" width="14" height="{height:.1f}" fill="{colour}"/>')
        parts.append(_text(x + 7, 125, str(number), more=' font-weight="bold"' if number == label else ""))
    return "".join(parts)


def _axes(total: int) -> str:
    """Return the SVG of the curve's axes: 0 to 100 %, by digits seen."""
    parts = []
    for part in (0, 0.5, 1):
        y = _BOTTOM + part * (_TOP - _BOTTOM)
        parts.append(f'<path d="M{_LEFT} {y}H{_RIGHT}" stroke="#ddd"/>')
        parts.append(_text(_LEFT - 6, y + 4, in_figures(f"{100 * part:g} %"), anchor="end"))
    parts.append(_text(_LEFT, HEIGHT - 18, "0"))
    parts.append(_text(_RIGHT, HEIGHT - 18, in_figures(f"{total:,}"), anchor="end"))
    parts.append(_text((_LEFT + _RIGHT) / 2, HEIGHT - 18, _("digits seen")))
    return "".join(parts)


def _points(across: Sequence[float] | Floats, up: Sequence[float] | Floats, total: int) -> list[str]:
    return [
        f"{_LEFT + x / total * (_RIGHT - _LEFT):.1f},{_BOTTOM + y * (_TOP - _BOTTOM):.1f}"
        for x, y in zip(across, up, strict=True)
    ]


def _line(points: list[str], stroke: str) -> str:
    return f'<polyline points="{" ".join(points)}" fill="none" stroke-width="2.5" {stroke}/>' if points else ""


def _text(x: float, y: float, words: str, *, anchor: str = "middle", fill: str = "#444", more: str = "") -> str:
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" fill="{fill}"{more}>{escape(words)}</text>'
