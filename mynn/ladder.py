"""The ladder: each figure that the blog of 2016 reports for this network, and ours beside it, of several seeds.

The blog's are of one run each, and of the best that was seen; ours are means, so most of them lie a little below.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mynn.experiment import Floats, Results, Run, Setting, runs

MANY, FEW = 10, 3  # seeds; few for what takes long


@dataclass(frozen=True)
class Rung:
    """One figure: what is trained, for how many epochs, and the accuracy (0..1) that the blog reports."""

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

# The blog's four plots: what is on the x axis, with what else.
RATES = (0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
EPOCHS, EPOCHS_RATES = 20, (0.1, 0.2, 0.3)
HIDDEN = (5, 10, 25, 50, 100, 200, 500)
ANGLES = (0, 5, 10, 15, 20, 30, 45)


def ladder() -> list[Run]:
    """Return all runs that the table and the plots need."""
    return [
        *(run for rung in RUNGS for run in runs([rung.setting], rung.epochs, rung.seeds)),
        *runs([Setting(100, rate) for rate in RATES], 1, MANY),
        *runs([Setting(100, rate) for rate in EPOCHS_RATES], EPOCHS, MANY),
        *runs([Setting(hidden, 0.1) for hidden in HIDDEN], 5, MANY),
        *runs([Setting(200, 0.01, angle) for angle in ANGLES], 10, FEW),
    ]


def _rows(results: Results) -> Iterator[tuple[Rung, Floats]]:
    for rung in RUNGS:
        yield rung, results.of(rung.setting, rung.epochs)[: rung.seeds, -1]


def table(results: Results) -> str:
    """Return the rungs as lines of text: mean, spread, and how far the blog's figure is from them."""
    lines = [f"{'':<58} {'here':>7} {'± sd':>6} {'seeds':>6} {'blog':>6} {'less':>6}   least to most"]
    for rung, scores in _rows(results):
        what = f"{rung.setting}, {rung.epochs} epoch{'s' * (rung.epochs > 1)}"
        lines.append(
            f"{what:<58} {scores.mean():>7.2%} {100 * scores.std(ddof=1):>6.2f} {len(scores):>6} {rung.blog:>6.1%} "
            f"{100 * (rung.blog - scores.mean()):>6.2f}   {scores.min():.2%} to {scores.max():.2%}"
        )
    lines += [
        "",
        "'less' is by how many percentage points the mean is less than the blog's figure. The blog's is of one run,",
        "and of several that were tried the one worth telling; of ours the best seed is the last column's second.",
    ]
    return "\n".join(lines)


def csv_of(results: Results) -> str:
    """Return the rungs as CSV, with a header."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["hidden_nodes", "learning_rate", "angle", "epochs", "seeds", "mean", "sd", "blog"])
    for rung, scores in _rows(results):
        one = rung.setting
        figures = [f"{scores.mean():.4f}", f"{scores.std(ddof=1):.4f}", rung.blog]
        writer.writerow([one.hidden_nodes, one.learning_rate, one.angle, rung.epochs, len(scores), *figures])
    return text.getvalue()


def plots(results: Results, folder: Path) -> list[Path]:
    """Draw the blog's four plots, with the spread, into the folder; return the pictures' paths."""
    from mynn.plots import curves

    def last(settings: list[Setting], epochs: int) -> Floats:
        """The accuracies after the last epoch, (seeds, settings)."""
        return np.array([results.of(one, epochs)[:, -1] for one in settings]).T

    by_epoch = {
        f"learning rate {rate:g}": (np.arange(1, EPOCHS + 1), results.of(Setting(100, rate), EPOCHS))
        for rate in EPOCHS_RATES
    }
    turned = [Setting(200, 0.01, angle) for angle in ANGLES]
    drawn = {
        "learning_rate": curves(
            {"1 epoch, 100 hidden nodes": (RATES, last([Setting(100, rate) for rate in RATES], 1))},
            x="learning rate",
            y="part read rightly",
        ),
        "epochs": curves(by_epoch, x="epochs", y="part read rightly"),
        "hidden_nodes": curves(
            {"5 epochs, learning rate 0.1": (HIDDEN, last([Setting(nodes, 0.1) for nodes in HIDDEN], 5))},
            x="hidden nodes",
            y="part read rightly",
        ),
        "angle": curves(
            {f"{epochs} epochs, 200 hidden nodes": (ANGLES, last(turned, epochs)) for epochs in (5, 10)},
            x="how far the digits are turned, each way (degrees)",
            y="part read rightly",
        ),
    }
    paths = []
    for name, ax in drawn.items():
        paths.append(folder / f"{name}.png")
        ax.figure.savefig(paths[-1], dpi=120)
    return paths
