"""anywidget input fields for guesses.py: they hold the values that are entered in the browser."""

from __future__ import annotations

import math
from html import escape
from pathlib import Path
from typing import Any

import traitlets

from mynn.lesson.guesses import in_words
from mynn.lesson.notebook import svg_html
from mynn.live import Live, script
from mynn.translation import _

_HERE = Path(__file__).parent


class _Field(Live):
    """A question with an input."""

    _css = _HERE / "fields.css"
    question = traitlets.Unicode().tag(sync=True)
    _entry = ""  # name of the trait that the browser sets

    def keep_in(self, earlier: dict[tuple[str, str], Any], key: tuple[str, str]) -> None:
        """Restore an earlier entry, and store each new one in `earlier`."""
        if key in earlier:
            try:
                setattr(self, self._entry, earlier[key])
            except traitlets.TraitError:  # the cell's range has changed
                del earlier[key]
        self.observe(lambda change: earlier.__setitem__(key, change["new"]), self._entry)

    def gone(self) -> str:
        """Return the text to show once the kernel has ended."""
        return f"{self.question} " + _("To guess here, run this lesson again from the top.")


class NumberField(_Field):
    """A number from low to high."""

    _script = script(_HERE / "number.js")
    low = traitlets.Float().tag(sync=True)
    high = traitlets.Float().tag(sync=True)
    unit = traitlets.Unicode().tag(sync=True)
    value = traitlets.Float(None, allow_none=True).tag(sync=True)
    _entry = "value"

    def entered(self) -> str:
        """Return the guess, as HTML."""
        return escape(f"{self.question} ({in_words(self.value, self.unit)})")

    @traitlets.validate("value")
    def _in_range(self, proposal: Any) -> float | None:
        value: float | None = proposal["value"]
        if value is not None and not (math.isfinite(value) and self.low <= value <= self.high):
            raise traitlets.TraitError(f"{value} is not between {self.low} and {self.high}")
        return value


class CurveField(_Field):
    """Heights, 0 to 1 or None, at places from left to right."""

    _script = script(_HERE / "curve.js")
    places = traitlets.List(traitlets.Float()).tag(sync=True)
    x_labels = traitlets.List(traitlets.Unicode()).tag(sync=True)
    y_labels = traitlets.List(traitlets.Unicode()).tag(sync=True)  # evenly spaced, from bottom to top
    x_label = traitlets.Unicode().tag(sync=True)
    y_label = traitlets.Unicode().tag(sync=True)
    heights = traitlets.List(traitlets.Float(allow_none=True)).tag(sync=True)
    _entry = "heights"

    def entered(self) -> str:
        """Return the curve, as HTML: a picture of 220 × 120 with the labels at the ends of its axes."""
        points = zip(self.places, self.heights, strict=False)
        drawn = " ".join(f"{220 * x:.1f},{120 - 120 * y:.1f}" for x, y in points if y is not None)
        if not drawn:
            return escape(f"{self.question} (" + _("nothing drawn") + ")")
        labels = [(-6, 8, "end", self.y_labels[-1]), (-6, 120, "end", self.y_labels[0])]
        labels += [(0, 138, "middle", self.x_labels[0]), (220, 138, "middle", self.x_labels[-1])]
        texts = "".join(f'<text x="{x}" y="{y}" text-anchor="{at}">{escape(one)}</text>' for x, y, at, one in labels)
        picture = (
            '<svg xmlns="http://www.w3.org/2000/svg" width="310" height="160" viewBox="-60 -10 310 160"'
            ' font-family="sans-serif" font-size="13"><rect x="-60" y="-10" width="310" height="160" fill="white"/>'
            f'<rect width="220" height="120" fill="none" stroke="#888"/>{texts}'
            f'<polyline points="{drawn}" fill="none" stroke="#c2410c" stroke-width="3"/></svg>'
        )
        return f"{escape(self.question)}<br>{svg_html(picture, _('a curve was drawn'))}"

    @traitlets.validate("heights")
    def _in_square(self, proposal: Any) -> list[float | None]:
        heights: list[float | None] = proposal["value"]
        if heights and len(heights) != len(self.places):
            raise traitlets.TraitError(f"there are {len(self.places)} places, not {len(heights)}")
        if not all(height is None or 0 <= height <= 1 for height in heights):
            raise traitlets.TraitError("a height is between 0 and 1")
        return heights
