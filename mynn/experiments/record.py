"""The best that this network can do: three layers, the sigmoid, one example at a time, and four ideas besides.

- New digits for free: every digit is distorted afresh in each epoch (distort.py), so that none is learnt by heart.
- The learning rate falls, by the same factor from epoch to epoch: great steps first, then small ones.
- The rule "cross-entropy" (network.py), by which a confident mistake is corrected soonest.
- First weights of one size, however many hidden nodes there are. The book's become smaller with every node, and each
  of two thousand hears so little at first that all of them send on about 0.5.

All choices were made on the last 5,000 of the training digits, which were kept back for that (`held_out`); the test
set was asked when they had been made.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mynn.distort import Distortion
from mynn.errors import DataError
from mynn.mnist import LABELS, PIXELS, Examples
from mynn.network import NeuralNetwork

HELD_OUT = 5000
_BLOCK = 1000  # digits distorted at a time


@dataclass(frozen=True)
class Recipe:
    """How a network is trained.

    `first_rate`, `last_rate`  where the learning rate begins, and where it ends
    `spread`                   the standard deviation of the first weights between inputs and hidden nodes. A digit's
                               inputs have a length of about 9 (the root of the sum of their squares), so with 0.11
                               what first reaches a hidden node is about 1, either way: there the sigmoid bends
    """

    hidden_nodes: int
    epochs: int
    first_rate: float = 0.05
    last_rate: float = 0.001
    spread: float = 0.11
    distortion: Distortion = field(default_factory=Distortion)

    def rate(self, epoch: int) -> float:
        """Return the learning rate of an epoch (0 is the first)."""
        part = epoch / max(1, self.epochs - 1)
        return float(self.first_rate * (self.last_rate / self.first_rate) ** part)


RECORD = Recipe(2000, 120)
OVERNIGHT = Recipe(300, 40)


def held_out(training: Examples) -> tuple[Examples, Examples]:
    """Return the training set without its last 5,000, and those."""
    if len(training) <= HELD_OUT:
        raise DataError(f"{HELD_OUT} of {len(training)} digits cannot be held out; use the whole of MNIST")
    return training[:-HELD_OUT], training[-HELD_OUT:]


def claim(folder: Path, recipe: Recipe, count: int) -> None:
    """Make a folder for the networks of this recipe and so many digits; if it has others in it, it is a DataError."""
    ours, note = f"{recipe}, {count} digits\n", folder / "recipe.txt"
    folder.mkdir(parents=True, exist_ok=True)
    theirs = note.read_text(encoding="utf-8") if note.exists() else ""
    if theirs != ours and (theirs or any(folder.glob("seed-*.npz"))):
        raise DataError(f"{folder}: this folder has networks of another recipe; choose another, or remove this one")
    note.write_text(ours, encoding="utf-8")


def train(
    recipe: Recipe, seed: int, training: Examples, folder: Path, progress: Callable[[int, int], object]
) -> NeuralNetwork:
    """Return the network that the recipe makes.

    It is saved in the folder after each epoch, and interrupted training resumes from there. `progress` is
    called now and then with how many examples are done, and how many there will be.
    """

    def kept(epochs: int | str) -> str:
        return f"seed-{seed}-epoch-{epochs}.npz"

    count, total = len(training), recipe.epochs * len(training)
    begun = max((int(path.stem.rpartition("-")[2]) for path in folder.glob(kept("*"))), default=0)
    if begun:
        network = NeuralNetwork.load(folder / kept(begun))
    else:
        sizes = (PIXELS, recipe.hidden_nodes, LABELS)
        network = NeuralNetwork(*sizes, recipe.first_rate, seed=seed, rule="cross-entropy", dtype=np.float32)
        network.wih *= np.float32(recipe.spread * recipe.hidden_nodes**0.5)
    progress(begun * count, total)
    for epoch in range(begun, recipe.epochs):
        random = np.random.default_rng([seed, epoch])  # of this epoch alone: nothing else need be kept
        network.learning_rate = recipe.rate(epoch)
        order = random.permutation(count)
        for first in range(0, count, _BLOCK):
            progress(epoch * count + first, total)
            some = training[order[first : first + _BLOCK]]
            network.fit(Examples(some.labels, recipe.distortion(some.pixels, random)))
        network.save(folder / kept(epoch + 1))
        (folder / kept(epoch)).unlink(missing_ok=True)
        progress((epoch + 1) * count, total)
    return network
