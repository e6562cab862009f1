"""Damage, as with brains: a network without some of its hidden nodes."""

from __future__ import annotations

import copy

import numpy as np

from mynn.network import NeuralNetwork
from mynn.words import _


def damage(network: NeuralNetwork, nodes: int, *, seed: int | None = None) -> NeuralNetwork:
    """Return a new network without so many hidden nodes, chosen at random; the old one stays as it is.

    The same seed takes the same nodes (None: others each time), and with a larger number the same ones and
    more. At least one must be left: a number below 0, or not below the number of hidden nodes, is a ValueError.
    """
    hidden = len(network.wih)
    if not 0 <= nodes < hidden:
        sentence = _("{nodes} of {hidden} hidden nodes cannot be removed; remove 0 to {most}")
        raise ValueError(sentence.format(nodes=nodes, hidden=hidden, most=hidden - 1))
    order = np.random.default_rng(seed).permutation(hidden)
    kept = np.sort(order[nodes:])
    damaged = copy.copy(network)  # learning rate and rule too; its weights are replaced by the next two lines
    damaged.wih = network.wih[kept]  # (kept, inputs)
    damaged.who = np.ascontiguousarray(network.who[:, kept])  # (outputs, kept)
    return damaged
