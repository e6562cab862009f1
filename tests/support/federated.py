"""Browsers that teach one network together, as page/try/together-worker.js does, in Python."""

from __future__ import annotations

from typing import Any

import numpy as np

from mynn import Examples, NeuralNetwork
from mynn_server.federated import Average
from tests.provisioned.notebook_server import NotebookServer

HIDDEN, RATE, DIGITS, SHARES = 50, 0.1, 1000, 30
ZERO, ONE = 32768, 4096


def untrained(seed: int) -> NeuralNetwork:
    """Return a network that knows nothing."""
    return NeuralNetwork(784, HIDDEN, 10, RATE, seed=seed)


def sent(network: NeuralNetwork) -> bytes:
    """Return its weights as they travel."""
    weights = np.concatenate([network.wih.ravel(), network.who.ravel()])
    return np.clip(np.rint(ZERO + ONE * weights), 0, 65535).astype("<u2").tobytes()


def received(weights: bytes) -> NeuralNetwork:
    """Return the network with such weights."""
    network, numbers = untrained(0), (np.frombuffer(weights, "<u2") - float(ZERO)) / ONE
    network.wih, network.who = numbers[: 784 * HIDDEN].reshape(HIDDEN, 784), numbers[784 * HIDDEN :].reshape(10, HIDDEN)
    return network


def share(digits: Examples, number: int) -> Examples:
    """Return the digits that are a browser's."""
    return digits[number % SHARES :: SHARES]


def learnt(weights: bytes, own: Examples, rounds: int) -> bytes:
    """Return the weights after one more round in one browser, which learns from its next digits."""
    network = received(weights)
    network.fit(own[np.arange(rounds * DIGITS, (rounds + 1) * DIGITS) % len(own)])
    return sent(network)


def together(shares: list[Examples], seed: int, rounds: int) -> NeuralNetwork:
    """Return the network of all, which the Pi's own code averages."""
    weights = sent(untrained(seed))
    for done in range(rounds):
        average = Average()
        for own in shares:
            average.add(learnt(weights, own, done))
        weights = average.mean()
    return received(weights)


class Browser:
    """A pupil's, which has joined. Each has an address of its own, where the server believes it."""

    def __init__(self, client: NotebookServer, code: str, place: int = 1) -> None:
        self.client = client
        self.headers = {"X-Forwarded-For": f"10.0.0.{place}"}
        joined = self.client.ask("POST", "/try/together/join", data=code, headers=self.headers)
        assert joined.status_code == 200, joined.text
        self.number = joined.json()["number"]
        self.headers["X-Member"] = joined.json()["member"]

    def send(self, weights: bytes, query: str = "round=0&alone=500") -> Any:
        """Send weights; return the answer."""
        return self.client.ask("POST", f"/try/together/weights?{query}", data=weights, headers=self.headers)
