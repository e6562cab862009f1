"""matplotlib plots: a digit, many digits, curves with their spread, mistakes, weights, backqueries, damage.

Each function with a parameter `ax` draws there, or into a new figure without it, and returns the axes. `digits` and
`backqueries` show their pictures in a notebook; elsewhere they return a figure. Import this module only to draw: a Pi
Zero takes some seconds to load matplotlib.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import ArrayLike

from mynn.arrays import Bytes
from mynn.files import replacing
from mynn.mnist import SIDE, targets_for
from mynn.network import NeuralNetwork
from mynn.png import png_source
from mynn.translation import _, in_figures

Lines = Mapping[str, tuple[ArrayLike, ArrayLike]]

WIDEST, LARGEST = 900, 140  # pixels on a page: most for a line of digits, and for a digit
GUESSING = 0.1  # score of a network that has learnt nothing: one digit in ten


def digit(pixels: ArrayLike, *, title: str = "", ax: Axes | None = None) -> Axes:
    """Draw one digit, dark where there is ink: pixels 0..255 (bytes) or inputs 0..1, shape (784,).

    Other numbers, such as the weights of a hidden node, go from white (the least) to black (the most).
    """
    return _picture(ax, pixels, title, *_range(np.asarray(pixels)))


def digits(rows: ArrayLike, titles: Sequence[object] = (), *, columns: int = 10) -> Figure | None:
    """Draw digits in a grid: rows of shape (n, 784) as for `digit`, and a title for each of them or none.

    In a notebook, show them as small pictures that the page enlarges, with titles as HTML: thirty subplots take
    hundreds of times as long (docs/develop/measurements.md). Elsewhere, return a figure.
    """
    rows = np.asarray(rows)  # (n, 784)
    if rows.ndim != 2 or not len(rows):
        sentence = _("digits in a grid need an array of shape (n, 784), not {shape}")
        raise ValueError(sentence.format(shape=rows.shape))
    if titles and len(titles) != len(rows):
        sentence = _("there are {titles} titles for {digits} digits; give one for each, or none")
        raise ValueError(sentence.format(titles=len(titles), digits=len(rows)))
    columns = min(columns, len(rows))
    from mynn.lesson import notebook  # imported late: commands that draw do not need it

    if notebook.in_a_notebook():
        notebook.show_html(*digits_html(rows, titles, columns))
        return None
    lines = -(-len(rows) // columns)
    figure, places = plt.subplots(
        lines, columns, squeeze=False, figsize=(1.1 * columns, 1.1 * lines + 0.35 * lines * bool(titles))
    )
    limits = _range(rows)
    for number, place in enumerate(places.flat):
        if number < len(rows):
            _picture(place, rows[number], str(titles[number]) if titles else "", *limits)
        else:
            place.set_axis_off()
    figure.tight_layout(pad=0.5, h_pad=1.0 if titles else 0.5)  # keeps titles off the pictures above them
    return figure


def digits_html(rows: np.ndarray[Any, Any], titles: Sequence[object], columns: int) -> tuple[str, str]:
    """Return a grid of digits as HTML, and as text. With titles, one picture per digit; without, one for all."""
    white, black = _range(rows)
    lines = -(-len(rows) // columns)
    ink = np.zeros((lines * columns, SIDE + 2, SIDE + 2), np.uint8)  # (n or more, 30, 30): with a border of paper
    shades = 255 * np.clip((rows - white) / ((black - white) or 1), 0, 1)
    ink[: len(rows), 1:-1, 1:-1] = shades.reshape(-1, SIDE, SIDE).round()
    side = min(LARGEST, WIDEST // columns)
    if not titles:
        from mynn.lesson.described import rows_of_digits  # imported late, as above

        sheet = ink.reshape(lines, columns, *ink.shape[1:]).swapaxes(1, 2).reshape(lines * ink.shape[1], -1)
        said = rows_of_digits(lines, columns)
        return _img(sheet, said, f"min(100%, {columns * side}px)"), said
    alt = _("A picture: {title}")
    cells = [
        f'<div>{_img(one, alt.format(title=title), "100%")}<br><span aria-hidden="true">{escape(title)}</span></div>'
        for one, title in zip(ink, map(str, titles), strict=False)
    ]
    grid = f"display: grid; grid-template-columns: repeat({columns}, minmax(0, {side}px)); gap: 4px; text-align: center"
    return f'<div style="{grid}">{"".join(cells)}</div>', alt.format(title="; ".join(map(str, titles)))


def _img(ink: Bytes, alt: str, width: str) -> str:
    style = f"width: {width}; image-rendering: pixelated"
    return f'<img alt="{escape(alt)}" src="{png_source(ink)}" style="{style}">'


def curves(lines: Lines, *, x: str, y: str, percent: bool = False, ax: Axes | None = None) -> Axes:
    """Draw a line for each name; `x` and `y` label the axes.

    lines    {name: (where, values)}: where of shape (n,); values of shape (n,), or (seeds, n), one row a run.
             Runs are drawn as their mean, in a band of one standard deviation to either side
    percent  whether values are fractions: 0.9 is written as 90%, and bands stay between 0% and 100%
    """
    ax = ax or _axes(7, 4)
    for name, (where, values) in lines.items():
        runs = np.atleast_2d(np.asarray(values, float))  # (seeds, n)
        mean = runs.mean(axis=0)
        (line,) = ax.plot(np.asarray(where), mean, marker="o", label=name)
        if len(runs) > 1:
            spread = runs.std(axis=0, ddof=1)
            band = mean - spread, mean + spread
            low, high = np.clip(band, 0, 1) if percent else band
            ax.fill_between(np.asarray(where), low, high, color=line.get_color(), alpha=0.2, lw=0)
    if percent:
        ax.yaxis.set_major_formatter(_Percent(1.0))
    ax.set_xlabel(x)
    ax.set_ylabel(y)
    ax.grid(True, alpha=0.4)
    if all(float(place).is_integer() for where, _ in lines.values() for place in np.ravel(where)):
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))  # there is no epoch 2.5
    if len(lines) > 1:  # above the plot, so that the legend hides no curve
        ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=min(len(lines), 3), frameon=False)
    return ax


def curves_to(path: Path, lines: Lines, *, x: str, y: str) -> Path:
    """Draw as `curves` does, in percent, into this PNG file, and return its path.

    The file is replaced atomically: a power cut or a full disk leaves the old or the new picture, never half of one.
    """
    figure, ax = plt.subplots(figsize=(7, 4))
    curves(lines, x=x, y=y, percent=True, ax=ax)
    with replacing(path) as file:
        figure.savefig(file, format="png", dpi=120, bbox_inches="tight")
    plt.close(figure)
    return path


def confusion(counts: ArrayLike, *, ax: Axes | None = None) -> Axes:
    """Draw a confusion matrix: how often each label (row) got each answer (column), counts of shape (labels, labels).

    Numbers on the diagonal are right answers. The others are mistakes: the redder, the more frequent.
    """
    counts = np.asarray(counts)
    ax = ax or _axes(6, 6)
    right = np.eye(len(counts), dtype=bool)
    mistakes = np.where(right, 0, counts)  # right answers are left out: a hundred times as many would pale all others
    ax.imshow(mistakes, cmap="Reds", vmin=0, vmax=max(1.5 * mistakes.max(), 1))  # 1.5: numbers stay readable
    for (row, column), count in np.ndenumerate(counts):
        weight = "bold" if row == column else "normal"
        ax.text(column, row, str(count) if count else "·", ha="center", va="center", weight=weight)
    ax.set_xticks(range(len(counts)))
    ax.set_yticks(range(len(counts)))
    ax.set_xlabel(_("what the network says"))
    ax.set_ylabel(_("what it is"))
    total = int(counts.sum())
    title = _("no digits")
    if total:
        part = in_figures(f"{counts.trace() / total:.1%}")
        title = _("{part} of {count} recognised").format(part=part, count=total)
    ax.set_title(title)
    return ax


def weights(network: NeuralNetwork, node: int, *, ax: Axes | None = None) -> Axes:
    """Draw the 784 weights of one hidden node. Ink on red pixels raises its signal, ink on blue ones lowers it."""
    row = network.wih[node]  # (784,)
    most = float(np.abs(row).max()) or 1.0
    return _picture(ax, row, _("hidden node {number}").format(number=node), -most, most, "RdBu_r")


def backqueries(network: NeuralNetwork, labels: Sequence[int] | None = None, *, columns: int = 5) -> Figure | None:
    """Draw the backquery of each label (None: all) as `digits` does: dark where the network wants ink."""
    labels = range(len(network.who)) if labels is None else labels
    rows = [network.backquery(targets_for(label, len(network.who))) for label in labels]
    return digits(np.array(rows), labels, columns=columns)


def damage_curve(removed: ArrayLike, scores: ArrayLike, *, ax: Axes | None = None) -> Axes:
    """Draw the score of a network against the number of hidden nodes removed.

    removed  the numbers of nodes removed, shape (n,)
    scores   the fractions 0..1 recognised then, shape (seeds, n): one row for each random choice of nodes
    """
    lines = {_("mean, and one standard deviation"): (removed, scores)}
    ax = curves(lines, x=_("hidden nodes removed"), y=_("digits recognised"), percent=True, ax=ax)
    ax.axhline(GUESSING, color="grey", linestyle=":", label=_("guessing"))
    ax.set_ylim(0, 1)
    ax.legend()
    return ax


class _Percent(PercentFormatter):
    """Formatter for percentages on an axis, in the notation of the reader's language."""

    def format_pct(self, x: float, display_range: float) -> str:
        return in_figures(super().format_pct(x, display_range))


def _axes(width: float, height: float) -> Axes:
    """Return the axes of a new figure, its size in inches."""
    ax: Axes = plt.subplots(figsize=(width, height))[1]
    return ax


def _range(values: np.ndarray[Any, Any]) -> tuple[float, float]:
    """Return the values to draw as white and as black."""
    if values.dtype == np.uint8:
        return 0, 255
    least, most = float(values.min()), float(values.max())
    return (0, 1) if least >= 0 and most <= 1 else (least, most)


def _picture(ax: Axes | None, pixels: ArrayLike, title: str, least: float, most: float, colours: str = "Greys") -> Axes:
    ax = ax or _axes(2.5, 2.5)
    ax.imshow(np.asarray(pixels).reshape(SIDE, SIDE), cmap=colours, vmin=least, vmax=most)
    ax.set_xticks([])
    ax.set_yticks([])
    ax.set_title(title)
    return ax
