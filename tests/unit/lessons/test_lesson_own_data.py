"""The two lessons on students' own handwriting."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mynn import NeuralNetwork, drawings, read_csv
from tests.unit.lessons import own_hand
from tests.unit.lessons.handwriting import NAMES
from tests.unit.lessons.lesson_run import LESSONS, MEMORY_MIB, Run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def lesson(mnist: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("own")
    shutil.copytree(LESSONS / "my_own_images", folder / "my_own_images")
    (folder / "my_own_images/photo_9.JPG").write_bytes(b"not a picture")
    values = """
        "first": first_answers, "framed": framed_answers, "noise": noise_answers,
        "accuracy": network.score(testing), "scores": scores, "scores_used": scores_used,
    """
    return Run("part3_neural_network_mnist_and_own_data.ipynb", values, mnist, folder)


def test_five_of_the_six_framed_pictures_are_recognised(lesson: Run) -> None:
    """All of ten networks recognise these five: python -m tests.unit.lessons.handwriting --small."""
    assert tuple(lesson.values["framed"]) == NAMES
    for name in NAMES[:5]:
        assert lesson.values["framed"][name] == int(name[-1]), name
        assert f"{name:12} it says {name[-1]}" in lesson.text("framing-code")
    assert 0.9 < lesson.values["accuracy"] < 0.95
    assert f"{lesson.values['accuracy']:.1%} of 1000 test digits" in lesson.text("training-code")


def test_the_lessons_network_is_typical(lesson: Run) -> None:
    """Nine of ten networks recognise at least five of the six unframed pictures; all ten recognise all framed ones."""
    assert [name for name in NAMES if lesson.values["first"][name] != int(name[-1])] == ["noisy_6"]
    assert "It is 5. (You have not guessed.)" in lesson.text("first-code")


def test_right_and_wrong_answers_are_printed(lesson: Run) -> None:
    for cell, key in (("first-code", "first"), ("noise-ask-code", "noise")):
        text = lesson.text(cell)
        right = sum(answer == int(name[-1]) for name, answer in lesson.values[key].items())
        assert right >= 4
        assert text.count("right") == right
        assert text.count("WRONG") == 6 - right


def test_training_with_noise_helps_to_recognise_noisy_digits(lesson: Run) -> None:
    scores, used = lesson.values["scores"], lesson.values["scores_used"]
    assert scores[0] > 0.9 and used[0] > 0.89
    assert used[3] > scores[3] + 0.1
    assert scores[-1] < scores[0] - 0.2


def test_all_pictures_in_the_folder_are_read_and_other_files_reported(lesson: Run) -> None:
    text = lesson.text("own-code")
    assert text.count("it says") == 6
    assert "photo_9.JPG: this is not a PNG or JPEG picture" in text


def test_pictures_and_plots_are_shown(lesson: Run) -> None:
    for cell in ("six-code", "framing-code", "noise-code"):
        assert 0.02 < lesson.ink(cell) < 0.5, cell
    assert np.ptp(lesson.picture("dirtier-code")[..., :3], axis=2).mean() > 0.005  # coloured lines


def test_improvements_and_losses_are_printed(lesson: Run) -> None:
    text = lesson.text("noise-ask-code")
    assert "became better: noisy_6\n" in text
    assert "became worse:  none\n" in text
    clean = f"{lesson.values['scores'][0]:.1%} before, {lesson.values['scores_used'][0]:.1%} with noise learnt"
    assert clean in lesson.text("dirtier-code")


def test_the_lesson_fits_into_a_pi_zeros_memory(lesson: Run) -> None:
    assert lesson.values["peak"] < MEMORY_MIB


# The second lesson: the pad, and the student's own test set.


@pytest.fixture(scope="module")
def networks(mnist: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A network on the card, smaller than the real one."""
    folder = tmp_path_factory.mktemp("networks")
    network = NeuralNetwork(784, 100, 10, 0.2, seed=1)
    network.fit(read_csv(mnist / "mnist_train.csv", limit=20_000))
    network.save(folder / "digits.npz")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NETWORKS_DIR", str(folder))
        yield


def own_test_set(folder: Path, mnist: Path) -> Run:
    values = """
        "drawn": [int(pad.network is network), pad.says],
        "own": network.score(mine) if len(mine) else None,
        "before": network.score(held_out) if len(mine) else None,
        "now": used_to_me.score(held_out) if len(mine) else None,
        "learnt": used_to_me.score(learning) if len(mine) else None,
        "halves": [learning.labels, held_out.labels],
    """
    return Run("part3_neural_network_mnist_and_own_data_2.ipynb", values, mnist, folder)


@pytest.fixture(scope="module")
def empty(networks: None, mnist: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The lesson after Run All, without a drawing."""
    return own_test_set(tmp_path_factory.mktemp("empty"), mnist)


@pytest.fixture(scope="module")
def drawn(networks: None, mnist: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The lesson with ten drawings of each digit."""
    folder = tmp_path_factory.mktemp("drawn")
    for label, pixels in zip(*vars(own_hand.drawings(10, seed=1)).values(), strict=True):
        drawings.keep(int(label), pixels, folder / drawings.NAME)
    return own_test_set(folder, mnist)


def test_run_all_works_without_drawings(empty: Run) -> None:
    (beside, shown) = [output for output in empty.outputs["pad-code"] if "data" in output]
    assert "application/vnd.jupyter.widget-view+json" in shown["data"]
    assert shown["data"]["text/plain"] in beside["data"]["text/html"]
    assert empty.values["drawn"] == [1, "Draw a digit on the white square."]
    assert "There is nothing on the pad." in empty.text("keep-code")
    assert "0 drawings of your own\nDraw some on the pad" in empty.text("mine-code")
    assert empty.text("score-code") == ""
    assert "Keep at least two drawings of each digit" in empty.text("learn-code")


def test_drawings_are_scored_and_shown(drawn: Run) -> None:
    assert "100 drawings of your own" in drawn.text("mine-code")
    assert f"recognises {drawn.values['own']:.0%} of your 100 drawings" in drawn.text("score-code")
    assert 0.02 < drawn.ink("mine-code") < 0.5
    assert 0.01 < drawn.ink("misread-code") < 0.5


def test_both_halves_have_all_digits_equally_often(drawn: Run) -> None:
    assert drawn.values["halves"] == [[digit for digit in range(10) for _ in range(5)]] * 2


def test_a_network_that_learns_a_persons_handwriting_recognises_it_better(drawn: Run) -> None:
    assert drawn.values["now"] > drawn.values["before"] + 0.05
    assert drawn.values["learnt"] >= drawn.values["now"]
    assert f"{drawn.values['now']:6.1%} now" in drawn.text("learn-code")


def test_the_second_lesson_fits_into_a_pi_zeros_memory(drawn: Run) -> None:
    assert drawn.values["peak"] < MEMORY_MIB
