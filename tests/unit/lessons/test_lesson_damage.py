"""The lesson on damage. Bands hold what three networks, with five or ten orders each, came to."""

from pathlib import Path

import numpy as np
import pytest

from tests.unit.lessons.lesson_run import MEMORY_MIB, Run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def lesson(mnist: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    values = """
        "whole": whole, "survived": survived, "one_missing": one_missing, "removed": removed, "scores": scores,
        "sizes": {name: runs.mean(axis=0) for name, (_, runs) in lines.items()},
        "halves": halves, "of_each": read_of_each(network), "healing": healing, "learning": learning,
        "still_whole": network.score(testing),
    """
    return Run("part3_neural_network_mnist_damage.ipynb", values, mnist, tmp_path_factory.mktemp("damage"))


def test_a_program_breaks_and_a_network_hardly_notices(lesson: Run) -> None:
    assert lesson.values["survived"] == 0
    assert "whole program works: True" in lesson.text("program-code")
    assert "0 of 7 damaged programs still work" in lesson.text("program-code")
    assert lesson.values["whole"] == lesson.values["still_whole"] == pytest.approx(0.895, abs=0.02)
    assert len(lesson.values["one_missing"]) == 30
    assert len(set(lesson.values["one_missing"])) > 3  # not always the same node
    assert min(lesson.values["one_missing"]) > lesson.values["whole"] - 0.03


def test_the_decline_is_graceful(lesson: Run) -> None:
    removed, scores = lesson.values["removed"], np.array(lesson.values["scores"])
    assert removed == [*range(0, 100, 10), 99]
    assert (scores[:, 0] == lesson.values["whole"]).all()
    mean = scores.mean(axis=0)
    assert (np.diff(mean) < 0.01).all()
    assert mean[3] == pytest.approx(0.84, abs=0.06)
    assert mean[5] == pytest.approx(0.73, abs=0.1)
    assert mean[9] == pytest.approx(0.29, abs=0.13)
    assert mean[10] < 0.2
    assert scores[:, 6].std() > 2 * scores[:, 1].std()  # luck shows in the middle
    assert "50 of 100 nodes removed" in lesson.text("curve-code")


def test_which_digit_suffers_is_luck(lesson: Run) -> None:
    halves, whole = np.array(lesson.values["halves"]), np.array(lesson.values["of_each"])
    assert halves.shape == (5, 10)
    assert len(set(halves.argmin(axis=1))) >= 2
    assert halves.mean() < whole.mean() - 0.05
    assert f"the {halves[0].argmin()} suffers most" in lesson.text("labels-code")


def test_a_larger_network_bears_more(lesson: Run) -> None:
    at_half = [scores[5] for scores in lesson.values["sizes"].values()]
    assert list(lesson.values["sizes"]) == ["20 hidden nodes", "100 hidden nodes", "300 hidden nodes"]
    assert at_half[0] + 0.08 < at_half[1] < at_half[2]
    assert at_half[0] == pytest.approx(0.51, abs=0.12)


def test_practice_heals(lesson: Run) -> None:
    patients, beginners = np.array(lesson.values["healing"]), np.array(lesson.values["learning"])
    assert patients.shape == beginners.shape == (5, 7)
    assert patients[:, 0].mean() == pytest.approx(0.6, abs=0.12)
    assert patients[:, -1].mean() == pytest.approx(0.873, abs=0.025)
    assert patients[:, 2].mean() - patients[:, 0].mean() > 0.05  # by thirty digits
    assert (patients.mean(axis=0) > beginners.mean(axis=0)).all()
    assert beginners[:, -1].mean() > 0.8


def test_the_lesson_has_its_pictures(lesson: Run) -> None:
    for cell in ("node-code", "curve-code", "labels-code", "confused-code", "sizes-code", "heal-code"):
        assert lesson.picture(cell).std() > 0.05, cell
    assert np.ptp(lesson.picture("weights-code")[..., :3], axis=2).mean() > 0.05  # in colour


def test_the_lesson_fits_a_pi_zero(lesson: Run) -> None:
    assert lesson.values["peak"] < MEMORY_MIB
