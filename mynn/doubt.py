"""Whether a picture is a digit at all: a small network beside the one that reads.

A network with ten outputs always has a strongest one, often a strong one, even for a letter or a table's edge: it was
never shown anything else. So a second network has met both, digits and letters, doodles and scribbles, and says which
a picture is. Before, the picture is made coarse, 14 x 14 squares. doubt.js does the same in the browser, and
doubt_weights.js has the weights for both; tests/benchmarks/doubt.py trained it.
"""

from __future__ import annotations

import re
from base64 import b64decode
from functools import cache
from pathlib import Path

import numpy as np

from mynn.arrays import Bytes
from mynn.mnist import scale
from mynn.network import NeuralNetwork

INPUTS = 14 * 14
WEIGHTS = Path(__file__).with_name("doubt_weights.js")


def coarse(pixels: Bytes) -> Bytes:
    """Return pictures, (n, 784), as 14 x 14 squares, each the mean of four pixels, rounded: (n, 196)."""
    squares = pixels.reshape(-1, 14, 2, 14, 2).sum(axis=(2, 4), dtype=np.uint16)
    return ((squares + 2) >> 2).astype(np.uint8).reshape(len(squares), -1)


def is_digit(pixels: Bytes) -> bool:
    """Return whether a picture, (784,), looks like a digit."""
    network, least = _stored()
    return bool(network.query(scale(coarse(pixels)[0]))[0] >= least)


@cache
def _stored() -> tuple[NeuralNetwork, float]:
    """Return the network, and the least first output for a digit."""
    text = WEIGHTS.read_text(encoding="ascii")
    (least, step), weights = re.findall(r"= ([\d.]+);", text), re.findall(r"`([^`]*)`", text)[0]
    numbers = np.frombuffer(b64decode(weights), np.int8) * float(step)
    hidden = len(numbers) // (INPUTS + 2)
    network = NeuralNetwork(INPUTS, hidden, 2, 0.1)
    network.wih = numbers[: hidden * INPUTS].reshape(hidden, INPUTS)
    network.who = numbers[hidden * INPUTS :].reshape(2, hidden)
    return network, float(least)
