"""Sweeps: the same training under several settings, each with several seeds, since one run may be luck.

Each run's result is written into a file as soon as it is done. So an interrupted sweep resumes where it was, and one
that asks for more runs makes only those.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from pathlib import Path

import numpy as np

from mynn.arrays import Floats
from mynn.errors import DataError
from mynn.experiments.jobs import Digits, go_on, side_by_side
from mynn.files import write_text
from mynn.mnist import LABELS, PIXELS, Examples
from mynn.network import RULES, NeuralNetwork

AXES = {
    "hidden_nodes": "hidden nodes",
    "learning_rate": "learning rate",
    "angle": "digits rotated by so many degrees each way",
}

DTYPE = np.float32  # they read as well as in float64, and are trained in two thirds of the time

_BLOCK = 2000  # digits rotated at a time, to save memory
_one_at_a_time = threading.Lock()  # for whoever reads digits


@dataclass(frozen=True)
class Setting:
    """What is the same in all runs of a kind, but for the seed.

    `angle`  each digit is trained on three times an epoch: as it was written, and rotated by so many degrees each way;
             0 for once, as it was written
    """

    hidden_nodes: int
    learning_rate: float
    angle: float = 0.0
    rule: str = "book"

    def __str__(self) -> str:
        """Return it in words."""
        return self.words()

    def words(self, without: str = "") -> str:
        """Return it in words, without the field of this name."""
        parts = {
            "hidden_nodes": f"{self.hidden_nodes} hidden nodes",
            "learning_rate": f"learning rate {self.learning_rate:g}",
            "angle": f"rotated by ±{self.angle:g}°" if self.angle else "",
            "rule": f"rule {self.rule}" if self.rule != RULES[0] else "",
        }
        return ", ".join(part for name, part in parts.items() if part and name != without)


@dataclass(frozen=True)
class Run:
    """One training: a setting, for how many epochs, with which seed."""

    setting: Setting
    epochs: int
    seed: int

    def cost(self) -> int:
        """Return about how long it takes, next to other runs."""
        return self.epochs * (self.setting.hidden_nodes + 20) * (3 if self.setting.angle else 1)


def runs(settings: Iterable[Setting], epochs: int, seeds: int) -> list[Run]:
    """Return the runs of all settings with seeds 0, 1 and so on."""
    return [Run(setting, epochs, seed) for setting, seed in product(settings, range(seeds))]


class Results:
    """The accuracies (0..1) after each epoch of the runs that are done, in a file of JSON."""

    def __init__(self, path: Path, digits: Digits) -> None:
        """Read the file, if it is there; runs on another number of digits are kept in it, and not given.

        A file that is something else is a DataError.
        """
        self.path, self.digits = path, f"{digits.count or 'all'} digits{', held out' * digits.held_out}"
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            scores = json.loads(path.read_bytes()) if path.exists() else {}
            self._scores = {str(name): [float(score) for score in some] for name, some in scores.items()}
        except (ValueError, TypeError, AttributeError) as error:
            raise DataError(f"{path}: this file has no results of experiments; choose another folder") from error

    def has(self, run: Run) -> bool:
        """Whether this run is done, or a longer one is."""
        return len(self._scores.get(self._name(run.setting, run.seed), ())) >= run.epochs

    def add(self, run: Run, scores: Sequence[float]) -> None:
        """Record a run's result: the file is written anew, whole or not at all."""
        self._scores[self._name(run.setting, run.seed)] = list(scores)
        write_text(self.path, json.dumps(self._scores, indent=1))

    def of(self, setting: Setting, epochs: int) -> Floats:
        """Return the accuracies of the runs of at least so many epochs, by seed: shape (seeds, epochs)."""
        begin = self._name(setting, "")
        seeds = [int(name.removeprefix(begin)) for name in self._scores if name.startswith(begin)]  # as they came in
        scores = [self._scores[self._name(setting, seed)][:epochs] for seed in sorted(seeds)]
        return np.array([some for some in scores if len(some) == epochs], np.float64).reshape(-1, epochs)

    def _name(self, setting: Setting, seed: int | str) -> str:
        return f"{self.digits}, {setting}, seed {seed}"


def sweep(
    wanted: Iterable[Run],
    digits: Digits,
    results: Results,
    progress: Callable[[int, int], object],
    executor: Executor | None = None,
) -> None:
    """Make the runs that `results` has not, on all processors; `progress` is told how much is done, and the total.

    executor: makes them elsewhere, such as on a class of Pis (cluster.py). Ctrl-C ends it; unfinished runs are lost,
    finished ones are kept.
    """
    by_length = sorted(wanted, key=lambda run: run.epochs)
    longest = {(run.setting, run.seed): run for run in by_length if not results.has(run)}
    left = sorted(longest.values(), key=lambda run: (run.setting.angle, run.cost()), reverse=True)
    total, done = sum(run.cost() for run in left), 0
    for (run, _), scores in side_by_side(_accuracies, [(run, digits) for run in left], executor):
        results.add(run, scores)
        done += run.cost()
        progress(done, total)


def plots(scores: Mapping[Setting, Floats], folder: Path, epochs: int) -> list[Path]:
    """Draw accuracies, (seeds, n) a setting, into the folder; return the pictures' paths.

    The last ones are those after so many epochs, and the others those before. There is one picture for each thing that
    was swept, with it on the x axis and a line for each combination of the others; and one over the epochs where there
    are several, or where nothing was swept.
    """
    from mynn.plotting import curves_to

    several = min(some.shape[1] for some in scores.values()) > 1
    pictures = []
    for name, x in AXES.items():
        values = sorted({getattr(one, name) for one in scores})
        if len(values) < 2:
            continue
        lines = {}
        for one in scores:
            others = [replace(one, **{name: value}) for value in values]
            runs = min(len(scores[other]) for other in others)
            lines[one.words(without=name)] = (values, np.array([scores[other][:runs, -1] for other in others]).T)
        same = [*lines] if len(lines) == 1 else []
        title = ", ".join([*same, f"{epochs} epoch{'s' * (epochs > 1)}"])
        pictures.append(curves_to(folder / f"{name}.png", lines, x=f"{x} ({title})", y="recognised"))
    if several or not pictures:
        lines = {str(one): (list(range(1, epochs + 1)), some) for one, some in scores.items()}
        pictures.append(curves_to(folder / "epochs.png", lines, x="epochs", y="recognised"))
    return pictures


def _accuracies(job: tuple[Run, Digits]) -> list[float]:
    """Return the accuracy after each epoch."""
    run, digits = job
    setting = run.setting
    with _one_at_a_time:
        training, testing = _read(digits, setting.angle)
    network = NeuralNetwork(
        *(PIXELS, setting.hidden_nodes, LABELS, setting.learning_rate),
        seed=run.seed,
        rule=setting.rule,
        dtype=DTYPE,
    )
    scores = []
    for _ in range(run.epochs):
        network.fit(training, progress=go_on)
        scores.append(network.score(testing))
    return scores


@lru_cache(maxsize=1)  # one set only: they are large
def _read(digits: Digits, angle: float) -> tuple[Examples, Examples]:
    """Return the digits to train on, rotated too, and those to test on."""
    training, testing = digits.read()
    return _rotated(training, angle), testing


def _rotated(examples: Examples, angle: float) -> Examples:
    """Return each digit as it was written, then rotated anticlockwise, then clockwise; or only as it was written."""
    if not angle:
        return examples
    from mynn.distort import rotated

    pixels = np.empty((len(examples), 3, PIXELS), np.uint8)
    for first in range(0, len(examples), _BLOCK):
        block = slice(first, first + _BLOCK)
        for place, degrees in enumerate((0, angle, -angle)):
            pixels[block, place] = rotated(examples[block], degrees).pixels
    return Examples(np.repeat(examples.labels, 3), pixels.reshape(-1, PIXELS))
