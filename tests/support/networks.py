"""The book's training step in plain loops, and the difference between two networks."""

from __future__ import annotations

import math

import numpy as np

from mynn import NeuralNetwork


def squash(x: float) -> float:
    """Return the sigmoid of a number."""
    return 1.0 / (1.0 + math.exp(-x))


def book_step(
    wih: list[list[float]], who: list[list[float]], rate: float, inputs: list[float], targets: list[float]
) -> None:
    """Train on one example by the book's rule, using only loops. Changes both lists of weights in place."""
    hidden = [squash(sum(w * x for w, x in zip(row, inputs, strict=True))) for row in wih]
    outputs = [squash(sum(w * h for w, h in zip(row, hidden, strict=True))) for row in who]
    errors = [t - o for t, o in zip(targets, outputs, strict=True)]
    hidden_errors = [sum(who[k][j] * errors[k] for k in range(len(errors))) for j in range(len(hidden))]
    for k, row in enumerate(who):
        for j in range(len(row)):
            row[j] += rate * errors[k] * outputs[k] * (1 - outputs[k]) * hidden[j]
    for j, row in enumerate(wih):
        for i in range(len(row)):
            row[i] += rate * hidden_errors[j] * hidden[j] * (1 - hidden[j]) * inputs[i]


def difference(network: NeuralNetwork, other: NeuralNetwork) -> float:
    """Return the largest difference between two weights."""
    pairs = ((network.wih, other.wih), (network.who, other.who))
    return float(np.max([np.abs(one - another).max() for one, another in pairs]))  # NaN if there is any NaN
