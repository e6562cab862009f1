"""Guesses: ask for a number or a curve before it is computed, and show it beside the result.

A guess lasts as long as the kernel, also when the page is reloaded or the cell is run again.
The input fields are in fields.py, imported only when one is shown: the import is slow on a Pi Zero.
"""

from __future__ import annotations

import math
from html import escape
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from mynn.lesson.notebook import in_a_notebook, ipython, show_svg
from mynn.translation import _, in_figures

_earlier: dict[tuple[str, str], Any] = {}  # (field class, question) -> guess


class Guess:
    """A field for a number from `low` to `high`; `value` is the guess, None until one is entered."""

    def __init__(self, question: str, low: float, high: float, unit: str = "") -> None:
        """Show the field."""
        if not low < high:
            raise ValueError(f"a guess needs a range with the lower end first, not {low} to {high}")
        self.question, self.low, self.high, self.unit = question, low, high, unit
        self._field = _field("NumberField", question, low=low, high=high, unit=unit)

    @property
    def value(self) -> float | None:
        """The last number entered."""
        return self._field.value if self._field else None

    def beside(self, result: float) -> None:
        """Print question, guess and result, "How many? You guessed 30 %. It is 21 %.", and draw both on a line.

        `result` has the unit of the guess: 21, not 0.21, if that is "%".
        """
        answer = written(result, self.unit)
        if self.value is None:
            print(self.question, _("It is {answer}. (You have not guessed.)").format(answer=answer))
            return
        guessed = written(self.value, self.unit)
        is_right, other = _("You guessed {guess}, and so it is!"), _("You guessed {guess}. It is {answer}.")
        print(self.question, (is_right if guessed == answer else other).format(guess=guessed, answer=answer))
        show_svg(_line(self, self.value, float(result)))

    def __repr__(self) -> str:
        """Return the guess as text."""
        return in_words(self.value, self.unit)


class GuessedCurve:
    """A square in which a curve is guessed, drawn with mouse or finger.

    `value`  a height for each `x`, in the units of `ylim`, shape (n,); None until two points are drawn
    """

    def __init__(
        self,
        question: str,
        x: ArrayLike,
        ylim: tuple[float, float],
        *,
        xlabel: str = "",
        ylabel: str = "",
        log: bool = False,
        percent: bool = False,
    ) -> None:
        """Show the square.

        `x`        the x values, ascending, shape (n,)
        `ylim`     the lower and the upper end, in the units of the plot that will show the guess
        `log`      whether the x axis is logarithmic
        `percent`  whether the y axis shows 0.2 as 20 %
        """
        self.question, self.x = question, np.asarray(x, float)
        self.low, self.high = ylim
        if self.x.ndim != 1 or len(self.x) < 2 or not (np.diff(self.x) > 0).all():
            raise ValueError("a curve needs two or more places x, from left to right")
        if not self.low < self.high:
            raise ValueError(f"a curve needs a range with the lower end first, not {self.low} to {self.high}")
        along = np.log(self.x) if log else self.x
        marks = np.linspace(self.low, self.high, 6 if percent else 5)
        self._field = _field(
            "CurveField",
            question,
            places=((along - along[0]) / (along[-1] - along[0])).tolist(),  # 0 to 1
            x_labels=[in_figures(f"{value:g}") for value in self.x],
            y_labels=[in_figures(f"{100 * value:.3g} %" if percent else f"{value:.3g}") for value in marks],
            x_label=xlabel,
            y_label=ylabel,
        )

    @property
    def value(self) -> np.ndarray[Any, Any] | None:
        """The curve, with gaps interpolated linearly and level ends."""
        heights = self._field.heights if self._field else []
        drawn = [(at, height) for at, height in enumerate(heights) if height is not None]
        if len(drawn) < 2:
            return None
        places, known = zip(*drawn, strict=True)
        all_of_them: np.ndarray[Any, Any] = np.interp(range(len(self.x)), places, known)
        return self.low + all_of_them * (self.high - self.low)

    def plot(self, ax: Any) -> None:
        """Draw the guess into a plot, behind other curves; print a note if there is no guess."""
        if self.value is None:
            print(_("(You have not drawn a guess.)"))
            return
        style = {"color": "0.6", "linewidth": 4, "linestyle": (0, (1.5, 1)), "zorder": 1}
        ax.plot(self.x, self.value, **style, label=_("your guess"))
        ax.legend(loc="best", framealpha=0.9)

    def __repr__(self) -> str:
        """Return as text whether a curve was drawn."""
        return _("nothing drawn") if self.value is None else _("a curve was drawn")


guess, guess_curve = Guess, GuessedCurve  # the names in lessons


def in_words(guessed: float | None, unit: str) -> str:
    """Return a guess as text."""
    if guessed is None:
        return _("nothing guessed")
    return _("guessed: {guess}").format(guess=written(guessed, unit))


def written(number: float, unit: str) -> str:
    """Return a number with its unit, formatted for the language: "10,000", "97.3 %", "0.034"; in German "97,3 %"."""
    number = float(number)
    if not math.isfinite(number):
        text = str(number)
    elif number == round(number):
        text = f"{number:,.0f}"
    else:
        text = f"{number:,.{max(1, 1 - math.floor(math.log10(abs(number))))}f}".rstrip("0").rstrip(".")
    return f"{in_figures(text)} {unit}".strip()


def _field(kind: str, question: str, **settings: Any) -> Any:
    """Show a field and return it; print the question and return None if fields cannot be shown."""
    if not in_a_notebook():
        print(question)
        return None
    try:
        from mynn.lesson import fields
    except ImportError:
        print(question, _("(Guess on paper: the library for fields, anywidget, is missing here.)"))
        return None
    field = getattr(fields, kind)(question=question, **settings)
    field.keep_in(_earlier, (kind, question))
    ipython().display(field)
    return field


def _line(guessed: Guess, value: float, result: float) -> str:
    """Return an SVG with guess and result on a line from low to high, no wider than a phone's screen."""
    low, high = min(guessed.low, result), max(guessed.high, result)
    ends = written(low, ""), written(high, "")
    width, level = 310, 40
    left, right = 16 + 8 * len(ends[0]), width - 16 - 8 * len(ends[1])

    def mark(number: float, text: str, colour: str, up: int) -> str:
        at = left + (right - left) * (number - low) / (high - low)
        anchor, text_at = ("start", at - 8) if at < 80 else ("end", at + 8) if at > width - 80 else ("middle", at)
        return (
            f'<circle cx="{at:.1f}" cy="{level}" r="8" fill="{colour}"/>'
            f'<text x="{text_at:.1f}" y="{level - up}" text-anchor="{anchor}" fill="{colour}" font-weight="bold">'
            f"{escape(text)}</text>"
        )

    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="80" viewBox="0 0 {width} 80"'
        f' font-family="sans-serif" font-size="13"><rect width="{width}" height="80" fill="white"/>'
        f'<path d="M{left} {level}H{right}" stroke="#bbb" stroke-width="4" stroke-linecap="round"/>'
        f'<text x="{left - 12}" y="{level + 5}" text-anchor="end" fill="#666">{escape(ends[0])}</text>'
        f'<text x="{right + 12}" y="{level + 5}" fill="#666">{escape(ends[1])}</text>'
        + mark(value, _("you: {guess}").format(guess=written(value, guessed.unit)), "#777", 16)
        + mark(result, _("it is {answer}").format(answer=written(result, guessed.unit)), "#c2410c", -25)
        + "</svg>"
    )
