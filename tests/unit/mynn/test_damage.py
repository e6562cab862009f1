"""Removing hidden nodes from a network."""

import numpy as np
import pytest

from mynn import NeuralNetwork, kernel
from mynn.damage import damage


@pytest.fixture
def network() -> NeuralNetwork:
    return NeuralNetwork(7, 6, 3, 0.25, seed=1, rule="gradient", dtype=np.float32)


def columns(network: NeuralNetwork) -> list[tuple[float, ...]]:
    """Return the weights of each hidden node: those that lead to it, then those that lead from it."""
    return [(*into, *out) for into, out in zip(network.wih.tolist(), network.who.T.tolist(), strict=True)]


@pytest.mark.parametrize("nodes", [0, 2, 5])
def test_the_given_number_of_nodes_is_removed_and_the_others_are_unchanged(nodes: int, network: NeuralNetwork) -> None:
    damaged = damage(network, nodes, seed=4)
    assert damaged.wih.shape == (6 - nodes, 7) and damaged.who.shape == (3, 6 - nodes)
    left = columns(damaged)
    assert [node for node in columns(network) if node in left] == left
    assert damaged.wih.dtype == damaged.who.dtype == np.float32
    assert (damaged.rule, damaged.learning_rate) == ("gradient", 0.25)


def test_removing_a_node_equals_setting_its_outgoing_weights_to_zero(network: NeuralNetwork) -> None:
    """And the network itself stays as it is, whatever its copy learns."""
    wih, who = network.wih.copy(), network.who.copy()
    whole, damaged = damage(network, 0), damage(network, 2, seed=3)
    left = columns(damaged)
    for node, weights in enumerate(columns(network)):
        if weights not in left:
            network.who[:, node] = 0.0
    assert kernel.fits(damaged.wih, damaged.who) == kernel.READY
    inputs = np.linspace(0.01, 1.0, 7)
    np.testing.assert_allclose(damaged.query(inputs), network.query(inputs), rtol=1e-6)
    whole.train(inputs, [0.99, 0.01, 0.01])
    assert (network.wih == wih).all() and (whole.who != who).any()


def test_the_seed_decides_which_nodes_go_and_more_damage_removes_further_ones(network: NeuralNetwork) -> None:
    def left(nodes: int, seed: int) -> set[tuple[float, ...]]:
        return set(columns(damage(network, nodes, seed=seed)))

    assert left(3, 1) == left(3, 1)
    assert left(5, 1) < left(3, 1) < left(1, 1)
    assert len({frozenset(left(3, seed)) for seed in range(20)}) > 5
    last = [min(left(5, seed)) for seed in range(60)]
    assert set(last) == set(columns(network))  # any node can be the last one left


def test_at_least_one_node_must_be_left(network: NeuralNetwork) -> None:
    for nodes in (-1, 6):
        with pytest.raises(ValueError, match=rf"^{nodes} of 6 hidden nodes cannot be removed; remove 0 to 5$"):
            damage(network, nodes)
