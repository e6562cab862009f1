"""The lesson on damage, with the network on the card.

The bands cover ten networks like it, with seeds 1 to 10, each damaged in five random orders.
"""

from pathlib import Path

import numpy as np
import pytest

from mynn.lesson.guesses import written
from tests.unit.lessons.lesson_run import Run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def lesson(mnist: Path, networks: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    values = """
        "whole": whole, "survived": survived, "one_missing": one_missing, "removed": removed, "scores": scores,
        "sizes": {name: runs.mean(axis=0) for name, (_, runs) in lines.items()},
        "healing": healing, "learning": learning,
        "still_whole": network.score(testing), "counts": counts,
    """
    tries = {"links-code": ("784 + 10", "784"), "reddest-code": ("2", "4")}
    folder = tmp_path_factory.mktemp("damage")
    return Run("part3_neural_network_mnist_damage.ipynb", values, mnist, folder, tries)


def test_damage_breaks_a_program_but_hardly_a_network(lesson: Run) -> None:
    """Ten networks recognised .9645 to .970 before, and at worst .004 less without one node."""
    assert lesson.values["survived"] == 0
    assert lesson.values["whole"] == lesson.values["still_whole"] == pytest.approx(0.967, abs=0.005)
    assert len(lesson.values["one_missing"]) == 30
    assert len(set(lesson.values["one_missing"])) > 3  # not always the same node
    assert min(lesson.values["one_missing"]) > lesson.values["whole"] - 0.01


def test_the_decline_is_graceful(lesson: Run) -> None:
    removed, scores = lesson.values["removed"], np.array(lesson.values["scores"])
    assert removed == [*range(0, 200, 20), 199]
    assert (scores[:, 0] == lesson.values["whole"]).all()
    mean = scores.mean(axis=0)
    assert (np.diff(mean) < 0.01).all()
    assert mean[3] == pytest.approx(0.905, abs=0.03)
    assert mean[5] == pytest.approx(0.795, abs=0.06)
    assert mean[9] == pytest.approx(0.33, abs=0.09)
    assert mean[10] < 0.2
    assert scores[:, 6].std() > 2 * scores[:, 1].std()  # chance matters most in the middle
    assert mean[3] == pytest.approx(0.88, abs=0.01) and mean[5] == pytest.approx(0.76, abs=0.01)  # as the text says


def test_the_reddest_column_is_the_one_that_the_text_names(lesson: Run) -> None:
    counts = np.array(lesson.values["counts"])
    mistakes = counts.sum(axis=0) - counts.diagonal()
    assert mistakes.argmax() == 2 and mistakes[2] > mistakes.sum() / 2


def test_larger_networks_tolerate_more_damage(lesson: Run) -> None:
    at_half = [scores[5] for scores in lesson.values["sizes"].values()]
    assert list(lesson.values["sizes"]) == ["20 hidden nodes", "100 hidden nodes", "300 hidden nodes"]
    assert at_half[0] + 0.08 < at_half[1] < at_half[2]
    assert at_half[0] == pytest.approx(0.51, abs=0.12)


def test_further_training_repairs_a_damaged_network(lesson: Run) -> None:
    """Ten networks: .54 to .64 after the damage, .73 to .82 after a hundred digits, and .91 to .92 at the end."""
    patients, beginners = np.array(lesson.values["healing"]), np.array(lesson.values["learning"])
    assert patients.shape == beginners.shape == (5, 7)
    assert patients[:, 0].mean() == pytest.approx(0.59, abs=0.08)
    assert patients[:, -1].mean() == pytest.approx(0.917, abs=0.015)
    assert patients[:, 3].mean() - patients[:, 0].mean() > 0.1  # after a hundred digits
    assert (patients.mean(axis=0) > beginners.mean(axis=0)).all()
    # A hundred digits do more for a patient than a thousand for a beginner.
    assert beginners[:, 5].mean() < patients[:, 3].mean() < beginners[:, -1].mean()
    assert beginners[:, -1].mean() > 0.8
    hundred = round(100 * patients[:, 3].mean(), 1)
    assert f"with a hundred digits? It is {written(hundred, '%')}." in lesson.text("heal-code")


def test_it_runs_to_its_end_and_checks_its_exercises(lesson: Run) -> None:
    lesson.assert_is_whole(score=lesson.values["whole"])
