"""The lesson that improves the network.

The bands are about three standard deviations wide, from twenty seeds, each with the lesson's own digits.
"""

from pathlib import Path

import numpy as np
import pytest

from tests.unit.lessons.lesson_run import Run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def lesson(mnist: Path, networks: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    values = """
        "ten": ten, "rates": rates, "by_rate": by_rate, "best_rate": best_rate,
        "by_epoch": {str(rate): scores for rate, scores in by_epoch.items()},
        "nodes": nodes, "by_nodes": by_nodes, "before": before, "after": after,
    """
    tries = {
        "choose-code": ("best_rate", "0.01"),
        "gone-code": ("1 - (1 - after) / (1 - before)", "after - before"),
    }
    folder = tmp_path_factory.mktemp("improved")
    return Run("part2_neural_network_mnist_improved.ipynb", values, mnist, folder, tries)


def test_scores_vary_with_the_seed(lesson: Run) -> None:
    ten = np.array(lesson.values["ten"])
    assert ten.mean() == pytest.approx(0.898, abs=0.005)
    assert 0.001 < ten.std(ddof=1) < 0.01


def test_a_medium_learning_rate_is_best(lesson: Run) -> None:
    means = dict(zip(lesson.values["rates"], np.mean(lesson.values["by_rate"], axis=1), strict=True))
    assert np.shape(lesson.values["by_rate"]) == (7, 3)
    for rate, mean, band in [(0.01, 0.828, 0.03), (0.1, 0.898, 0.01), (0.2, 0.905, 0.01), (1.0, 0.811, 0.07)]:
        assert means[rate] == pytest.approx(mean, abs=band)
    assert lesson.values["best_rate"] in (0.1, 0.2, 0.3)


def test_more_epochs_help_small_learning_rates_most(lesson: Run) -> None:
    means = {rate: np.mean(scores, axis=0) for rate, scores in lesson.values["by_epoch"].items()}
    gains = {rate: mean[-1] - mean[0] for rate, mean in means.items()}
    assert means["0.1"][-1] == pytest.approx(0.923, abs=0.012)
    assert gains["0.03"] > gains["0.1"] > 0.01
    assert means["0.6"][-1] < min(means["0.03"][-1], means["0.1"][-1])


def test_more_hidden_nodes_help_less_and_less(lesson: Run) -> None:
    scores = np.array(lesson.values["by_nodes"])
    means = dict(zip(lesson.values["nodes"], scores.mean(axis=1), strict=True))
    assert means[5] == pytest.approx(0.51, abs=0.2)
    assert means[10] == pytest.approx(0.84, abs=0.08)
    assert means[50] == pytest.approx(0.916, abs=0.01)
    assert means[200] == pytest.approx(0.933, abs=0.008)
    assert (np.diff(list(means.values())) > 0).all()
    assert scores[0].std(ddof=1) > scores[-1].std(ddof=1)


def test_the_test_set_confirms_the_improvement(lesson: Run) -> None:
    before, after = lesson.values["before"], lesson.values["after"]
    assert before == pytest.approx(0.895, abs=0.01)
    assert after == pytest.approx(0.9405, abs=0.006)


def test_it_runs_to_its_end_and_checks_its_exercises(lesson: Run) -> None:
    lesson.assert_is_whole(score=lesson.values["after"])
    assert "so this is the network on the card, with 200 hidden nodes" in lesson.text("mine-code")
