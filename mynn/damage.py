"""Lesion experiment: a network without some of its hidden nodes, like a damaged brain."""

from __future__ import annotations

import copy

import numpy as np

from mynn.network import NeuralNetwork
from mynn.translation import _


def damage(network: NeuralNetwork, nodes: int, *, seed: int | None = None) -> NeuralNetwork:
    """Return a copy of the network without `nodes` hidden nodes, chosen at random.

    The same seed removes the same nodes (None: others each time); a larger number removes those and more.
    Raise ValueError if the number is negative, or no hidden node would be left.
    """
    hidden = len(network.wih)
    if not 0 <= nodes < hidden:
        sentence = _("{nodes} of {hidden} hidden nodes cannot be removed; remove 0 to {most}")
        raise ValueError(sentence.format(nodes=nodes, hidden=hidden, most=hidden - 1))
    order = np.random.default_rng(seed).permutation(hidden)
    kept = np.sort(order[nodes:])
    damaged = copy.copy(network)  # shallow: the next two lines replace its weights
    damaged.wih = network.wih[kept]  # (kept, inputs)
    damaged.who = np.ascontiguousarray(network.who[:, kept])  # (outputs, kept)
    return damaged
