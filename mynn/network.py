"""A neural network of three layers, one example at a time: the whole algorithm on one page.

    inputs  --wih-->  hidden nodes  --who-->  outputs

Each node adds up what reaches it, every signal times the weight of its link, and squashes the sum
into 0..1 with the sigmoid. Training compares the outputs with the targets and moves every weight a
little, so that the same inputs would do a little better next time.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

FORMAT = "mynn network"  # written into every saved file, so that another program's .npz is refused
VERSION = 1  # of what a saved file holds; raise it when that changes

Floats = NDArray[np.float64]


def sigmoid(sums: ArrayLike) -> Floats:
    """Squash sums of any size into 0..1, in the same shape: 1 / (1 + exp(-sums)).

    Written with tanh, which is the same curve and never overflows. (scipy.special.expit is it too, for
    24 MiB and, on a Pi Zero, some seconds each time that a notebook starts.)
    """
    curve: Floats = 0.5 + 0.5 * np.tanh(0.5 * np.asarray(sums))
    return curve


class NetworkFileError(ValueError):
    """A file that does not hold a network: the message says which file, what is wrong, what to do."""


class NeuralNetwork:
    """Inputs, one hidden layer, outputs; trained by the rule of the book.

    `wih`            the weights from inputs to hidden nodes, shape (hidden_nodes, input_nodes)
    `who`            the weights from hidden nodes to outputs, shape (output_nodes, hidden_nodes)
    `learning_rate`  how far one example moves the weights

    The rule. With the output errors `targets - outputs`, the hidden nodes are blamed by

        hidden_errors = who.T @ output_errors

    that is, each output's error is handed back along its links in proportion to their weights. The
    true gradient of the squared error would hand back `output_errors * outputs * (1 - outputs)`
    instead: how strongly the output's sum, not the output itself, pulls. Leaving that factor out
    makes the first layer learn faster where outputs are nearly 0 or 1. It points roughly the same
    way, it works, and it is the rule behind the accuracies that the book and its blog report.
    """

    def __init__(
        self,
        input_nodes: int,
        hidden_nodes: int,
        output_nodes: int,
        learning_rate: float,
        *,
        seed: int | None = None,
    ) -> None:
        """Make an untrained network; the same seed makes the same network (None: a new one each time).

        The weights start at random around 0. The larger the layer they lead to, the smaller they are
        (standard deviation: one over the root of that layer's nodes).
        """
        random = np.random.default_rng(seed)
        self.wih: Floats = random.normal(0.0, hidden_nodes**-0.5, (hidden_nodes, input_nodes))
        self.who: Floats = random.normal(0.0, output_nodes**-0.5, (output_nodes, hidden_nodes))
        self.learning_rate = learning_rate

    def query(self, inputs: ArrayLike) -> Floats:
        """Ask the network: inputs, shape (input_nodes,), give outputs, shape (output_nodes,), each 0..1."""
        hidden = sigmoid(self.wih @ np.asarray(inputs))  # (hidden, inputs) @ (inputs,) -> (hidden,)
        return sigmoid(self.who @ hidden)  # (outputs, hidden) @ (hidden,) -> (outputs,)

    def train(self, inputs: ArrayLike, targets: ArrayLike) -> None:
        """Learn from one example: inputs of shape (input_nodes,), targets of shape (output_nodes,).

        The sigmoid never reaches 0 or 1, so targets stay inside: 0.01 for "no" and 0.99 for "yes".
        """
        inputs = np.asarray(inputs)  # (inputs,)
        hidden = sigmoid(self.wih @ inputs)  # (hidden, inputs) @ (inputs,) -> (hidden,)
        outputs = sigmoid(self.who @ hidden)  # (outputs, hidden) @ (hidden,) -> (outputs,)

        output_errors = np.asarray(targets) - outputs  # (outputs,)
        hidden_errors = self.who.T @ output_errors  # (hidden, outputs) @ (outputs,) -> (hidden,)

        # x * (1 - x) is the slope of the sigmoid where its result is x: steep at 0.5, flat near 0 and 1.
        output_steps = self.learning_rate * output_errors * outputs * (1.0 - outputs)  # (outputs,)
        hidden_steps = self.learning_rate * hidden_errors * hidden * (1.0 - hidden)  # (hidden,)

        # A weight moves by the step of the node it leads to, times the signal that it carried.
        self.who += np.outer(output_steps, hidden)  # (outputs, hidden)
        self.wih += np.outer(hidden_steps, inputs)  # (hidden, inputs)

    def score(self, examples: Iterable[tuple[ArrayLike, int]]) -> float:
        """Return the fraction (0..1) of examples that are read rightly.

        Each example is (inputs of shape (input_nodes,), label); the network's answer is the number of
        its strongest output. No examples at all is a ValueError.
        """
        right = [int(np.argmax(self.query(inputs))) == label for inputs, label in examples]
        if not right:
            raise ValueError("there is nothing to score: give at least one example")
        return sum(right) / len(right)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the network into one .npz file, under exactly this name.

        A power cut leaves the old file or the new one, never a half: what is written gets its name last.
        """
        path = Path(path)
        unfinished = path.with_name(path.name + ".part")
        with unfinished.open("wb") as file:
            np.savez_compressed(
                file,
                format=np.array(FORMAT),
                version=np.array(VERSION),
                learning_rate=np.array(self.learning_rate),
                wih=self.wih,
                who=self.who,
            )
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> NeuralNetwork:
        """Return the network that `save` wrote; anything else is a NetworkFileError."""
        try:
            with np.load(path, allow_pickle=False) as file:
                saved = {name: file[name] for name in file.files}
        except FileNotFoundError:
            raise NetworkFileError(f"{path}: there is no such file; save a network there first") from None
        except Exception as error:  # a damaged zip shows itself as any of a dozen kinds of error
            raise _refused(path, "it is damaged, or no .npz file at all") from error

        if str(saved.get("format")) != FORMAT:
            raise _refused(path, "it was written by something else")
        version = str(saved.get("version"))
        if version != str(VERSION):
            raise _refused(path, f"it has version {version} and this mynn reads version {VERSION}")
        wih, who, learning_rate = (saved.get(name, np.empty(0)) for name in ("wih", "who", "learning_rate"))
        if wih.ndim != 2 or who.ndim != 2 or who.shape[1] != wih.shape[0] or learning_rate.ndim != 0:
            raise _refused(path, "its arrays do not fit together")
        for array in (wih, who, learning_rate):
            if array.dtype != np.float64 or not np.isfinite(array).all():
                raise _refused(path, "some of its weights are not numbers")

        network = cls.__new__(cls)  # the weights are there already: none need to be drawn at random
        network.wih, network.who, network.learning_rate = wih, who, float(learning_rate)
        return network


def _refused(path: str | os.PathLike[str], reason: str) -> NetworkFileError:
    return NetworkFileError(f"{path}: no network can be read from here, since {reason}; save one anew")
