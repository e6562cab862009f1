"""Sweeps: they equal training by hand, save each run, and resume after an interruption."""

import json
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest

from mynn import DataError, NeuralNetwork
from mynn.distort import rotated
from mynn.experiments.jobs import Digits
from mynn.experiments.sweep import Results, Run, Setting, runs, sweep


@pytest.fixture(scope="module")
def digits(small_mnist: Path) -> Digits:
    return Digits(small_mnist, 400)


SMALL = [Setting(5, 0.1), Setting(8, 0.2, rule="gradient"), Setting(10, 0.1, angle=10)]


def test_a_run_equals_training_and_scoring_by_hand(digits: Digits, tmp_path: Path) -> None:
    """Where digits are rotated, too: the rotated ones follow the upright one."""
    results, calls = Results(tmp_path / "new" / "runs.json", digits), []
    sweep(runs(SMALL, 2, 2), digits, results, lambda *call: calls.append(call))
    training, testing = digits.read()
    for setting in SMALL:
        turned = [rotated(training, angle) for angle in (setting.angle, -setting.angle) if angle]
        by_hand = []
        for seed in range(2):
            sizes = (784, setting.hidden_nodes, 10)
            network = NeuralNetwork(*sizes, setting.learning_rate, seed=seed, rule=setting.rule, dtype=np.float32)
            scores = []
            for _ in range(2):
                network.fit([example for examples in zip(training, *turned, strict=True) for example in examples])
                scores.append(network.score(testing))
            by_hand.append(scores)
        assert results.of(setting, 2).tolist() == by_hand
    total = sum(run.cost() for run in runs(SMALL, 2, 2))
    assert len(calls) == 6 and calls[-1] == (total, total)


def test_an_interrupted_sweep_is_resumed(digits: Digits, tmp_path: Path) -> None:
    wanted, whole, cut = runs(SMALL[:2], 2, 3), tmp_path / "whole.json", tmp_path / "cut.json"
    sweep(wanted, digits, Results(whole, digits), Mock())

    def interrupt(done: int, _total: int) -> None:
        if done > 60:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep(wanted, digits, Results(cut, digits), interrupt)
    kept = json.loads(cut.read_text())
    left = len(wanted) - len(kept)
    assert 0 < left < len(wanted)
    progress = Mock()
    for _ in range(2):  # the second time there is nothing left to do
        sweep(wanted, digits, Results(cut, digits), progress)
        assert progress.call_count == left
        found = json.loads(cut.read_text())
        assert found == json.loads(whole.read_text()) and kept.items() <= found.items()


def test_a_longer_run_replaces_a_shorter_one(digits: Digits, tmp_path: Path) -> None:
    path, setting = tmp_path / "runs.json", SMALL[0]
    for epochs in (1, 3, 2):
        sweep([Run(setting, epochs, 0)], digits, Results(path, digits), Mock())
    results = Results(path, digits)
    assert results.of(setting, 3).shape == (1, 3)
    assert results.of(setting, 2).tolist() == [results.of(setting, 3)[0, :2].tolist()]
    assert Results(path, replace(digits, count=300)).of(setting, 3).shape == (0, 3)


@pytest.mark.parametrize("text", ["a letter\n", "[0.5]", '{"a": 5}', '{"a": ["b"]}'])
def test_a_file_of_another_format_is_refused_and_unchanged(digits: Digits, tmp_path: Path, text: str) -> None:
    path = tmp_path / "runs.json"
    path.write_text(text)
    with pytest.raises(DataError, match="this file has no results of experiments; choose another folder"):
        Results(path, digits)
    assert path.read_text() == text
