# mypy: untyped-calls-exclude=nbformat
# (nbformat says that it is typed, and a few of its functions are not.)
"""The lesson on the class as one computer.

The bands of the votes cover ten committees of each kind, with other dice.
"""

from pathlib import Path

import numpy as np
import pytest

from mynn.lesson.guesses import written
from tests.unit.lessons.lesson_run import Run

pytestmark = pytest.mark.slow

LESSON = "part3_class_computer.ipynb"
SIZES = [200, 100, 50, 20, 10]


@pytest.fixture(scope="module")
def lesson(mnist: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    values = """
        "seconds": seconds,
        "blocks": hand_out([3, 1, 1, 1, 2], 2), "slow_blocks": hand_out([3, 1, 1, 1, 2], 2, slow=4),
        "minutes": [duration(hand_out([1] * 25, number)) for number in (1, 5, 6, 24, 25, 30)],
        "class_jobs": class_jobs, "reckoned": reckoned,
        "alike": {"alone": right(alike).mean(axis=1), "vote": right(alike.mean(axis=0)).mean()},
        "different": {"alone": alone, "vote": vote, "curve": votes(different)},
        "master": right(master).mean(),
    """
    tries = {
        "whole-code": ("5", "25 / 6"),
        "start-turn": ("13 + 170 / 17", "183 / 17"),
        "class-turn": ("60_000 / 3_000", "2"),
        "friends-code": ("10", "9"),
        "frequent-code": ("np.bincount(asked.labels[nobody]).argmax()", "np.bincount(asked.labels[nobody]).argmin()"),
    }
    return Run(LESSON, values, mnist, tmp_path_factory.mktemp("class"), tries)


def test_whichever_pi_is_free_gets_the_next_job(lesson: Run) -> None:
    assert lesson.values["blocks"] == [[0, 0, 3], [1, 0, 1], [1, 1, 2], [1, 2, 3], [0, 3, 5]]
    assert lesson.values["slow_blocks"] == [[0, 0, 12], [1, 0, 1], [1, 1, 2], [1, 2, 3], [1, 3, 5]]
    assert lesson.values["minutes"] == [25, 5, 5, 2, 1, 1]  # jobs are whole


def test_without_a_cluster_the_class_is_reckoned(lesson: Run) -> None:
    jobs, seconds = np.array(lesson.values["class_jobs"]), np.array(lesson.values["seconds"])
    assert len(jobs) == 60 and jobs.sum() == pytest.approx(20 * 12 / 5 * seconds.sum())
    assert max(jobs.max(), jobs.sum() / 30) <= lesson.values["reckoned"] <= jobs.sum() / 30 + jobs.max()


def test_opinions_that_are_alike_gain_little(lesson: Run) -> None:
    """Ten committees: .853 to .855 alone, .857 to .861 together. From other digits, at most .013 were gained."""
    alone, vote = np.mean(lesson.values["alike"]["alone"]), lesson.values["alike"]["vote"]
    assert alone == pytest.approx(0.8545, abs=0.006)
    assert 0 < vote - alone < 0.015
    assert f"together? It is {written(round(100 * vote, 1), '%')}." in lesson.text("alike-code")


def test_opinions_that_differ_are_better_together_than_the_best_alone(lesson: Run) -> None:
    """Ten committees: .852 to .855 alone, the best .869 to .879, .884 to .890 together; ten voters .882 to .886."""
    alone, vote = np.array(lesson.values["different"]["alone"]), lesson.values["different"]["vote"]
    assert len(alone) == 30
    assert alone.mean() == pytest.approx(np.mean(lesson.values["alike"]["alone"]), abs=0.01)  # no better alone
    assert vote == pytest.approx(0.8875, abs=0.008)
    assert vote > alone.max() + 0.003
    curve = np.array(lesson.values["different"]["curve"])
    assert curve.shape == (5, 10) and (curve[:, -1] == vote).all()
    first, tenth = curve.mean(axis=0)[[0, 5]]
    assert tenth - first > 0.7 * (vote - first)  # the first ten do nearly all of it


def test_a_master_beats_thirty_beginners(lesson: Run) -> None:
    """Ten masters: .904 to .927."""
    assert lesson.values["master"] == pytest.approx(0.915, abs=0.02)
    assert lesson.values["master"] > lesson.values["different"]["vote"] + 0.005


def test_it_runs_to_its_end_and_checks_its_exercises(lesson: Run) -> None:
    lesson.assert_is_whole(score=lesson.values["different"]["vote"])
