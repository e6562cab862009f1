"""Small plots of a figure over time, as SVG for the page."""

from __future__ import annotations

import io
import time
from collections.abc import Sequence

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

WIDTH, HEIGHT = 2.6, 1.0  # inches
Points = Sequence[tuple[float, float]]
INK, SOFT, LINE = "#0b57a4", "#5b6570", "#dfe3e8"
NOTHING = dict.fromkeys(["Date", "Creator", "Format", "Type"])


def over_time(points: Points, span: tuple[float, float], label: str, form: str, least: float) -> str:
    """Return the SVG of a line through points (seconds, value), from span[0] to span[1].

    form: a format string for values. least: the least range of the vertical axis.
    """
    times, values = zip(*points, strict=True)
    low, high = min(values), max(values)
    middle = (low + high) / 2
    half = max(high - low, least) * 0.65
    margin = (span[1] - span[0]) * 0.04
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "mynn-pi", "font.size": 7.5}):
        figure = Figure(figsize=(WIDTH, HEIGHT))
        axes = figure.add_axes((0.19, 0.24, 0.74, 0.68))
        axes.plot(times, values, color=INK, linewidth=1.2)
        axes.plot(times, values, linestyle="none", marker="o", markersize=2, color=INK)
        axes.plot(times[-1:], values[-1:], linestyle="none", marker="o", markersize=4.5, color=INK)
        axes.set_ylim(middle - half, middle + half)
        axes.yaxis.set_major_locator(MaxNLocator(2))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: form.format(value)))
        axes.xaxis.set_major_locator(FixedLocator(span))
        axes.set_xlim(span[0] - margin, span[1] + margin)
        hours = span[1] - span[0] < 86400
        axes.xaxis.set_major_formatter(
            FuncFormatter(lambda when, _: time.strftime("%H:%M" if hours else "%-d %b", time.localtime(when)))
        )
        axes.grid(axis="y", color=LINE, linewidth=0.6)
        axes.tick_params(length=0, labelcolor=SOFT, pad=3)
        for name, spine in axes.spines.items():
            spine.set_visible(name == "bottom")
            spine.set_color(LINE)
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata=NOTHING, transparent=True)
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :]
    return svg.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)
