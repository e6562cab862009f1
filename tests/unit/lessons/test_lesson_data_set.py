"""The lesson on the data set."""

from pathlib import Path

import numpy as np
import pytest

from mynn import read_csv
from mynn.mnist import Examples
from tests.unit.lessons.lesson_run import Run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def lesson(mnist: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    values = """
        "parrot": parrot_scores, "answers": answers, "wrong": wrong,
        "blur": blur,
    """
    tries = {
        "fours-code": ("counts[4]", "counts[5]"),
        "grey-code": ("128 / 255 * 0.99 + 0.01", "128 / 255"),
    }
    return Run("part2_mnist_data_set.ipynb", values, mnist, tmp_path_factory.mktemp("data_set"), tries)


@pytest.fixture(scope="module")
def training(mnist: Path) -> Examples:
    return read_csv(mnist / "mnist_train.csv", limit=10_000)


def test_a_line_becomes_a_picture(lesson: Run, training: Examples) -> None:
    title, *rows = lesson.text("pixels-code").splitlines()
    assert title == f"The label is {training.labels[0]}"
    read = [0 if word == "." else int(word) for row in rows for word in row.split()]
    assert read == training.pixels[0].tolist()
    assert 0.05 < lesson.ink("picture-code") < 0.2


def test_the_parrot_knows_only_the_training_digits(lesson: Run) -> None:
    """To unknown digits the parrot answers 1, and 1,135 of the 10,000 test digits are a 1."""
    assert lesson.values["parrot"] == [1.0, 0.1135]


def test_the_first_reader_recognises_as_many_digits_as_it_says(lesson: Run, mnist: Path) -> None:
    """It involves no chance, so there is a figure and no band."""
    labels = read_csv(mnist / "mnist_test.csv").labels
    answers = np.array(lesson.values["answers"])
    assert np.mean(answers == labels) == pytest.approx(0.8104, abs=0.0003)
    wrong = np.flatnonzero(answers != labels)[:40]
    assert lesson.values["wrong"] == wrong.tolist()


def test_it_runs_to_its_end_and_checks_its_exercises(lesson: Run) -> None:
    lesson.assert_is_whole(score=0.8104)
    assert np.argmin(lesson.values["blur"]) == 1
    assert "be the sharpest? It is 1. (You have not guessed.)" in lesson.text("average-code")
    assert "It is 81 %. (You have not guessed.)" in lesson.text("test-code")
