"""Training and testing on many examples, by the compiled kernel if possible, else one by one in numpy.

Public functions are also methods of `NeuralNetwork`: `network.fit(examples)`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mynn import checks, kernel
from mynn.arrays import Floats, Integers
from mynn.mnist import Examples, scale, targets_for
from mynn.translation import N_, _


class Network(Protocol):
    """Interface of a trainable network: `NeuralNetwork`, or a student's own class with the same weights and methods."""

    wih: Floats
    who: Floats
    learning_rate: float
    rule: str
    history: Sequence[float]

    def train(self, inputs: ArrayLike, targets: ArrayLike) -> None:
        """Learn from one example."""

    def query(self, inputs: ArrayLike) -> Floats:
        """Return the outputs."""


Pair = tuple[ArrayLike, int]  # inputs, shape (input_nodes,), and label
Arrays = tuple[NDArray[Any], Integers]  # rows, shape (n, input_nodes), of pixels (bytes) or inputs; labels, shape (n,)

_BY_KERNEL, _BY_NUMPY = 2000, 100  # examples between two calls of `progress`
_EXPECTED = N_(
    "examples must be Examples, a list of pairs (inputs, label), or arrays of inputs and labels, not {value}"
)
_ALIKE = N_(
    "examples must be Examples, a list of pairs (inputs, label), or arrays of inputs and labels,"
    " all inputs of the same length; the first is {value}"
)
_INPUTS = scale(np.arange(256, dtype=np.uint8))  # (256,): pixel → input


def fit(
    network: Network,
    examples: Examples | Sequence[Pair] | NDArray[Any],
    labels: ArrayLike | None = None,
    *,
    epochs: int = 1,
    shuffle: bool = False,
    seed: int | None = None,
    progress: Callable[[int, int], object] | None = None,
    test: Any = None,
) -> None:
    """Train on all examples, in their order, once per epoch.

    examples  `Examples`, pairs (inputs, label), or an array (n, input_nodes) of inputs, or of pixels: whole numbers
              of any integer type that go up to 255
    labels    labels of such an array, (n,)
    shuffle   take another order each epoch; the same seed gives the same orders
    progress  called now and then with the numbers of examples done and in total; it may query or score the
              network
    test      examples to score after each epoch, or a pair of arrays (inputs, labels); `network.history` keeps the
              scores, those of an earlier `fit` first

    Raise ValueError or TypeError for examples of another shape or type, labels without an output, pixels that are
    neither bytes nor scaled, and inputs or weights that are not finite, before or after. Train a network in one thread
    at a time: two threads would undo each other's work.
    """
    rows, right = _arrays(examples, labels)
    tested = None if test is None else _arrays(*test) if isinstance(test, tuple) else _arrays(test, None)
    checks.bright(rows[:_BY_KERNEL])
    checks.whole(N_("the number of epochs"), epochs)
    checks.weights(network.wih, network.who)
    random = np.random.default_rng(seed)
    count, size = len(rows), _BY_KERNEL if _kernel_serves(network) else _BY_NUMPY
    for epoch in range(epochs):
        order = random.permutation(count) if shuffle else None
        for first in range(0, count, size):
            part = slice(first, first + size)  # a view, without a copy
            which = part if order is None else order[part]
            _learn(network, rows[which], right[which])
            if progress:
                progress(epoch * count + min(first + size, count), epochs * count)
        if tested:
            network.history = [*network.history, score(network, *tested)]
    checks.weights(network.wih, network.who)


def outputs(network: Network, examples: Iterable[Pair]) -> Floats:
    """Return the outputs of `query` for each example: shape (n, output_nodes), each 0..1.

    Here and below, examples may also be an array, with labels as a separate array, as in `fit`.
    """
    given: Any = examples
    rows, _labels = _arrays(given, np.zeros(len(given), np.uint8) if _is_table(given) else None)
    blocks = (rows[first : first + _BY_KERNEL] for first in range(0, len(rows), _BY_KERNEL))  # Ctrl-C waits for one
    none = np.empty((0, len(network.who)), network.who.dtype)
    return np.concatenate([none, *(_outputs(network, block) for block in blocks)])


def predict(network: Network, examples: Iterable[Pair]) -> Integers:
    """Return the answer to each example, shape (n,): the index of its strongest output."""
    return outputs(network, examples).argmax(axis=1)


def confusion(network: Network, examples: Iterable[Pair], labels: ArrayLike | None = None) -> Integers:
    """Return how often each label (row) got each answer (column): shape (output_nodes, output_nodes)."""
    counts = np.zeros((len(network.who), len(network.who)), np.int64)
    rows, right = _arrays(examples, labels)
    checks.labels(right, len(counts))
    np.add.at(counts, (right, predict(network, rows)), 1)
    return counts


def score(network: Network, examples: Iterable[Pair], labels: ArrayLike | None = None) -> float:
    """Return the fraction (0..1) of examples that are recognised. Raise ValueError without examples."""
    rows, right = _arrays(examples, labels)
    if not len(right):
        raise ValueError(_("there is nothing to score: give at least one example"))
    return float((predict(network, rows) == right).mean())


def _kernel_serves(network: Network) -> bool:
    """Return whether the compiled kernel can replace `train` and `query`: not if a student has overridden them."""
    ours = all(method.__module__ == "mynn.network" for method in (type(network).train, type(network).query))
    return ours and kernel.fits(network.wih, network.who)


def _learn(network: Network, rows: NDArray[Any], labels: Integers) -> None:
    """Train on rows, (n, input_nodes), of inputs or, as uint8, of pixels."""
    checks.rows(rows, network.wih.shape[1])
    checks.labels(labels, len(network.who))
    if _kernel_serves(network):
        kernel.train(network.wih, network.who, network.learning_rate, network.rule, rows, labels, _INPUTS)
        return
    for row, label in zip(rows, labels, strict=True):
        network.train(_inputs(row), targets_for(label, len(network.who)))


def _outputs(network: Network, rows: NDArray[Any]) -> Floats:
    """Return the outputs for each of the rows, (n, output_nodes): see `_learn`."""
    checks.rows(rows, network.wih.shape[1])
    checks.weights(network.wih, network.who)
    if _kernel_serves(network):
        return kernel.query(network.wih, network.who, rows, _INPUTS)
    return np.array([np.ravel(network.query(_inputs(row))) for row in rows])  # mynn.book returns columns


def _arrays(examples: Any, labels: ArrayLike | None) -> Arrays:
    """Return any examples as arrays. Raise TypeError for anything else."""
    if labels is None and isinstance(examples, Examples):
        return examples.pixels, examples.labels
    if labels is None:
        if _is_table(examples):
            raise TypeError(_("an array of inputs needs its labels, too, as a second array"))
        rows, right = _stacked(examples)
        return checks.scaled(rows), right
    rows = np.asarray(examples.pixels if isinstance(examples, Examples) else examples)
    right = np.asarray(labels)
    if right.shape != rows.shape[:1] or right.dtype.kind not in "iu":
        sentence = _("the labels must be {count} whole numbers, not {value}")
        raise TypeError(sentence.format(count=len(rows), value=checks.shown(labels)))
    return checks.scaled(rows), right


def _is_table(examples: Any) -> bool:
    """Return whether these are inputs in a 2-D array, or a similar object such as a data frame; not pairs."""
    return hasattr(examples, "__array__") and np.ndim(examples) == 2 and getattr(examples, "dtype", None) != np.object_


def _stacked(examples: Any) -> Arrays:
    """Return pairs as arrays. Raise TypeError if one is not a pair, or not like the others."""
    if not isinstance(examples, Iterable):
        raise TypeError(_(_EXPECTED).format(value=checks.shown(examples)))
    pairs = list(examples)
    if not pairs:
        return np.empty((0, 0)), np.empty(0, np.uint8)
    try:
        rows = np.array([inputs for inputs, _ in pairs], np.float64)
        labels = np.array([label for _, label in pairs])
    except (TypeError, ValueError):
        raise TypeError(_(_ALIKE).format(value=checks.shown(pairs[0]))) from None
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        sentence = _("a label must be a whole number, not {value}")
        raise TypeError(sentence.format(value=checks.shown(pairs[0][1])))
    return rows, labels


def _inputs(row: NDArray[Any]) -> NDArray[Any]:
    return _INPUTS[row] if row.dtype == np.uint8 else row
