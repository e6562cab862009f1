"""Sweeps: they equal training by hand, save each run, and resume after an interruption."""

from pathlib import Path

import numpy as np
import pytest

from mynn import DataError, Examples, NeuralNetwork
from mynn.distort import rotated
from mynn.experiments.jobs import Digits
from mynn.experiments.sweep import Results, Run, Setting, runs, sweep


@pytest.fixture(scope="module")
def digits(small_mnist: Path) -> Digits:
    return Digits(small_mnist, 400)


@pytest.fixture(scope="module")
def training(digits: Digits) -> Examples:
    return digits.read()[0]


@pytest.fixture(scope="module")
def testing(digits: Digits) -> Examples:
    return digits.read()[1]


def no_progress(_done: int, _total: int) -> None:
    """Show no progress."""


def untrained(setting: Setting, seed: int) -> NeuralNetwork:
    """Return a run's network before training."""
    sizes = (784, setting.hidden_nodes, 10)
    return NeuralNetwork(*sizes, setting.learning_rate, seed=seed, rule=setting.rule, dtype=np.float32)


SMALL = [Setting(5, 0.1), Setting(8, 0.2, rule="gradient")]


def test_a_run_equals_training_and_scoring_by_hand(
    digits: Digits, training: Examples, testing: Examples, tmp_path: Path
) -> None:
    results, calls = Results(tmp_path / "new" / "runs.csv", 400), []
    sweep(runs(SMALL, 3, 2), digits, results, lambda *call: calls.append(call))
    for setting in SMALL:
        found = results.of(setting, 3)
        assert found.shape == (2, 3)
        for seed in range(2):
            network = untrained(setting, seed)
            by_hand = []
            for _ in range(3):
                network.fit(training)
                by_hand.append(network.score(testing))
            assert by_hand in found.tolist()
    total = sum(run.cost() for run in runs(SMALL, 3, 2))
    assert len(calls) == 4 and calls[-1] == (total, total)


def test_rotated_digits_follow_the_upright_one(
    digits: Digits, training: Examples, testing: Examples, tmp_path: Path
) -> None:
    results, setting = Results(tmp_path / "runs.csv", 400), Setting(10, 0.1, angle=10)
    sweep([Run(setting, 1, 3)], digits, results, no_progress)
    network = untrained(setting, 3)
    left, right = rotated(training, 10), rotated(training, -10)
    for upright, *rotations in zip(training, left, right, strict=True):
        network.fit([upright, *rotations])
    assert results.of(setting, 1).tolist() == [[network.score(testing)]]


def test_an_interrupted_sweep_is_resumed(digits: Digits, tmp_path: Path) -> None:
    wanted, whole, cut = runs(SMALL, 2, 3), tmp_path / "whole.csv", tmp_path / "cut.csv"
    sweep(wanted, digits, Results(whole, 400), no_progress)

    def interrupt(done: int, _total: int) -> None:
        if done > 60:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep(wanted, digits, Results(cut, 400), interrupt)
    kept = cut.read_text()
    assert 1 < len(kept.splitlines()) < len(whole.read_text().splitlines())
    cut.write_text(kept + "400,8,0.2,0.0,grad")  # as after a power cut

    results = Results(cut, 400)
    left: list[int] = [not results.has(run) for run in wanted]
    assert 0 < sum(left) < len(left)
    calls: list[int] = []
    for _ in range(2):  # the second time there is nothing left to do
        sweep(wanted, digits, Results(cut, 400), lambda done, _total: calls.append(done))
        assert len(calls) == sum(left)
        assert cut.read_text().startswith(kept)
        assert sorted(cut.read_text().splitlines()) == sorted(whole.read_text().splitlines())


def test_a_longer_run_replaces_a_shorter_one(digits: Digits, tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    setting = SMALL[0]
    for epochs in (1, 3, 2):
        sweep([Run(setting, epochs, 0)], digits, Results(path, 400), no_progress)
    results = Results(path, 400)
    assert len(path.read_text().splitlines()) == 1 + 1 + 3
    assert results.of(setting, 3).shape == (1, 3)
    assert results.of(setting, 2).tolist() == [results.of(setting, 3)[0, :2].tolist()]
    assert results.of(setting, 4).shape == (0, 4)


@pytest.mark.parametrize("text", ["a letter\n", ",".join(Results.HEADER) + "\n400,five,0.1,0.0,book,0,1,0.5\n"])
def test_a_file_of_another_format_is_refused_and_unchanged(tmp_path: Path, text: str) -> None:
    path = tmp_path / "runs.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=r"does not contain results|line 2: this is not a result; remove the line"):
        Results(path, 400)
    assert path.read_text() == text
