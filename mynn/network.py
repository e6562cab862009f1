"""A neural network of three layers, one example at a time: the whole algorithm on two screens.

    inputs  --wih-->  hidden nodes  --who-->  outputs

Each node adds up what reaches it, every signal times the weight of its link, and squashes the sum
into 0..1 with the sigmoid. Training compares the outputs with the targets and moves every weight a
little, so that the same inputs would do a little better next time.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from mynn import checkpoint, checks, estimator, training
from mynn.arrays import Floats
from mynn.words import _, marked

RULES = checks.RULES


class NeuralNetwork:
    """Inputs, one hidden layer, outputs; trained one example at a time.

    `wih`            the weights from inputs to hidden nodes, shape (hidden_nodes, input_nodes)
    `who`            the weights from hidden nodes to outputs, shape (output_nodes, hidden_nodes)
    `learning_rate`  how far one example moves the weights
    `rule`           what the hidden nodes learn from the output errors, `targets - outputs`:

    "book"           Each output's error is sent back along its links, in proportion to their weights. This is
                     the book's rule, behind the accuracies that the book and its blog report.
    "gradient"       The slope of the squared error, as calculus has it: the error is first multiplied by the
                     slope of the output's sigmoid. The book leaves that factor out for this layer, so its
                     hidden weights move farther, above all for outputs that are sure of something wrong, and
                     not quite downhill. The last layer learns in the same way under both.
    "cross-entropy"  The slope of another measure of what is wrong, -log(outputs) where the target is "yes" and
                     -log(1 - outputs) where it is "no". It leaves the slope of the output's sigmoid out of
                     both layers: what is surely wrong costs most, and is put right most quickly.
    """

    seed: int | None = None  # of a network from a file

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

        The weights start at random around 0, with a standard deviation of one over the root of the number of
        nodes that they lead to. So has the book's program, which the blog's figures come from; its text goes
        by the layer that they come from. As np.float32 they keep 7 digits instead of 16, in half the memory.
        """
        checks.whole(marked("the number of input nodes"), input_nodes)
        checks.whole(marked("the number of hidden nodes"), hidden_nodes)
        checks.whole(marked("the number of output nodes"), output_nodes)
        random = np.random.default_rng(seed)
        self.wih: Floats = random.normal(0.0, hidden_nodes**-0.5, (hidden_nodes, input_nodes)).astype(dtype)
        self.who: Floats = random.normal(0.0, output_nodes**-0.5, (output_nodes, hidden_nodes)).astype(dtype)
        checks.weights(self.wih, self.who)
        self.learning_rate = learning_rate
        self.rule = rule
        self.seed = seed

    def __setattr__(self, name: str, value: Any) -> None:
        """Refuse a learning rate or a rule that makes no sense, whenever it is set: a ValueError."""
        if name == "learning_rate":
            value = checks.learning_rate(value)
        elif name == "rule":
            value = checks.rule(value)
        super().__setattr__(name, value)

    def query(self, inputs: ArrayLike) -> Floats:
        """Ask the network: inputs, shape (input_nodes,), give outputs, shape (output_nodes,), each 0..1.

        Outputs that are not finite, since weights are not, are a ValueError.
        """
        inputs = checks.signals("inputs", inputs, self.wih.shape[1], self.wih.dtype)  # (inputs,)
        hidden = sigmoid(self.wih @ inputs)  # (hidden, inputs) @ (inputs,) -> (hidden,)
        outputs = sigmoid(self.who @ hidden)  # (outputs, hidden) @ (hidden,) -> (outputs,)
        return checks.result(outputs, self.wih, self.who)

    def train(self, inputs: ArrayLike, targets: ArrayLike) -> None:
        """Learn from one example: inputs of shape (input_nodes,), targets of shape (output_nodes,).

        The sigmoid never reaches 0 or 1, so targets stay inside: 0.01 for "no" and 0.99 for "yes". For speed, nobody
        looks whether the weights are still finite afterwards; `fit` does, once at its end.
        """
        inputs = checks.signals("inputs", inputs, self.wih.shape[1], self.wih.dtype)  # (inputs,)
        targets = checks.signals("targets", targets, len(self.who), self.who.dtype)  # (outputs,)
        hidden = sigmoid(self.wih @ inputs)  # (hidden, inputs) @ (inputs,) -> (hidden,)
        outputs = sigmoid(self.who @ hidden)  # (outputs, hidden) @ (hidden,) -> (outputs,)

        # x * (1 - x) is the slope of the sigmoid where its result is x: steep at 0.5, flat near 0 and 1.
        output_errors = targets - outputs  # (outputs,)
        output_slopes = output_errors * outputs * (1.0 - outputs)  # (outputs,)
        if self.rule == "cross-entropy":
            output_slopes = output_errors
        error_signal = output_slopes if self.rule == "gradient" else output_errors  # (outputs,)
        hidden_errors = self.who.T @ error_signal  # (hidden, outputs) @ (outputs,) -> (hidden,)
        hidden_slopes = hidden_errors * hidden * (1.0 - hidden)  # (hidden,)

        # A weight moves with the slope of the node it leads to, times the signal that it carried. (A column dot a
        # row is the table of all their products, as np.outer makes it, in two thirds of the time.)
        self.who += np.dot(self.learning_rate * output_slopes[:, None], hidden[None, :])  # (outputs, hidden)
        self.wih += np.dot(self.learning_rate * hidden_slopes[:, None], inputs[None, :])  # (hidden, inputs)

    def backquery(self, targets: ArrayLike) -> Floats:
        """Ask backwards: return inputs, shape (input_nodes,), that the network takes for such outputs.

        Takes targets of shape (output_nodes,), each between 0 and 1. Every step of a query is undone, last one
        first: the sigmoid exactly, the weights by sending each sum back along them. What arrives may have any
        size, so each layer's signals are rescaled to 0.01..0.99, where signals live. Inputs that are not finite,
        since weights are not, are a ValueError.
        """
        outputs = checks.signals("targets", targets, len(self.who), self.who.dtype)  # (outputs,)
        if not ((outputs > 0.0) & (outputs < 1.0)).all():
            raise ValueError(_("targets must lie between 0 and 1, which no output reaches: use 0.01 and 0.99 instead"))
        hidden = rescaled(self.who.T @ logit(outputs))  # (hidden, outputs) @ (outputs,) -> (hidden,)
        inputs = rescaled(self.wih.T @ logit(hidden))  # (inputs, hidden) @ (hidden,) -> (inputs,)
        return checks.result(inputs, self.wih, self.who)

    # For many examples: training.py.
    fit = training.fit
    outputs = training.outputs
    predict = training.predict
    score = training.score
    confusion = training.confusion

    # For scikit-learn: estimator.py.
    get_params = estimator.get_params
    set_params = estimator.set_params
    __sklearn_clone__ = estimator.untrained
    __sklearn_is_fitted__ = estimator.is_fitted
    __sklearn_tags__ = estimator.tags

    def __repr__(self) -> str:
        """Return how to make such a network."""
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.get_params().items())})"

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the network into one .npz file, under exactly this name; only a network is overwritten.

        Weights that are not finite, or of another kind than float64 and float32, are a NetworkFileError.
        """
        checkpoint.save(path, vars(self))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> NeuralNetwork:
        """Return the network that `save` wrote; anything else is a NetworkFileError."""
        network = cls.__new__(cls)  # the weights are there already: none need to be drawn at random
        vars(network).update(checkpoint.load(path))
        return network


def sigmoid(sums: ArrayLike) -> Floats:
    """Squash sums of any size into 0..1, in the same shape: 1 / (1 + exp(-sums)).

    Written with tanh, which is the same curve and never overflows. (scipy.special.expit is it too, for
    24 MiB and, on a Pi Zero, some seconds each time that a notebook starts.)
    """
    curve: Floats = 0.5 + 0.5 * np.tanh(0.5 * np.asarray(sums))
    return curve


def logit(signals: Floats) -> Floats:
    """Undo the sigmoid: return the sums that give these signals (each between 0 and 1, and neither)."""
    sums: Floats = np.log(signals / (1.0 - signals))
    return sums


def rescaled(signals: Floats) -> Floats:
    """Return signals shifted and scaled so that they just fill 0.01..0.99; all alike, they become 0.5."""
    least, most = signals.min(), signals.max()
    if least == most:
        return np.full_like(signals, 0.5)
    filled: Floats = 0.01 + 0.98 * (signals - least) / (most - least)
    return filled
