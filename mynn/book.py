"""Three-layer neural network with the names and shapes of the book *Make Your Own Neural Network* (2016).

It takes the same steps as `mynn.NeuralNetwork`. In a program from the book, replace the class definition by
`from mynn.book import neuralNetwork`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from mynn.arrays import Floats
from mynn.network import logit, rescaled, sigmoid


class neuralNetwork:
    """Inputs, one hidden layer, outputs; trained one example at a time, by the book's rule.

    `inodes`, `hnodes`, `onodes`    the number of nodes in each layer
    `lr`                            the learning rate
    `wih`                           the weights from inputs to hidden nodes, shape (hnodes, inodes)
    `who`                           the weights from hidden nodes to outputs, shape (onodes, hnodes)
    `activation_function`           squashes sums into 0..1; you may assign another
    `inverse_activation_function`   its inverse
    """

    def __init__(self, inputnodes: int, hiddennodes: int, outputnodes: int, learningrate: float) -> None:
        """Make an untrained network; the same `numpy.random.seed(...)` before it gives the same weights."""
        self.inodes, self.hnodes, self.onodes = inputnodes, hiddennodes, outputnodes
        self.lr = learningrate
        self.wih: Floats = np.random.normal(0.0, hiddennodes**-0.5, (hiddennodes, inputnodes))
        self.who: Floats = np.random.normal(0.0, outputnodes**-0.5, (outputnodes, hiddennodes))
        self.activation_function = sigmoid
        self.inverse_activation_function = logit

    def train(self, inputs_list: ArrayLike, targets_list: ArrayLike) -> None:
        """Learn from one example: a list of `inodes` inputs, and one of `onodes` targets, 0.01 to 0.99."""
        inputs, targets = _column(inputs_list), _column(targets_list)  # (inodes, 1), (onodes, 1)
        hidden = self.activation_function(self.wih @ inputs)  # (hnodes, 1)
        outputs = self.activation_function(self.who @ hidden)  # (onodes, 1)

        output_errors = targets - outputs  # (onodes, 1)
        hidden_errors = self.who.T @ output_errors  # (hnodes, 1)

        # A weight's change is the slope at the node it leads to, times the signal it carried.
        # For a column times a row, numpy's `dot` is several times as fast as `@`.
        self.who += np.dot(self.lr * (output_errors * outputs * (1.0 - outputs)), hidden.T)  # (onodes, hnodes)
        self.wih += np.dot(self.lr * (hidden_errors * hidden * (1.0 - hidden)), inputs.T)  # (hnodes, inodes)

    def query(self, inputs_list: ArrayLike) -> Floats:
        """Return the outputs for a list of `inodes` inputs: a column, shape (onodes, 1), each 0..1."""
        hidden = self.activation_function(self.wih @ _column(inputs_list))  # (hnodes, 1)
        return self.activation_function(self.who @ hidden)

    def backquery(self, targets_list: ArrayLike) -> Floats:
        """Run the network backwards: from targets between 0 and 1 to inputs, shape (inodes, 1), each 0.01 to 0.99."""
        outputs = _column(targets_list)  # (onodes, 1)
        hidden = rescaled(self.who.T @ self.inverse_activation_function(outputs))  # (hnodes, 1)
        return rescaled(self.wih.T @ self.inverse_activation_function(hidden))


def _column(values: ArrayLike) -> Floats:
    """Return a list of numbers as a column, shape (n, 1)."""
    return np.array(values, np.float64, ndmin=2).T
