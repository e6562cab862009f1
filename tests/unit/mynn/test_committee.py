"""Networks that read together: each in its own way, trained on resumably, and averaged."""

from pathlib import Path

import numpy as np
import pytest

from mynn import NeuralNetwork
from mynn.experiments.committee import COMMITTEES, LARGE, NIGHT, Committee, Result, convene
from mynn.experiments.jobs import Digits
from mynn.experiments.record import Recipe
from mynn.normalise import Normalisation

SMALL = Committee(Recipe(hidden_nodes=30, epochs=2), (Normalisation(), Normalisation(1.0), Normalisation(1.0, 18.0)))


def no_progress(_done: int, _total: int) -> None:
    """Show no progress."""


@pytest.fixture(scope="module")
def digits(mnist: Path) -> Digits:
    return Digits(mnist, 1000)


def test_a_vote_can_be_right_where_most_are_wrong() -> None:
    """One is sure of a digit that two others are hardly wrong about."""
    outputs = np.full((3, 2, 10), 0.01)
    outputs[:, 0, 4] = 0.9  # all say 4
    outputs[0, 1, 7] = 0.95
    outputs[1:, 1, 1], outputs[1:, 1, 7] = 0.5, 0.45
    result = Result(np.array([4, 7], np.uint8), outputs)
    assert result.accuracies() == [1.0, 0.5, 0.5]
    assert result.together() == 1.0


def test_members_and_committees_differ() -> None:
    for committee in COMMITTEES.values():
        recipes = [committee.recipes(number) for number in range(3)]
        seeds = [seed for one in recipes for seed in one]
        assert len(set(seeds)) == len(seeds) == 3 * len(committee.normalisations)
        for one in recipes:
            assert [recipe.normalisation for recipe in one.values()] == list(committee.normalisations)
            assert {recipe.hidden_nodes for recipe in one.values()} == {committee.recipe.hidden_nodes}


def test_an_interrupted_committee_is_resumed_and_equals_another_run(digits: Digits, tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    whole.mkdir()
    cut.mkdir()
    expected = convene(SMALL, [0, 1], digits, whole, no_progress)

    def interrupt(done: int, total: int) -> None:
        assert total == 2 * 3 * 2
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convene(SMALL, [0, 1], digits, cut, interrupt)
    assert len(list(cut.iterdir())) >= 3
    results = convene(SMALL, [0, 1], digits, cut, no_progress)
    for result, other in zip(results, expected, strict=True):
        assert result.outputs.shape == (3, 10_000, 10)
        assert (result.outputs == other.outputs).all() and (result.labels == other.labels).all()
    assert (results[0].outputs != results[1].outputs).any(axis=(1, 2)).all()


def test_a_member_reads_digits_as_it_learnt_them(digits: Digits, tmp_path: Path) -> None:
    (result,) = convene(SMALL, [0], digits, tmp_path, no_progress)
    _, testing = digits.read()
    for seed, recipe in SMALL.recipes(0).items():
        network = NeuralNetwork.load(tmp_path / f"seed-{seed}-epoch-2.npz")
        assert (result.outputs[seed] == network.outputs(recipe.normalised(testing))).all()
        assert result.accuracies()[seed] == network.score(recipe.normalised(testing))
    assert (result.labels == testing.labels).all()


def test_a_vote_is_better_than_its_members(digits: Digits, tmp_path: Path) -> None:
    """Committees 0 to 3: better by .033 to .045 than their members on average."""
    results = convene(SMALL, range(4), digits, tmp_path, no_progress)
    gains = [result.together() - np.mean(result.accuracies()) for result in results]
    assert min(gains) > 0.02


def test_each_member_of_the_night_takes_a_pi_zero_no_longer_than_a_night() -> None:
    """Reckoned from what docs/develop/measurements.md has of the board, in seconds."""
    training = 314e-6 / 50 * NIGHT.recipe.hidden_nodes
    distorting = 62_000 * 314e-6 / 72_961  # its instructions, at the rate of training's
    normalising = 3 * 784 * 2 * 100e-9  # products and sums of whole numbers, in software
    night = 60_000 * NIGHT.recipe.epochs * (training + distorting + normalising)
    assert night / 3600 < 10
    assert len(NIGHT.normalisations) <= 30 and LARGE.recipe.hidden_nodes > NIGHT.recipe.hidden_nodes
