"""The best that this network can do: three layers, the sigmoid, one example at a time, and six ideas besides.

- Every digit is brought upright, and to one width (normalise.py).
- New digits for free: every digit is distorted afresh each time (distort.py), so that none is learnt by heart.
- The learning rate falls, along half a wave of a cosine: great steps for long, then small ones.
- It learns most from what it cannot do yet. In each epoch it looks at every digit, and learns from those that it is not
  sure of and from one in five of the others; then it goes through those that it was not sure of several times more.
- The rule "cross-entropy" (network.py), by which a confident mistake is corrected soonest.
- First weights of one size, however many hidden nodes there are. The book's become smaller with every node, and each
  of a thousand hears so little at first that all of them send on about 0.5.

In a committee, several such networks read each digit together: their outputs are averaged, and the strongest is the
answer. Networks that differ only in their first weights err on the same digits, so thirty know hardly more than five.
Here each member brings digits to a width and a height of its own. (U. Meier, D. C. Ciresan, L. M. Gambardella,
J. Schmidhuber, "Better digit recognition with a committee of simple neural nets", 2011.)

All choices were made on training digits that were kept back for that (`Digits.held_out`). The test digits were asked
about the four recipes here, and about twelve that have been given up, but decided nothing.
docs/develop/measurements-network.md says what was tried.
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
from mynn.errors import DataError
from mynn.experiments.jobs import Digits, go_on, side_by_side
from mynn.mnist import LABELS, PIXELS, Examples
from mynn.network import NeuralNetwork
from mynn.normalise import Normalisation

_BLOCK = 1000  # digits distorted, or asked for, at a time
_SURE = 0.1  # how far an output may be from 0, or for the label from 1, of a digit that a network is sure of
_OTHERS = 0.2  # the part of such digits that it learns from all the same


@dataclass(frozen=True)
class Recipe:
    """How a network is trained.

    `first_rate`, `last_rate`  where the learning rate begins, and where it ends
    `spread`                   the standard deviation of the first weights between inputs and hidden nodes. A digit's
                               inputs have a length of about 9 (the root of the sum of their squares), so with 0.11
                               what first reaches a hidden node is about 1, either way: there the sigmoid bends
    `distortion`               how digits are distorted, afresh each time
    `normalisation`            what digits are brought to before that; the network then reads only such digits
    `again`                    how many times more, in each epoch, it learns from the digits that it was not sure of
    `calm`                     the last epochs, in which digits are distorted less and less
    """

    hidden_nodes: int
    epochs: int
    first_rate: float = 0.05
    last_rate: float = 0.0002
    spread: float = 0.11
    distortion: Distortion = field(default_factory=Distortion)
    normalisation: Normalisation | None = None
    again: int = 8
    calm: int = 0

    def rate(self, epochs: float) -> float:
        """Return the learning rate after so many epochs."""
        part = (1 + np.cos(np.pi * epochs / self.epochs)) / 2
        return float(self.last_rate + (self.first_rate - self.last_rate) * part)

    def normalised(self, examples: Examples) -> Examples:
        """Return the examples as the network reads them."""
        if self.normalisation is None:
            return examples
        return Examples(examples.labels, self.normalisation(examples.pixels))

    def distorted(self, examples: Examples, random: np.random.Generator, epoch: int) -> Examples:
        """Return the examples as the network learns from them in this epoch, distorted afresh."""
        distortion = self.distortion.weaker(min(1.0, (self.epochs - epoch) / (self.calm + 1)))
        frames = None if self.normalisation is None else self.normalisation.frames(examples.pixels)
        return Examples(examples.labels, distortion(examples.pixels, random, frames))


RECORD = Recipe(800, 50, normalisation=Normalisation(1.0, 20.0, 22.0))
OVERNIGHT = replace(RECORD, hidden_nodes=300, epochs=30)
SPRINT = replace(OVERNIGHT, epochs=4, first_rate=0.07, last_rate=0.001, again=4, calm=1)
# Widths and heights of upright digits, in pixels; None for as they are.
SIZES = ((None, None), (18.0, None), (20.0, None), (23.0, None), (18.0, 25.0), (20.0, 22.0))
COMMITTEE = tuple(Recipe(600, 30, normalisation=Normalisation(1.0, *size)) for size in SIZES)
# By the experiment's name, the networks that read a digit together.
KINDS = {"record": (RECORD,), "overnight": (OVERNIGHT,), "sprint": (SPRINT,), "committee": COMMITTEE}


def claim(folder: Path, recipes: tuple[Recipe, ...]) -> None:
    """Make a folder for networks of these recipes; if it has others in it, it is a DataError."""
    ours, note = f"{recipes}\n", folder / "recipe.txt"
    folder.mkdir(parents=True, exist_ok=True)
    theirs = note.read_text(encoding="utf-8") if note.exists() else ""
    if theirs != ours and (theirs or any(folder.glob("seed-*.npz"))):
        raise DataError(f"{folder}: this folder has networks of another recipe; choose another, or remove this one")
    note.write_text(ours, encoding="utf-8")


@dataclass(frozen=True)
class Epoch:
    """A job: train a network for one epoch (0 is the first). Its network is none before the first."""

    recipe: Recipe
    seed: int
    number: int
    network: NeuralNetwork | None
    digits: Digits


@dataclass(frozen=True)
class Trained:
    """A trained network, and what it answered: which digits it was tested on, (n,), and its outputs, (n, 10)."""

    network: NeuralNetwork
    labels: Bytes
    outputs: Floats

    def accuracy(self) -> float:
        """Return the part (0..1) that it recognises."""
        return together([self])


def together(members: Sequence[Trained]) -> float:
    """Return the part (0..1) that the members' vote recognises."""
    outputs = np.mean([one.outputs for one in members], axis=0)
    return float((outputs.argmax(axis=1) == members[0].labels).mean())


def train(
    recipes: Mapping[int, Recipe],
    digits: Digits,
    folder: Path,
    progress: Callable[[int, int], object],
    executor: Executor | None = None,
) -> dict[int, Trained]:
    """Return by seed the network that its recipe makes.

    Each is saved in the folder after each epoch, and interrupted training resumes from there. `progress` is called with
    how many epochs are done, and how many there will be. An executor trains them elsewhere, such as on a class of Pis
    (cluster.py): each epoch is a job, so whatever computer is lost, an epoch is all that is lost.
    """
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
    """Return the first job that is not done; if all are, one that only tests the network."""
    numbers = (path.stem.rpartition("-")[2] for path in folder.glob(_name(seed, "*")))
    epochs = max((int(number) for number in numbers if re.fullmatch("[0-9]{1,9}", number)), default=0)
    network = NeuralNetwork.load(folder / _name(seed, epochs)) if epochs else None
    return Epoch(recipe, seed, epochs, network, digits)


def _epoch(job: Epoch) -> Trained:
    """Do a job."""
    recipe = job.recipe
    training, testing = job.digits.read()
    network = deepcopy(job.network) or _untrained(recipe, job.seed)  # the job itself may be done once more
    if job.number < recipe.epochs:
        random = np.random.default_rng([job.seed, job.number])  # of this epoch alone: nothing else need be kept
        order, unsure = random.permutation(len(training)), np.zeros(len(training), bool)
        for turn in range(1 + recipe.again):
            for first in range(0, len(order), _BLOCK):
                go_on()
                network.learning_rate = recipe.rate(job.number + (turn + first / len(order)) / (1 + recipe.again))
                these = order[first : first + _BLOCK]
                examples = recipe.distorted(training[these], random, job.number)
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
