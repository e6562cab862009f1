"""The ladder: each figure that the blog of 2016 reports for this network, and ours beside it, of several seeds.

The blog's are of one run each, and of the best that was seen; ours are means, so most of them lie a little below.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mynn.arrays import Floats
from mynn.experiments.sweep import Results, Run, Setting, plots, runs

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


def _scores(results: Results) -> Iterator[tuple[Rung, Floats]]:
    for rung in RUNGS:
        yield rung, results.of(rung.setting, rung.epochs)[: rung.seeds, -1]


def table(results: Results) -> str:
    """Return the rungs as lines of text: mean, spread, and how far the blog's figure is from them."""
    lines = [f"{'':<64} {'here':>7} {'± sd':>6} {'seeds':>6} {'blog':>6} {'less':>6}   least to most"]
    for rung, scores in _scores(results):
        what = f"{rung.setting}, {rung.epochs} epoch{'s' * (rung.epochs > 1)}"
        lines.append(
            f"{what:<64} {scores.mean():>7.2%} {100 * scores.std(ddof=1):>6.2f} {len(scores):>6} {rung.blog:>6.1%} "
            f"{100 * (rung.blog - scores.mean()):>6.2f}   {scores.min():.2%} to {scores.max():.2%}"
        )
    lines += [
        "",
        "'less' is by how many percentage points the mean is less than the blog's figure. The blog's is of one run,",
        "and of several that were tried the one worth telling; of ours the best seed is the last column's second.",
    ]
    return "\n".join(lines)


def rows(results: Results) -> list[dict[str, float]]:
    """Return the rungs as plain figures, a dictionary each."""
    return [
        {
            "hidden_nodes": rung.setting.hidden_nodes,
            "learning_rate": rung.setting.learning_rate,
            "angle": rung.setting.angle,
            "epochs": rung.epochs,
            "seeds": len(scores),
            "mean": round(float(scores.mean()), 4),
            "sd": round(float(scores.std(ddof=1)), 4),
            "blog": rung.blog,
        }
        for rung, scores in _scores(results)
    ]


def draw(results: Results, folder: Path) -> None:
    """Draw the blog's four plots, with the spread, into the folder."""

    def of(settings: Sequence[Setting], epochs: int, *, only_last: bool = True) -> dict[Setting, Floats]:
        return {one: results.of(one, epochs)[:, -1 if only_last else 0 :] for one in settings}

    plots(of([Setting(100, rate) for rate in EPOCHS_RATES], EPOCHS, only_last=False), folder, EPOCHS)
    plots(of([Setting(100, rate) for rate in RATES], 1), folder, 1)
    plots(of([Setting(nodes, 0.1) for nodes in HIDDEN], 5), folder, 5)
    plots(of([Setting(200, 0.01, angle) for angle in ANGLES], 10), folder, 10)
