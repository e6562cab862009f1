"""A committee: networks that read each digit together. Their outputs are averaged, and the strongest is the answer.

Networks that differ only in their first weights err on the same digits, so thirty know hardly more than five. Here
each member sees the digits in a way of its own: brought upright, and then to a width and a height (normalise.py).
Otherwise it is trained as `record` is. (U. Meier, D. C. Ciresan, L. M. Gambardella, J. Schmidhuber, "Better digit
recognition with a committee of simple neural nets", 2011.)

All choices were made on the last of the training digits, held out; docs/develop/measurements.md has what was tried.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mynn.arrays import Bytes, Floats
from mynn.experiments.jobs import Digits, GoOn, side_by_side
from mynn.experiments.record import RECORD, Recipe, train_each
from mynn.mnist import LABELS
from mynn.network import NeuralNetwork
from mynn.normalise import Normalisation

# Widths and heights of upright digits, in pixels; None for as they are.
SIZES = ((None, None), (18.0, None), (20.0, None), (23.0, None), (18.0, 25.0), (20.0, 22.0))
UPRIGHT = tuple(Normalisation(1.0, width, height) for width, height in SIZES)

_BLOCK = 1000  # digits asked at a time


@dataclass(frozen=True)
class Committee:
    """One recipe for all members, and what each brings digits to."""

    recipe: Recipe
    normalisations: tuple[Normalisation, ...]

    def recipes(self, number: int) -> dict[int, Recipe]:
        """Return by seed the recipes of a committee's members; the first committee has number 0, and others differ."""
        first = number * len(self.normalisations)
        return {seed: replace(self.recipe, normalisation=one) for seed, one in enumerate(self.normalisations, first)}


NIGHT = Committee(Recipe(600, 120), UPRIGHT)
LARGE = Committee(RECORD, 3 * UPRIGHT)
COMMITTEES = {"night": NIGHT, "large": LARGE}


@dataclass(frozen=True)
class Result:
    """What a committee said of the digits that it was tested on.

    `labels`   which digits they are, shape (n,)
    `outputs`  what each member said, shape (members, n, 10)
    """

    labels: Bytes
    outputs: Floats

    def accuracies(self) -> list[float]:
        """Return each member's accuracy (0..1)."""
        return [self._accuracy(outputs) for outputs in self.outputs]

    def together(self) -> float:
        """Return the accuracy (0..1) of the vote."""
        return self._accuracy(self.outputs.mean(axis=0))

    def _accuracy(self, outputs: Floats) -> float:
        return float((outputs.argmax(axis=1) == self.labels).mean())


@dataclass(frozen=True)
class Question:
    """A job: ask a network for its outputs."""

    seed: int
    recipe: Recipe
    network: NeuralNetwork
    digits: Digits


def convene(
    committee: Committee,
    numbers: Sequence[int],
    digits: Digits,
    folder: Path,
    progress: Callable[[int, int], object],
    executor: Executor | None = None,
) -> list[Result]:
    """Train committees of these numbers, and return what each said.

    Each network is saved in the folder after each epoch, and interrupted training resumes from there; `progress` and
    `executor` are as for `record.train`.
    """
    committees = [committee.recipes(number) for number in numbers]
    recipes = {seed: recipe for one in committees for seed, recipe in one.items()}
    trained = train_each(recipes, digits, folder, progress, executor)
    questions = [Question(seed, recipe, trained[seed][0], digits) for seed, recipe in recipes.items()]
    said = {question.seed: answer for question, answer in side_by_side(_ask, questions, executor)}
    return [Result(said[min(one)][0], np.array([said[seed][1] for seed in one])) for one in committees]


def _ask(job: Question, go_on: GoOn) -> tuple[Bytes, Floats]:
    """Do a job: return the digits' labels, (n,), and the network's outputs, (n, 10)."""
    _, testing = job.digits.read()
    outputs = np.empty((len(testing), LABELS), np.float32)
    for first in range(0, len(testing), _BLOCK):
        go_on()
        some = slice(first, first + _BLOCK)
        outputs[some] = job.network.outputs(job.recipe.normalised(testing[some]))
    return np.array(testing.labels), outputs
