"""anywidget input fields for guesses.py: they hold the values that are entered in the browser."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import traitlets

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

    @traitlets.validate("heights")
    def _in_square(self, proposal: Any) -> list[float | None]:
        heights: list[float | None] = proposal["value"]
        if heights and len(heights) != len(self.places):
            raise traitlets.TraitError(f"there are {len(self.places)} places, not {len(heights)}")
        if not all(height is None or 0 <= height <= 1 for height in heights):
            raise traitlets.TraitError("a height is between 0 and 1")
        return heights
