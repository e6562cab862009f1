"""Removing hidden nodes from a network."""

from pathlib import Path

import numpy as np
import pytest

from mynn import NeuralNetwork, kernel, read_csv
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


def test_the_original_network_is_unchanged(network: NeuralNetwork) -> None:
    wih, who = network.wih.copy(), network.who.copy()
    for nodes in (0, 2):
        damaged = damage(network, nodes, seed=0)
        damaged.train(np.ones(7), [0.99, 0.01, 0.01])
        damaged.learning_rate = 9.0
    assert (network.wih == wih).all() and (network.who == who).all() and network.learning_rate == 0.25


def test_removing_a_node_equals_setting_its_outgoing_weights_to_zero(network: NeuralNetwork) -> None:
    damaged = damage(network, 2, seed=3)
    left = columns(damaged)
    for node, weights in enumerate(columns(network)):
        if weights not in left:
            network.who[:, node] = 0.0
    assert kernel.fits(damaged.wih, damaged.who) == kernel.READY
    inputs = np.linspace(0.01, 1.0, 7)
    np.testing.assert_allclose(damaged.query(inputs), network.query(inputs), rtol=1e-6)


def test_the_seed_decides_which_nodes_go_and_more_damage_removes_further_ones(network: NeuralNetwork) -> None:
    def left(nodes: int, seed: int) -> set[tuple[float, ...]]:
        return set(columns(damage(network, nodes, seed=seed)))

    assert left(3, 1) == left(3, 1)
    assert left(5, 1) < left(3, 1) < left(1, 1)
    assert len({frozenset(left(3, seed)) for seed in range(20)}) > 5
    last = [min(left(5, seed)) for seed in range(60)]
    assert set(last) == set(columns(network))  # any node can be the last one left


@pytest.mark.parametrize("nodes", [-1, 6, 100])
def test_at_least_one_node_must_be_left(nodes: int, network: NeuralNetwork) -> None:
    with pytest.raises(ValueError, match=rf"^{nodes} of 6 hidden nodes cannot be removed; remove 0 to 5$"):
        damage(network, nodes)


def test_accuracy_falls_slowly_at_first_and_steeply_in_the_end(mnist: Path) -> None:
    network = NeuralNetwork(784, 50, 10, 0.1, seed=0)
    network.fit(read_csv(mnist / "mnist_train.csv", 4000))
    testing = read_csv(mnist / "mnist_test.csv", 300)
    scores = [np.mean([damage(network, nodes, seed=seed).score(testing) for seed in range(3)]) for nodes in (0, 5, 45)]
    assert scores[0] == network.score(testing)
    assert scores[0] - 0.15 < scores[1] < scores[0]
    assert scores[2] < 0.6
