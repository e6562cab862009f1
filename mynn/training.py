"""Training and testing on many examples: by the compiled kernel where it serves, else one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mynn import kernel, network  # network.py needs this file first, and is looked into only later
from mynn.arrays import Floats, Integers
from mynn.mnist import Examples, scale, targets_for

Pair = tuple[ArrayLike, int]  # inputs, shape (input_nodes,), and their label
Block = tuple[NDArray[Any], Integers]  # rows, shape (n, input_nodes), and their labels, shape (n,)

_BY_KERNEL, _BY_NUMPY = 2000, 100  # examples between two signs of progress
_STACKED = 1000  # examples copied at a time, where they are not an array already
_INPUTS = scale(np.arange(256, dtype=np.uint8))  # (256,): the input that each pixel becomes


class Training:
    """What a `NeuralNetwork` does with many examples: `Examples`, or any sequence of (inputs, label)."""

    wih: Floats
    who: Floats
    learning_rate: float
    rule: str

    def query(self, inputs: ArrayLike) -> Floats:
        """Return the outputs: see network.py."""
        raise NotImplementedError

    def train(self, inputs: ArrayLike, targets: ArrayLike) -> None:
        """Learn from one example: see network.py."""
        raise NotImplementedError

    def fit(
        self,
        examples: Examples | Sequence[Pair],
        *,
        epochs: int = 1,
        shuffle: bool = False,
        seed: int | None = None,
        progress: Callable[[int, int], object] | None = None,
    ) -> None:
        """Train on each of the examples, in their order, as many times over as there are epochs.

        shuffle   take them in another order each epoch; the same seed gives the same orders
        progress  is called now and then with how many examples are done, and how many there will be; the
                  network may be asked or scored then
        """
        random = np.random.default_rng(seed)
        count, size = len(examples), _BY_KERNEL if self._kernel_serves() else _BY_NUMPY
        for epoch in range(epochs):
            order = random.permutation(count) if shuffle else range(count)
            done = epoch * count
            for rows, labels in _in_order(examples, order, size):
                self._learn(rows, labels)
                done += len(labels)
                if progress:
                    progress(done, epochs * count)

    def predict(self, examples: Iterable[Pair]) -> Integers:
        """Return the answer to each example, shape (n,): the number of its strongest output."""
        return np.concatenate([np.empty(0, np.uint8), *(self._answers(rows) for rows, _ in _blocks(examples))])

    def confusion(self, examples: Iterable[Pair]) -> Integers:
        """Return how often each label (the row) got each answer (the column): (output_nodes, output_nodes)."""
        counts = np.zeros((len(self.who), len(self.who)), np.int64)
        for rows, labels in _blocks(examples):
            np.add.at(counts, (labels, self._answers(rows)), 1)
        return counts

    def score(self, examples: Iterable[Pair]) -> float:
        """Return the fraction (0..1) of the examples that are recognised; none at all is a ValueError."""
        right = [self._answers(rows) == labels for rows, labels in _blocks(examples)]
        if not right:
            raise ValueError("there is nothing to score: give at least one example")
        return float(np.concatenate(right).mean())

    def _kernel_serves(self) -> bool:
        """Whether the compiled kernel can stand in for `train` and `query`: not for a student's own."""
        ours = network.NeuralNetwork
        return (type(self).train, type(self).query) == (ours.train, ours.query) and kernel.fits(self.wih, self.who)

    def _learn(self, rows: NDArray[Any], labels: Integers) -> None:
        """Train on rows, (n, input_nodes), of inputs or (as uint8) pixels."""
        if self._kernel_serves():
            rule = network.RULES.index(self.rule)
            kernel.train(self.wih, self.who, self.learning_rate, rule, rows, labels, _INPUTS)
            return
        for row, label in zip(rows, labels, strict=True):
            self.train(_inputs(row), targets_for(label, len(self.who)))

    def _answers(self, rows: NDArray[Any]) -> Integers:
        """Return the number of the strongest output for each of the rows: see `_learn`."""
        if self._kernel_serves():
            return kernel.answers(self.wih, self.who, rows, _INPUTS)
        return np.array([np.argmax(self.query(_inputs(row))) for row in rows], np.intp)


def _in_order(examples: Examples | Sequence[Pair], order: range | Integers, size: int) -> Iterator[Block]:
    """Give the examples in this order, as blocks of that size: see `_blocks`."""
    for first in range(0, len(order), size):
        indices = order[first : first + size]
        if isinstance(examples, Examples):
            # those that lie together need not be copied
            which = slice(indices.start, indices.stop) if isinstance(indices, range) else indices
            yield examples.pixels[which], examples.labels[which]
        else:
            yield _stacked([examples[index] for index in indices])


def _blocks(examples: Iterable[Pair]) -> Iterator[Block]:
    """Give the examples as blocks of (rows, labels).

    The rows of `Examples` are pixels, (n, 784), one byte each; those of other pairs are inputs, (n, inputs).
    """
    if isinstance(examples, Examples):
        if len(examples):
            yield examples.pixels, examples.labels
        return
    pairs = iter(examples)
    while block := list(islice(pairs, _STACKED)):
        yield _stacked(block)


def _stacked(pairs: list[Pair]) -> Block:
    return np.array([inputs for inputs, _ in pairs], np.float64), np.array([label for _, label in pairs], np.intp)


def _inputs(row: NDArray[Any]) -> NDArray[Any]:
    return scale(row) if row.dtype == np.uint8 else row
