"""Parameter sweeps: train with each setting and several seeds, since a single run may be luck.

Each result is saved as soon as its run is done: an interrupted sweep resumes, and a larger one makes only the new
runs.
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

DTYPE = np.float32  # as accurate as float64, in two thirds of the training time

_BLOCK = 2000  # digits rotated at a time, to save memory
_one_at_a_time = threading.Lock()  # one thread fills the cache of _read, the others wait for it


@dataclass(frozen=True)
class Setting:
    """The parameters that runs with different seeds share.

    `angle`  degrees: each epoch trains on each digit as it is and rotated by so much each way; 0 for no rotation
    """

    hidden_nodes: int
    learning_rate: float
    angle: float = 0.0
    rule: str = "book"

    def __str__(self) -> str:
        """Return the setting in words."""
        return self.words()

    def words(self, without: str = "") -> str:
        """Return the setting in words, without the field `without`."""
        parts = {
            "hidden_nodes": f"{self.hidden_nodes} hidden nodes",
            "learning_rate": f"learning rate {self.learning_rate:g}",
            "angle": f"rotated by ±{self.angle:g}°" if self.angle else "",
            "rule": f"rule {self.rule}" if self.rule != RULES[0] else "",
        }
        return ", ".join(part for name, part in parts.items() if part and name != without)


@dataclass(frozen=True)
class Run:
    """One training: setting, epochs and seed."""

    setting: Setting
    epochs: int
    seed: int

    def cost(self) -> int:
        """Return the approximate duration, relative to other runs."""
        return self.epochs * (self.setting.hidden_nodes + 20) * (3 if self.setting.angle else 1)


def runs(settings: Iterable[Setting], epochs: int, seeds: int) -> list[Run]:
    """Return the runs of all settings with seeds 0, 1 and so on."""
    return [Run(setting, epochs, seed) for setting, seed in product(settings, range(seeds))]


class Results:
    """The accuracies (0..1) of finished runs after each epoch, saved in a JSON file."""

    def __init__(self, path: Path, digits: Digits) -> None:
        """Read the file, if it exists. Its runs on other digits stay in it but are not returned.

        Raises DataError if the file has other contents.
        """
        self.path, self.digits = path, f"{digits.count or 'all'} digits{', held out' * digits.held_out}"
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            scores = json.loads(path.read_bytes()) if path.exists() else {}
            self._scores = {str(name): [float(score) for score in some] for name, some in scores.items()}
        except (ValueError, TypeError, AttributeError) as error:
            raise DataError(f"{path}: this file has no results of experiments; choose another folder") from error

    def has(self, run: Run) -> bool:
        """Return whether this run, or a longer one of the same kind, is done."""
        return len(self._scores.get(self._name(run.setting, run.seed), ())) >= run.epochs

    def add(self, run: Run, scores: Sequence[float]) -> None:
        """Record a run's result: rewrite the file atomically."""
        self._scores[self._name(run.setting, run.seed)] = list(scores)
        write_text(self.path, json.dumps(self._scores, indent=1))

    def of(self, setting: Setting, epochs: int) -> Floats:
        """Return the accuracies of all runs with at least this many epochs, ordered by seed: shape (seeds, epochs)."""
        begin = self._name(setting, "")
        seeds = [int(name.removeprefix(begin)) for name in self._scores if name.startswith(begin)]  # unsorted
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
    """Make the runs missing in `results`, on all processors; call `progress` with the cost done and the total.

    executor: makes the runs elsewhere, such as on a class of Pis (cluster.py). Ctrl-C ends the sweep and loses only
    unfinished runs.
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
    """Plot accuracies, shape (seeds, n) per setting, into the folder; return the pictures' paths.

    The last column is the accuracy after `epochs` epochs, the others that of earlier epochs. Each swept parameter gets
    a picture, with the parameter on the x axis and a line per combination of the others. Another picture shows the
    accuracy over the epochs, if there are several columns or nothing was swept.
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
    """Train one network and return its accuracy after each epoch."""
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


@lru_cache(maxsize=1)  # only one: the arrays are large
def _read(digits: Digits, angle: float) -> tuple[Examples, Examples]:
    """Return the training digits, with their rotations, and the test digits."""
    training, testing = digits.read()
    return _rotated(training, angle), testing


def _rotated(examples: Examples, angle: float) -> Examples:
    """Return each digit three times: as it is, rotated anticlockwise and rotated clockwise; once if the angle is 0."""
    if not angle:
        return examples
    from mynn.distort import rotated

    pixels = np.empty((len(examples), 3, PIXELS), np.uint8)
    for first in range(0, len(examples), _BLOCK):
        block = slice(first, first + _BLOCK)
        for place, degrees in enumerate((0, angle, -angle)):
            pixels[block, place] = rotated(examples[block], degrees).pixels
    return Examples(np.repeat(examples.labels, 3), pixels.reshape(-1, PIXELS))
