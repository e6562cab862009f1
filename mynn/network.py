"""Neural network of three layers, trained one example at a time: the whole algorithm on two screens.

    inputs  --wih-->  hidden nodes  --who-->  outputs

Each node adds up its incoming signals, each times the weight of its link, and squashes the sum into
0..1 with the sigmoid. Training compares the outputs with the targets and changes every weight a
little, so that the same inputs would give slightly better outputs next time.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from mynn import checkpoint, checks, shown, training
from mynn.arrays import Floats
from mynn.translation import N_, _

RULES = checks.RULES


class NeuralNetwork:
    """Inputs, one hidden layer, outputs; trained one example at a time.

    `wih`            the weights from inputs to hidden nodes, shape (hidden_nodes, input_nodes)
    `who`            the weights from hidden nodes to outputs, shape (output_nodes, hidden_nodes)
    `learning_rate`  how far one example changes the weights
    `rule`           how the output errors, `targets - outputs`, change the weights:

    "book"           Each output's error is sent back along its links, in proportion to their weights. The
                     accuracies that the book and its blog report come from this rule.
    "gradient"       The gradient of the squared error: the error is first multiplied by the slope of the
                     output's sigmoid. The book omits that factor for the hidden layer. Its hidden weights
                     therefore change more, above all when an output is confidently wrong, and not quite
                     downhill. The last layer learns in the same way under both rules.
    "cross-entropy"  The gradient of another error measure, -log(outputs) where the target is "yes" and
                     -log(1 - outputs) where it is "no". It has no slope of the output's sigmoid in either
                     layer: confident mistakes cost most, and are corrected fastest.
    """

    seed: int | None = None  # stays None in a network from an old file, which does not have it
    history: Sequence[float] = ()  # the score after each epoch of `fit(..., test=...)`

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

        The weights start at random around 0. Their standard deviation is one over the square root of the number
        of nodes they lead to, as in the book's program, from which the blog's figures come. (The book's text
        takes the number of nodes they come from.) np.float32 keeps 7 digits instead of 16, in half the memory.
        """
        checks.whole(N_("the number of input nodes"), input_nodes)
        checks.whole(N_("the number of hidden nodes"), hidden_nodes)
        checks.whole(N_("the number of output nodes"), output_nodes)
        random = np.random.default_rng(seed)
        self.wih: Floats = random.normal(0.0, hidden_nodes**-0.5, (hidden_nodes, input_nodes)).astype(dtype)
        self.who: Floats = random.normal(0.0, output_nodes**-0.5, (output_nodes, hidden_nodes)).astype(dtype)
        checks.weights(self.wih, self.who)
        self.learning_rate = learning_rate
        self.rule = rule
        self.seed = seed

    def __setattr__(self, name: str, value: Any) -> None:
        """Validate `learning_rate` and `rule` on each assignment."""
        if name == "learning_rate":
            value = checks.learning_rate(value)
        elif name == "rule":
            value = checks.rule(value)
        super().__setattr__(name, value)

    def query(self, inputs: ArrayLike) -> Floats:
        """Return the outputs, shape (output_nodes,), each 0..1, for inputs of shape (input_nodes,).

        Raise ValueError if outputs are not finite, as with weights that are not.
        """
        inputs = checks.signals("inputs", inputs, self.wih.shape[1], self.wih.dtype)  # (inputs,)
        hidden = sigmoid(self.wih @ inputs)  # (hidden, inputs) @ (inputs,) -> (hidden,)
        outputs = sigmoid(self.who @ hidden)  # (outputs, hidden) @ (hidden,) -> (outputs,)
        return checks.result(outputs, self.wih, self.who)

    def train(self, inputs: ArrayLike, targets: ArrayLike) -> None:
        """Learn from one example: inputs of shape (input_nodes,), targets of shape (output_nodes,).

        The sigmoid never reaches 0 or 1, so targets stay inside: 0.01 for "no" and 0.99 for "yes". For speed, this
        does not check that the weights stay finite; `fit` does, at its end.
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

        # A weight's change is the slope at the node it leads to, times the signal it carried. (`dot` of a column
        # and a row gives all their products, as np.outer does, in two thirds of the time.)
        self.who += np.dot(self.learning_rate * output_slopes[:, None], hidden[None, :])  # (outputs, hidden)
        self.wih += np.dot(self.learning_rate * hidden_slopes[:, None], inputs[None, :])  # (hidden, inputs)

    def backquery(self, targets: ArrayLike) -> Floats:
        """Run the network backwards: return inputs, shape (input_nodes,), that would roughly give these outputs.

        targets: shape (output_nodes,), each between 0 and 1. Every step of a query is undone, the last one
        first: the sigmoid exactly, the weights only roughly, by sending each sum back along them. The results
        may have any size, so each layer's are rescaled to 0.01..0.99, the range of signals. Raise ValueError
        if inputs are not finite, as with weights that are not.
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

    # In an interpreter or a notebook: shown.py.
    __repr__ = shown.call
    _repr_html_ = shown.html

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the network to an .npz file of exactly this name. Overwrite nothing but a network.

        Raise NetworkFileError also for weights that are not finite, or neither float64 nor float32.
        """
        checkpoint.save(path, vars(self))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> NeuralNetwork:
        """Return the network that `save` wrote. Raise NetworkFileError for any other file."""
        network = cls.__new__(cls)  # without __init__, which would draw random weights
        vars(network).update(checkpoint.load(path))
        return network


def sigmoid(sums: ArrayLike) -> Floats:
    """Squash sums of any size into 0..1, in the same shape: 1 / (1 + exp(-sums)).

    Written with tanh, which is the same curve, scaled, and never overflows. (scipy.special.expit would do, but
    costs 24 MiB and, on a Pi Zero, some seconds at each start of a notebook.)
    """
    curve: Floats = 0.5 + 0.5 * np.tanh(0.5 * np.asarray(sums))
    return curve


def logit(signals: Floats) -> Floats:
    """Return the sums that give these signals, the inverse of the sigmoid: each signal above 0 and below 1."""
    sums: Floats = np.log(signals / (1.0 - signals))
    return sums


def rescaled(signals: Floats) -> Floats:
    """Return signals shifted and scaled to fill 0.01..0.99; if all are equal, return 0.5 for each."""
    least, most = signals.min(), signals.max()
    if least == most:
        return np.full_like(signals, 0.5)
    filled: Floats = 0.01 + 0.98 * (signals - least) / (most - least)
    return filled
