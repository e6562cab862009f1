"""The ladder: each accuracy that the blog of 2016 reports for this network, beside our mean over several seeds.

The blog's figures are each from the best single run, so most of our means are a little lower.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mynn.experiments.sweep import Results, Run, Setting, plots, runs

MANY, FEW = 10, 3  # seeds; few for slow runs


@dataclass(frozen=True)
class Rung:
    """A figure of the blog: setting, epochs, our number of seeds, and the accuracy (0..1) that the blog reports."""

    setting: Setting
    epochs: int
    seeds: int
    blog: float


RUNGS = (
    Rung(Setting(100, 0.3), 1, MANY, 0.947),
    Rung(Setting(100, 0.2), 1, MANY, 0.953),
    Rung(Setting(100, 0.2), 2, MANY, 0.958),
    Rung(Setting(100, 0.2), 7, MANY, 0.963),
    Rung(Setting(100, 0.1), 5, MANY, 0.969),
    Rung(Setting(5, 0.1), 5, MANY, 0.70),
    Rung(Setting(5, 0.3), 5, MANY, 0.70),
    Rung(Setting(100, 0.1), 5, MANY, 0.967),
    Rung(Setting(200, 0.1), 5, MANY, 0.975),
    Rung(Setting(500, 0.1), 5, MANY, 0.976),
    Rung(Setting(200, 0.01, 10), 5, FEW, 0.975),
    Rung(Setting(200, 0.01, 10), 10, FEW, 0.979),
)

# The blog's four plots: settings, epochs, seeds, index of the first epoch drawn.
PLOTS = (
    ([Setting(100, rate) for rate in (0.1, 0.2, 0.3)], 20, MANY, 0),
    ([Setting(100, rate) for rate in (0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)], 1, MANY, -1),
    ([Setting(hidden, 0.1) for hidden in (5, 10, 25, 50, 100, 200, 500)], 5, MANY, -1),
    ([Setting(200, 0.01, angle) for angle in (0, 5, 10, 15, 20, 30, 45)], 10, FEW, -1),
)


def ladder() -> list[Run]:
    """Return all runs for the table and the plots."""
    of_table = [run for rung in RUNGS for run in runs([rung.setting], rung.epochs, rung.seeds)]
    return of_table + [run for settings, epochs, seeds, _ in PLOTS for run in runs(settings, epochs, seeds)]


def rows(results: Results) -> list[dict[str, Any]]:
    """Return a row per rung: what was trained, our statistics and the blog's figure."""
    rows = []
    for rung in RUNGS:
        scores = results.of(rung.setting, rung.epochs)[: rung.seeds, -1]
        what = f"{rung.setting}, {rung.epochs} epoch{'s' * (rung.epochs > 1)}"
        ours = {"mean": scores.mean(), "sd": scores.std(ddof=1), "least": scores.min(), "most": scores.max()}
        rows.append({"what": what, "seeds": len(scores), "blog": rung.blog, **ours})
    return rows


def table(results: Results) -> str:
    """Return the rungs as a text table: mean, spread, the blog's figure and its distance from the mean."""
    lines = [f"{'':<64} {'here':>7} {'± sd':>6} {'seeds':>6} {'blog':>6} {'less':>6}   least to most"]
    for row in rows(results):
        lines.append(
            f"{row['what']:<64} {row['mean']:>7.2%} {100 * row['sd']:>6.2f} {row['seeds']:>6} {row['blog']:>6.1%} "
            f"{100 * (row['blog'] - row['mean']):>6.2f}   {row['least']:.2%} to {row['most']:.2%}"
        )
    lines += [
        "",
        "'less' is by how many percentage points the mean is less than the blog's figure. The blog's is of one run,",
        "and of several that were tried the one worth telling; of ours the best seed is the last column's second.",
    ]
    return "\n".join(lines)


def draw(results: Results, folder: Path) -> None:
    """Save our versions of the blog's four plots, with the spread, in the folder."""
    for settings, epochs, _, first in PLOTS:
        plots({one: results.of(one, epochs)[:, first:] for one in settings}, folder, epochs)
