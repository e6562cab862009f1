"""Alternative text for matplotlib figures, for screen readers: Jupyter adds none."""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np

from mynn.lesson.notebook import show_html
from mynn.mnist import SIDE
from mynn.png import plot_source
from mynn.translation import _, in_figures, ngettext

MOST = 20  # pictures, bars or texts that are listed


def show_described(figure: Any) -> None:
    """Show a matplotlib figure with its description; show nothing if it is empty."""
    if figure.axes:
        said = description(figure)
        show_html(f'<img alt="{escape(said)}" src="{plot_source(figure)}">', said)


def description(figure: Any) -> str:
    """Return a description: the titles of pictures, the values of bars and curves."""
    drawn = [axes for axes in figure.axes if axes.has_data()]
    pictures = [axes for axes in drawn if axes.images]
    parts = [_plot(axes) for axes in drawn if not axes.images]
    if pictures:
        titles = [title for axes in pictures if (title := axes.get_title().replace("\n", " "))]
        rows, columns = (length // SIDE for length in pictures[0].images[0].get_array().shape[:2])
        said = rows_of_digits(rows, columns) if rows * columns > 1 else _("A picture")
        if len(pictures) > 1:
            said = _("{count} pictures").format(count=len(pictures))
        parts.insert(0, said + (f": {'; '.join(titles[:MOST])}" if titles else ""))
    return ". ".join(parts) + "."


def rows_of_digits(rows: int, columns: int) -> str:
    """Return the description of a picture with rows of digits."""
    sentence = ngettext("{count} row of {columns} digits", "{count} rows of {columns} digits", rows)
    return sentence.format(count=rows, columns=columns)


def _plot(axes: Any) -> str:
    """Return the description of a plot of bars, curves or points."""
    said = [axes.get_title() or _("A plot")]
    if axes.get_ylabel():
        # Translators: describes a plot: {title}, the label of its vertical axis, the label of its horizontal axis.
        measured = _("{title}: {y} by {x}")
        said = [measured.format(title=said[0], y=axes.get_ylabel(), x=axes.get_xlabel())]
    curves = [(line, line) for line in axes.lines if line.get_label() != "_nolegend_"]  # not parts of error bars
    for group in axes.containers:
        lying = getattr(group, "orientation", None) == "horizontal"
        bars = getattr(group, "patches", ())
        lengths = [float(bar.get_width() if lying else bar.get_height()) for bar in bars]
        if lengths:
            said.append(" ".join([_named(group, _("bars")), ", ".join(map(_figure, lengths[:MOST]))]))
        if getattr(group, "lines", (None,))[0]:  # not error bars on a bar chart: these have no curve
            curves.append((group, group.lines[0]))
    for named, line in curves:
        x, y = (np.atleast_1d(np.asarray(values, float)) for values in line.get_data(orig=False))
        if len(y) > 2 and np.isfinite(y).all():
            few = len(y) <= 5
            which = range(len(y)) if few else (0, -1, int(y.argmax()))
            # Translators: a point of a curve: its height and its place on the horizontal axis.
            at = _("{height} at {place}")
            points = [at.format(height=_figure(y[point]), place=_place(axes, x[point])) for point in which]
            # Translators: describes a curve: each {} is a point, such as "0.97 at 5".
            told = ", ".join(points) if few else _("from {0} to {1}, highest {2}").format(*points)
            said.append(" ".join([_named(named, _("a curve")), told]))
    written = [text.get_text() for text in axes.texts if text.get_text().strip()]
    if written:
        said.append(_("written in it: {texts}").format(texts=", ".join(written[:MOST])))
    return "; ".join(said)


def _place(axes: Any, x: float) -> str:
    """Return the axis label at or near this place, if the lesson set labels; else the number."""
    from matplotlib.category import StrCategoryFormatter  # quick: the figure has loaded matplotlib
    from matplotlib.ticker import FixedFormatter, FuncFormatter

    formatter, ticks = axes.xaxis.get_major_formatter(), sorted(float(tick) for tick in axes.get_xticks())
    if isinstance(formatter, FixedFormatter | FuncFormatter | StrCategoryFormatter) and ticks:
        words = map(str, formatter.format_ticks(ticks))  # strings, even if the lesson gave numbers
        away, word = min(zip(np.abs(np.subtract(ticks, x)), words, strict=True))
        beside = np.diff(ticks).min(initial=np.inf) / 4  # dots are drawn beside their tick so that none hides another
        if word.strip() and away <= beside:
            return word.replace("\n", " ")
    return _figure(x)


def _figure(number: float) -> str:
    return in_figures(f"{number:.4g}")


def _named(artist: Any, kind: str) -> str:
    """Return the kind with the legend's label; matplotlib's automatic labels begin with _."""
    label = str(artist.get_label())
    return kind if label.startswith("_") or not label else f"{kind} ({label})"
