"""Training recipes for the best accuracy of this network: three layers, sigmoid, one example at a time, and six ideas.

- Normalisation: each digit is made upright and scaled to one size (normalise.py).
- Augmentation: each digit is distorted afresh each time (distort.py), so that none is learnt by heart.
- Cosine decay of the learning rate: large steps for long, then small ones.
- Hard examples: each epoch first goes through all digits, and trains on those that the network is not sure of and on
  one in five of the others. Then it trains on the unsure ones several times more.
- The rule "cross-entropy" (network.py), which corrects confident mistakes soonest.
- Initial weights (inputs to hidden nodes) of the same size for any number of hidden nodes. The book's shrink with that
  number: of a thousand hidden nodes, all would start with outputs near 0.5.

A committee averages the outputs of several such networks; the strongest output is the answer.
Networks that differ only in their initial weights err on the same digits, so thirty are hardly better than five.
Here each member normalises digits to its own width and height. (U. Meier, D. C. Ciresan, L. M. Gambardella,
J. Schmidhuber, "Better digit recognition with a committee of simple neural nets", 2011.)

All choices were made on held-out training digits (`Digits.held_out`). The test digits were used to measure the four
recipes here and about twelve abandoned ones, but not to choose among them.
docs/develop/measurements-network.md lists what was tried.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from mynn.arrays import Bytes, Floats
from mynn.distort import Distortion
from mynn.experiments.jobs import Digits, go_on, side_by_side
from mynn.mnist import LABELS, PIXELS, Examples
from mynn.network import NeuralNetwork
from mynn.normalise import Normalisation

_BLOCK = 1000  # digits distorted or queried at a time
_SURE = 0.1  # a network is sure of a digit if no output is farther from its target, 0 or 1
_OTHERS = 0.2  # fraction of the sure digits to train on all the same


@dataclass(frozen=True)
class Recipe:
    """How a network is trained.

    `first_rate`, `last_rate`  the initial and the final learning rate
    `spread`                   the standard deviation of the initial weights from inputs to hidden nodes. The input
                               vectors have a norm of about 9, so with 0.11 hidden nodes start with sums of about
                               ±1, where the sigmoid bends
    `distortion`               the distortion of digits, random each time
    `normalisation`            applied before the distortion; the network reads only normalised digits
    `again`                    further passes per epoch over the digits that the network was not sure of
    `calm`                     the number of last epochs with less and less distortion
    """

    hidden_nodes: int
    epochs: int
    first_rate: float = 0.05
    last_rate: float = 0.0002
    spread: float = 0.11
    distortion: Distortion = field(default_factory=Distortion)
    normalisation: Normalisation = field(default_factory=lambda: Normalisation(1.0, 20.0, 22.0))
    again: int = 8
    calm: int = 0

    def rate(self, epochs: float) -> float:
        """Return the learning rate after this many epochs, which may be fractional."""
        part = (1 + np.cos(np.pi * epochs / self.epochs)) / 2
        return float(self.last_rate + (self.first_rate - self.last_rate) * part)

    def normalised(self, examples: Examples) -> Examples:
        """Return the examples normalised, for testing."""
        return Examples(examples.labels, self.normalisation(examples.pixels))

    def distorted(self, examples: Examples, frames: Floats, random: np.random.Generator, epoch: int) -> Examples:
        """Return the examples normalised by their frames and newly distorted, for training in this epoch."""
        distortion = self.distortion.weaker(min(1.0, (self.epochs - epoch) / (self.calm + 1)))
        return Examples(examples.labels, distortion(examples.pixels, random, frames))


RECORD = Recipe(800, 50)
OVERNIGHT = replace(RECORD, hidden_nodes=300, epochs=30)
SPRINT = replace(OVERNIGHT, epochs=4, first_rate=0.07, last_rate=0.001, again=4, calm=1)
# Width and height of upright digits for each member, pixels; None: unchanged.
SIZES = ((None, None), (18.0, None), (20.0, None), (23.0, None), (18.0, 25.0), (20.0, 22.0))
COMMITTEE = tuple(Recipe(600, 30, normalisation=Normalisation(1.0, *size)) for size in SIZES)
# Experiment -> recipes of the networks that vote together.
KINDS = {"record": (RECORD,), "overnight": (OVERNIGHT,), "sprint": (SPRINT,), "committee": COMMITTEE}


@dataclass(frozen=True)
class Epoch:
    """A job: train a network for one epoch. `number` counts from 0; `network` is None at 0."""

    recipe: Recipe
    seed: int
    number: int
    network: NeuralNetwork | None
    digits: Digits


@dataclass(frozen=True)
class Trained:
    """A trained network with its test: the digits' labels, (n,), and the network's outputs, (n, 10)."""

    network: NeuralNetwork
    labels: Bytes
    outputs: Floats

    def accuracy(self) -> float:
        """Return the accuracy, 0..1."""
        return together([self])


def together(members: Sequence[Trained]) -> float:
    """Return the accuracy (0..1) of the members' averaged outputs."""
    outputs = np.mean([one.outputs for one in members], axis=0)
    return float((outputs.argmax(axis=1) == members[0].labels).mean())


def train(
    recipes: Mapping[int, Recipe],
    digits: Digits,
    folder: Path,
    progress: Callable[[int, int], object],
    executor: Executor | None = None,
) -> dict[int, Trained]:
    """Train a network for each seed by its recipe, and return the networks by seed.

    Each network is saved in the folder after each epoch, and an interrupted training resumes from there. `progress` is
    called with the number of epochs done and the total. An executor trains elsewhere, such as on a class of Pis
    (cluster.py). Each epoch is a job, so the loss of a computer costs an epoch at most.
    """
    folder.mkdir(parents=True, exist_ok=True)
    jobs = [_next(recipe, seed, digits, folder) for seed, recipe in recipes.items()]
    done, total = sum(job.number for job in jobs), sum(recipe.epochs for recipe in recipes.values())
    trained: dict[int, Trained] = {}
    progress(done, total)
    for job, result in side_by_side(_epoch, jobs, executor):
        if job.number < job.recipe.epochs:
            result.network.save(folder / _name(job.seed, job.number + 1))
            (folder / _name(job.seed, job.number)).unlink(missing_ok=True)
            done += 1
            progress(done, total)
        if job.number + 1 < job.recipe.epochs:
            jobs.append(Epoch(job.recipe, job.seed, job.number + 1, result.network, digits))
        else:
            trained[job.seed] = result
    return {seed: trained[seed] for seed in recipes}


def _name(seed: int, epochs: int | str) -> str:
    return f"seed-{seed}-epoch-{epochs}.npz"


def _next(recipe: Recipe, seed: int, digits: Digits, folder: Path) -> Epoch:
    """Return the first job that is not done; if all are done, a job that only tests the network."""
    numbers = (path.stem.rpartition("-")[2] for path in folder.glob(_name(seed, "*")))
    epochs = max((int(number) for number in numbers if re.fullmatch("[0-9]{1,9}", number)), default=0)
    network = NeuralNetwork.load(folder / _name(seed, epochs)) if epochs else None
    return Epoch(recipe, seed, epochs, network, digits)


def _epoch(job: Epoch) -> Trained:
    """Train for one epoch, unless all are done; test the network after the last one."""
    recipe = job.recipe
    training, testing = job.digits.read()
    network = deepcopy(job.network) or _untrained(recipe, job.seed)  # a copy: the job may be repeated
    if job.number < recipe.epochs:
        frames = recipe.normalisation.frames(training.pixels)
        random = np.random.default_rng([job.seed, job.number])  # seeded per epoch: no generator state to save
        order, unsure = random.permutation(len(training)), np.zeros(len(training), bool)
        for turn in range(1 + recipe.again):
            for first in range(0, len(order), _BLOCK):
                go_on()
                network.learning_rate = recipe.rate(job.number + (turn + first / len(order)) / (1 + recipe.again))
                these = order[first : first + _BLOCK]
                examples = recipe.distorted(training[these], frames[these], random, job.number)
                if turn == 0:
                    off = np.abs(network.outputs(examples) - np.eye(LABELS)[examples.labels]).max(axis=1)
                    unsure[these] = off > _SURE
                    examples = examples[unsure[these] | (random.random(len(these)) < _OTHERS)]
                network.fit(examples)
            order = random.permutation(np.flatnonzero(unsure))
    outputs, tested = np.empty((len(testing), LABELS), np.float32), job.number + 1 >= recipe.epochs
    for first in range(0, len(testing) if tested else 0, _BLOCK):
        go_on()
        outputs[first : first + _BLOCK] = network.outputs(recipe.normalised(testing[first : first + _BLOCK]))
    return Trained(network, np.array(testing.labels), outputs)


def _untrained(recipe: Recipe, seed: int) -> NeuralNetwork:
    sizes = (PIXELS, recipe.hidden_nodes, LABELS)
    network = NeuralNetwork(*sizes, recipe.first_rate, seed=seed, rule="cross-entropy", dtype=np.float32)
    network.wih *= np.float32(recipe.spread * recipe.hidden_nodes**0.5)
    return network
