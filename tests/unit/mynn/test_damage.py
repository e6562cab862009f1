"""Removing hidden nodes from a network."""

import numpy as np
import pytest

from mynn import NeuralNetwork
from mynn.damage import damage


@pytest.fixture
def network() -> NeuralNetwork:
    return NeuralNetwork(7, 6, 3, 0.25, seed=1, rule="gradient", dtype=np.float32)


def columns(network: NeuralNetwork) -> list[tuple[float, ...]]:
    """Return the weights of each hidden node: those that lead to it, then those that lead from it."""
    return [(*into, *out) for into, out in zip(network.wih.tolist(), network.who.T.tolist(), strict=True)]


@pytest.mark.parametrize("nodes", [0, 2, 5])
def test_nodes_are_removed_from_a_copy_and_the_others_are_unchanged(nodes: int, network: NeuralNetwork) -> None:
    whole = columns(network)
    damaged = damage(network, nodes, seed=4)
    assert damaged.wih.shape == (6 - nodes, 7) and damaged.who.shape == (3, 6 - nodes)
    assert [node for node in whole if node in columns(damaged)] == columns(damaged)
    assert damaged.wih.dtype == np.float32 and (damaged.rule, damaged.learning_rate) == ("gradient", 0.25)
    damaged.train(np.linspace(0.01, 1.0, 7), [0.99, 0.01, 0.01])
    assert columns(network) == whole


def test_the_seed_decides_which_nodes_go_and_more_damage_removes_further_ones(network: NeuralNetwork) -> None:
    def left(nodes: int, seed: int) -> set[tuple[float, ...]]:
        return set(columns(damage(network, nodes, seed=seed)))

    assert left(3, 1) == left(3, 1)
    assert left(5, 1) < left(3, 1) < left(1, 1)
    assert {min(left(5, seed)) for seed in range(60)} == set(columns(network))  # any node can be the last one left


def test_at_least_one_node_must_be_left(network: NeuralNetwork) -> None:
    for nodes in (-1, 6):
        with pytest.raises(ValueError, match=rf"^{nodes} of 6 hidden nodes cannot be removed; remove 0 to 5$"):
            damage(network, nodes)
