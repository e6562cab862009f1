# mypy: untyped-calls-exclude=nbformat
# (nbformat says that it is typed, and a few of its functions are not.)
"""The lesson on the class as one computer.

The bands of the votes cover ten committees of each kind, with other dice.
"""

from pathlib import Path

import nbformat
import numpy as np
import pytest

from mynn.lesson.guesses import written
from tests.unit.lessons.lesson_run import LESSONS, MEMORY_MIB, Run

pytestmark = pytest.mark.slow

LESSON = "part3_class_computer.ipynb"
SIZES = [200, 100, 50, 20, 10]


@pytest.fixture(scope="module")
def lesson(mnist: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    values = """
        "jobs": jobs, "scores": scores, "seconds": seconds, "total": total, "pis": pis, "times": times,
        "blocks": hand_out([3, 1, 1, 1, 2], 2), "slow_blocks": hand_out([3, 1, 1, 1, 2], 2, slow=4),
        "minutes": [duration(hand_out([1] * 25, number)) for number in (1, 5, 6, 24, 25, 30)],
        "slower": duration(bad) / duration(good), "class_jobs": class_jobs, "reckoned": reckoned,
        "alike": {"alone": right(alike).mean(axis=1), "vote": right(alike.mean(axis=0)).mean()},
        "different": {"alone": alone, "vote": vote, "curve": votes(different)},
        "again": np.abs(opinions(training[4 * share:5 * share], 4) - different[4]).max(),
        "master": right(master).mean(), "hands": hands, "contested": contested, "labels": asked.labels,
        "nobody": nobody, "wrong_alike": (~right(alike)).all(axis=0).sum(),
    """
    tries = {
        "whole-code": ("5", "25 / 6"),
        "start-turn": ("13 + 170 / 17", "183 / 17"),
        "class-turn": ("60_000 / 3_000", "2"),
        "friends-code": ("10", "9"),
        "frequent-code": ("np.bincount(asked.labels[nobody]).argmax()", "np.bincount(asked.labels[nobody]).argmin()"),
    }
    return Run(LESSON, values, mnist, tmp_path_factory.mktemp("class"), tries)


def test_a_sweep_is_measured_job_by_job(lesson: Run) -> None:
    assert lesson.values["jobs"] == [[nodes, dice] for nodes in SIZES for dice in range(5)]
    seconds = np.array(lesson.values["seconds"])
    assert (seconds > 0).all() and seconds.sum() == pytest.approx(lesson.values["total"])
    large, *_, small = seconds.reshape(5, 5).mean(axis=1)
    assert large > 2 * small
    scores = np.array(lesson.values["scores"]).reshape(5, 5).mean(axis=1)
    assert scores[0] == pytest.approx(0.9, abs=0.02) and scores[-1] == pytest.approx(0.66, abs=0.15)
    assert f"200 hidden nodes: {scores[0]:.1%} recognised" in lesson.text("jobs-code")
    assert "Processors in this computer: " in lesson.text("workers-code")


def test_whichever_pi_is_free_gets_the_next_job(lesson: Run) -> None:
    assert lesson.values["blocks"] == [[0, 0, 3], [1, 0, 1], [1, 1, 2], [1, 2, 3], [0, 3, 5]]
    assert lesson.values["slow_blocks"] == [[0, 0, 12], [1, 0, 1], [1, 1, 2], [1, 2, 3], [1, 3, 5]]
    assert lesson.values["minutes"] == [25, 5, 5, 2, 1, 1]  # jobs are whole


def test_more_pis_help_until_the_longest_job_remains(lesson: Run) -> None:
    times, pis, seconds = (np.array(lesson.values[name]) for name in ("times", "pis", "seconds"))
    assert times[0] == pytest.approx(1)
    assert (times >= 1 / pis - 1e-9).all()
    assert times[1] == pytest.approx(0.5, abs=0.1)
    assert times[-2] == times[-1] == pytest.approx(seconds.max() / seconds.sum())
    assert times[-1] > 2 / 30  # the curve lies far above a thirtieth
    assert "(You have not drawn a guess.)" in lesson.text("pis-code")


def test_one_slow_pi_delays_all(lesson: Run) -> None:
    assert lesson.values["slower"] > 2
    assert f"It is {written(round(lesson.values['slower'], 1), 'times')}." in lesson.text("slow-code")


def test_the_measured_sweep_is_what_its_formula_says(lesson: Run) -> None:
    """docs/develop/measurements.md has the figures."""
    for line in lesson.text("start-code").splitlines()[1:5]:
        _, measured, _, _, _, formula, _ = line.split()
        assert float(formula) == pytest.approx(float(measured), abs=1)
    assert "It is 35 s." in lesson.text("start-code")


def test_without_a_cluster_the_class_is_reckoned(lesson: Run) -> None:
    jobs, seconds = np.array(lesson.values["class_jobs"]), np.array(lesson.values["seconds"])
    assert len(jobs) == 60 and jobs.sum() == pytest.approx(20 * 12 / 5 * seconds.sum())
    assert max(jobs.max(), jobs.sum() / 30) <= lesson.values["reckoned"] <= jobs.sum() / 30 + jobs.max()
    assert "30 Pis: " in lesson.text("class-code") and "Your class took" not in lesson.text("class-code")


def test_what_the_class_took_is_shown_beside_what_was_reckoned(mnist: Path, tmp_path: Path) -> None:
    notebook = nbformat.read(LESSONS / LESSON, as_version=4)
    (place,) = [index for index, cell in enumerate(notebook.cells) if cell.id == "class-code"]
    del notebook.cells[place + 1 :]
    cell = notebook.cells[place]
    cell.source = cell.source.replace("class_pis = ...", "class_pis = 8").replace("seconds = ...", "seconds = 240")
    nbformat.write(notebook, tmp_path / LESSON)
    values = '"reckoned": reckoned, "parts": [class_jobs.sum(), class_jobs.max()]'
    run = Run(str(tmp_path / LESSON), values, mnist, tmp_path)
    total, longest = run.values["parts"]
    assert total / 8 <= run.values["reckoned"] <= total / 8 + longest
    times = 240 / run.values["reckoned"]
    assert f"Your class took 240 seconds, {times:.1f} times as long as reckoned." in run.text("class-code")
    assert " 8 Pis: " in run.text("class-code")


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
    assert f"Together: {vote:.1%}" in lesson.text("different-code")


def test_mistakes_are_shared_by_those_that_are_alike(lesson: Run) -> None:
    """Ten committees of each kind: .833 to .839, and .651 to .659."""
    alike, different = lesson.text("map-code").splitlines()
    assert alike.startswith("Learnt from the same digits:") and different.startswith("Learnt from digits of its own:")
    shares = [int(line.split()[-4].rstrip("%")) for line in (alike, different)]
    assert shares[0] == pytest.approx(83.6, abs=2) and shares[1] == pytest.approx(65.5, abs=2)


def test_a_master_beats_thirty_beginners(lesson: Run) -> None:
    """Ten masters: .904 to .927."""
    assert lesson.values["master"] == pytest.approx(0.915, abs=0.02)
    assert lesson.values["master"] > lesson.values["different"]["vote"] + 0.005


def test_each_pi_of_the_class_has_a_vote(lesson: Run) -> None:
    """Whoever trains the network of one Pi again gets the same one."""
    assert lesson.values["again"] == 0
    hands, labels = np.array(lesson.values["hands"]), lesson.values["labels"]
    assert hands.shape == (10, 2000) and (hands.sum(axis=0) == 30).all()
    assert len(lesson.values["contested"]) == 10
    assert hands[:, lesson.values["contested"]].max() <= 12
    said = lesson.text("contest-result").splitlines()
    for place, digit in enumerate(lesson.values["contested"]):
        assert said[place].startswith(f"number {place + 1:2}: {hands[:, digit].max()} say ")
        assert said[place].endswith(f"It is a {labels[digit]}.")
    assert lesson.text("contest-code").count("my network says") == 10


def test_some_digits_nobody_reads(lesson: Run) -> None:
    """Ten committees: 49 to 57 of 2,000, and 133 to 142 if they are alike; one network 282 to 308."""
    nobody, hands = lesson.values["nobody"], np.array(lesson.values["hands"])
    assert len(nobody) == pytest.approx(52, abs=10)
    assert lesson.values["wrong_alike"] > 2 * len(nobody)
    assert (hands[np.array(lesson.values["labels"])[nobody], nobody] == 0).all()
    assert f"It is {len(nobody)} digits." in lesson.text("all-code")
    assert "one network gets 29" in lesson.text("all-guess")


def test_everything_is_plotted(lesson: Run) -> None:
    for cell in ("pis-code", "blocks-code", "slow-code", "different-code", "map-code"):
        assert np.ptp(lesson.picture(cell)[..., :3], axis=2).mean() > 0.003, cell  # in colour
    for cell in ("contest-code", "all-code"):
        assert 0.01 < lesson.ink(cell) < 0.5, cell


def test_exercises_are_checked_and_progress_is_saved(lesson: Run) -> None:
    lesson.assert_answers_are_checked("whole-code", "start-turn", "class-turn", "friends-code", "frequent-code")
    lesson.assert_is_finished("part3_class_computer", score=lesson.values["different"]["vote"])


def test_the_lesson_fits_into_a_pi_zeros_memory(lesson: Run) -> None:
    assert lesson.values["peak"] < MEMORY_MIB
