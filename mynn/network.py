"""A neural network of three layers, one example at a time: the whole algorithm on two pages.

    inputs  --wih-->  hidden nodes  --who-->  outputs

Each node adds up what reaches it, every signal times the weight of its link, and squashes the sum
into 0..1 with the sigmoid. Training compares the outputs with the targets and moves every weight a
little, so that the same inputs would do a little better next time.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from mynn import kernel, storage
from mynn.data import Examples, Pair, blocks, pick, scale, targets_for

RULES = ("book", "gradient", "cross-entropy")  # kernel.c has them in this order

Floats = NDArray[np.floating[Any]]
Integers = NDArray[np.integer[Any]]


def sigmoid(sums: ArrayLike) -> Floats:
    """Squash sums of any size into 0..1, in the same shape: 1 / (1 + exp(-sums)).

    Written with tanh, which is the same curve and never overflows. (scipy.special.expit is it too, for
    24 MiB and, on a Pi Zero, some seconds each time that a notebook starts.)
    """
    curve: Floats = 0.5 + 0.5 * np.tanh(0.5 * np.asarray(sums))
    return curve


def logit(signals: Floats) -> Floats:
    """Undo the sigmoid: which sums give these signals (each between 0 and 1, and neither)."""
    sums: Floats = np.log(signals / (1.0 - signals))
    return sums


class NeuralNetwork:
    """Inputs, one hidden layer, outputs; trained one example at a time.

    `wih`            the weights from inputs to hidden nodes, shape (hidden_nodes, input_nodes)
    `who`            the weights from hidden nodes to outputs, shape (output_nodes, hidden_nodes)
    `learning_rate`  how far one example moves the weights
    `rule`           how the layers are blamed for the output errors `targets - outputs`

    "book", the rule of the book:

        hidden_errors = who.T @ output_errors

    that is, each output's error is handed back along its links in proportion to their weights.

    "gradient", the slope of the squared error, as calculus has it:

        hidden_errors = who.T @ (output_errors * outputs * (1 - outputs))

    The output's sum, not the output itself, is what a hidden node pulls at, and where an output is
    nearly 0 or 1 a pull hardly shows. The book leaves that factor out for this layer. So its hidden
    weights move farther, above all for outputs that are sure of something wrong, and not quite
    downhill; but roughly so, and it works: it is the rule behind the accuracies that the book and its
    blog report. The last layer learns in the same way under both.

    "cross-entropy", the slope of another measure of what is wrong, -log(outputs) where the target is
    "yes" and -log(1 - outputs) where it is "no" (shares of both where it lies between):

        hidden_errors = who.T @ output_errors

    as in the book, and the last layer leaves the factor `outputs * (1 - outputs)` out as well. What is
    surely wrong costs most by this measure, and is put right most quickly.
    """

    def __init__(
        self,
        input_nodes: int,
        hidden_nodes: int,
        output_nodes: int,
        learning_rate: float,
        *,
        seed: int | None = None,
        rule: str = "book",
        dtype: DTypeLike = np.float64,
    ) -> None:
        """Make an untrained network; the same seed makes the same network (None: a new one each time).

        The weights start at random around 0. The larger the layer they lead to, the smaller they are
        (standard deviation: one over the root of that layer's nodes). So has the book's program, which
        the blog's figures come from; its text goes by the layer that they come from. As np.float32 they
        keep 7 digits rather than 16, in half the memory.
        """
        if rule not in RULES:
            raise ValueError(f"there is no rule {rule!r}; take one of {', '.join(RULES)}")
        random = np.random.default_rng(seed)
        self.wih: Floats = random.normal(0.0, hidden_nodes**-0.5, (hidden_nodes, input_nodes)).astype(dtype)
        self.who: Floats = random.normal(0.0, output_nodes**-0.5, (output_nodes, hidden_nodes)).astype(dtype)
        self.learning_rate = learning_rate
        self.rule = rule

    def query(self, inputs: ArrayLike) -> Floats:
        """Ask the network: inputs, shape (input_nodes,), give outputs, shape (output_nodes,), each 0..1."""
        inputs = np.asarray(inputs, self.wih.dtype)  # (inputs,)
        hidden = sigmoid(self.wih @ inputs)  # (hidden, inputs) @ (inputs,) -> (hidden,)
        return sigmoid(self.who @ hidden)  # (outputs, hidden) @ (hidden,) -> (outputs,)

    def train(self, inputs: ArrayLike, targets: ArrayLike) -> None:
        """Learn from one example: inputs of shape (input_nodes,), targets of shape (output_nodes,).

        The sigmoid never reaches 0 or 1, so targets stay inside: 0.01 for "no" and 0.99 for "yes".
        """
        inputs = np.asarray(inputs, self.wih.dtype)  # (inputs,)
        hidden = sigmoid(self.wih @ inputs)  # (hidden, inputs) @ (inputs,) -> (hidden,)
        outputs = sigmoid(self.who @ hidden)  # (outputs, hidden) @ (hidden,) -> (outputs,)

        # x * (1 - x) is the slope of the sigmoid where its result is x: steep at 0.5, flat near 0 and 1.
        output_errors = np.asarray(targets, self.who.dtype) - outputs  # (outputs,)
        output_slopes = output_errors * outputs * (1.0 - outputs)  # (outputs,)
        if self.rule == "cross-entropy":
            output_slopes = output_errors
        blame = output_slopes if self.rule == "gradient" else output_errors  # (outputs,)
        hidden_errors = self.who.T @ blame  # (hidden, outputs) @ (outputs,) -> (hidden,)
        hidden_slopes = hidden_errors * hidden * (1.0 - hidden)  # (hidden,)

        # A weight moves with the slope of the node it leads to, times the signal that it carried.
        self.who += np.outer(self.learning_rate * output_slopes, hidden)  # (outputs, hidden)
        self.wih += np.outer(self.learning_rate * hidden_slopes, inputs)  # (hidden, inputs)

    def backquery(self, targets: ArrayLike) -> Floats:
        """Ask backwards: return inputs, shape (input_nodes,), that the network takes for such outputs.

        Takes targets of shape (output_nodes,), each between 0 and 1. Every step of a query is undone, last
        one first: the squashing exactly, the weights by sending each sum back along them. What arrives may
        have any size, so each layer's signals are stretched over 0.01..0.99, where signals live.
        """
        outputs = np.asarray(targets, self.who.dtype)  # (outputs,)
        if not ((outputs > 0.0) & (outputs < 1.0)).all():
            raise ValueError("no output ever is 0 or 1, or beyond: ask for 0.01 and 0.99 instead")
        hidden = _stretched(self.who.T @ logit(outputs))  # (hidden, outputs) @ (outputs,) -> (hidden,)
        return _stretched(self.wih.T @ logit(hidden))  # (inputs, hidden) @ (hidden,) -> (inputs,)

    # From here on it is work on many examples: `Examples`, or any sequence of (inputs, label).

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
        count, size = len(examples), _QUICK if self._can_be_quick() else _SLOW
        for epoch in range(epochs):
            order = random.permutation(count) if shuffle else range(count)
            done = epoch * count
            for rows, labels in pick(examples, order, size):
                self._learn(rows, labels)
                done += len(labels)
                if progress:
                    progress(done, epochs * count)

    def predict(self, examples: Iterable[Pair]) -> Integers:
        """Return the answer to each example, shape (n,): the number of its strongest output."""
        return np.concatenate([np.empty(0, np.uint8), *(self._answers(rows) for rows, _ in blocks(examples))])

    def confusion(self, examples: Iterable[Pair]) -> Integers:
        """Return how often each label (the row) got each answer (the column): (output_nodes, output_nodes)."""
        counts = np.zeros((len(self.who), len(self.who)), np.int64)
        for rows, labels in blocks(examples):
            np.add.at(counts, (labels, self._answers(rows)), 1)
        return counts

    def score(self, examples: Iterable[Pair]) -> float:
        """Return the fraction (0..1) of the examples that are read rightly; none at all is a ValueError."""
        right = [self._answers(rows) == labels for rows, labels in blocks(examples)]
        if not right:
            raise ValueError("there is nothing to score: give at least one example")
        return float(np.concatenate(right).mean())

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the network into one .npz file, under exactly this name."""
        fields = {"wih": self.wih, "who": self.who, "learning_rate": self.learning_rate, "rule": self.rule}
        storage.write(path, fields)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> NeuralNetwork:
        """Return the network that `save` wrote; anything else is a NetworkFileError."""
        network = cls.__new__(cls)  # the weights are there already: none need to be drawn at random
        vars(network).update(storage.read(path, RULES))
        return network

    def _can_be_quick(self) -> bool:
        """Whether the compiled kernel can stand in for `train` and `query`: not for ways of a student's own."""
        book = NeuralNetwork
        return (type(self).train, type(self).query) == (book.train, book.query) and kernel.fits(self.wih, self.who)

    def _learn(self, rows: NDArray[Any], labels: Integers) -> None:
        """Train on rows, (n, input_nodes), of inputs or (as uint8) pixels; by the compiled kernel if it serves."""
        if self._can_be_quick():
            rule = RULES.index(self.rule)
            kernel.train(self.wih, self.who, self.learning_rate, rule, rows, labels, _INPUT_OF_PIXEL)
            return
        for row, label in zip(rows, labels, strict=True):
            self.train(_inputs(row), targets_for(label, len(self.who)))

    def _answers(self, rows: NDArray[Any]) -> Integers:
        """Return the number of the strongest output for each of the rows: see `_learn`."""
        if self._can_be_quick():
            return kernel.answers(self.wih, self.who, rows, _INPUT_OF_PIXEL)
        return np.array([np.argmax(self.query(_inputs(row))) for row in rows], np.intp)


_QUICK, _SLOW = 2000, 100  # examples between two signs of progress
_INPUT_OF_PIXEL = scale(np.arange(256, dtype=np.uint8))  # (256,)


def _inputs(row: NDArray[Any]) -> NDArray[Any]:
    return scale(row) if row.dtype == np.uint8 else row


def _stretched(signals: Floats) -> Floats:
    """Return signals shifted and stretched so that they just fill 0.01..0.99; all alike, they become 0.5."""
    least, most = signals.min(), signals.max()
    if least == most:
        return np.full_like(signals, 0.5)
    filled: Floats = 0.01 + 0.98 * (signals - least) / (most - least)
    return filled
