"""The two lessons on students' own handwriting, and the first one's six pictures, which a script makes."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mynn import NeuralNetwork, drawings, read_csv
from tests.unit.lessons import own_hand
from tests.unit.lessons.lesson_run import LESSONS, Run

pytestmark = pytest.mark.slow

PICTURES = LESSONS / "my_own_images"
NAMES = ("ballpoint_4", "marker_5", "printed_2", "gaps_3", "wobbly_6", "noisy_6")


def test_the_script_reproduces_the_pictures(tmp_path: Path) -> None:
    """Pixel by pixel. True of Pillow 9.4 and 13, numpy 1.24 and 2.4, and matplotlib 3.6 and 3.11."""
    subprocess.run([sys.executable, PICTURES / "make_pictures.py", tmp_path], check=True)
    assert sorted(path.stem for path in tmp_path.iterdir()) == sorted(NAMES)
    for path in PICTURES.glob("*.png"):
        with Image.open(path) as kept, Image.open(tmp_path / path.name) as made:
            assert (kept.mode, kept.size) == (made.mode, made.size) == ("L", (28, 28))
            assert (np.asarray(kept) == np.asarray(made)).all(), path.name


@pytest.fixture(scope="module")
def lesson(mnist: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("own")
    shutil.copytree(PICTURES, folder / "my_own_images")
    (folder / "my_own_images/photo_9.JPG").write_bytes(b"not a picture")
    values = """
        "framed": framed_answers,
        "accuracy": network.score(testing), "scores": scores, "scores_used": scores_used,
    """
    tries = {"brightness-code": ("55", "200"), "white-code": ("(pixels == 0).sum()", "784")}
    return Run("part3_neural_network_mnist_and_own_data.ipynb", values, mnist, folder, tries)


def test_five_of_the_six_framed_pictures_are_recognised(lesson: Run) -> None:
    """All of ten networks recognise these five: python -m tests.unit.lessons.handwriting --small."""
    assert tuple(lesson.values["framed"]) == NAMES
    for name in NAMES[:5]:
        assert lesson.values["framed"][name] == int(name[-1]), name
        assert f"{name:12} it says {name[-1]}" in lesson.text("framing-code")
    assert 0.9 < lesson.values["accuracy"] < 0.95
    assert f"{lesson.values['accuracy']:.1%} of 1000 test digits" in lesson.text("training-code")


def test_training_with_noise_helps_to_recognise_noisy_digits(lesson: Run) -> None:
    scores, used = lesson.values["scores"], lesson.values["scores_used"]
    assert scores[0] > 0.9 and used[0] > 0.89
    assert used[3] > scores[3] + 0.1
    assert scores[-1] < scores[0] - 0.2


def test_all_pictures_in_the_folder_are_read_and_other_files_reported(lesson: Run) -> None:
    text = lesson.text("own-code")
    assert text.count("it says") == 6
    assert "photo_9.JPG: this is not a PNG or JPEG picture" in text


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
    """
    tries = {"few-code": ("5", "1"), "half-code": ("13", "12")}
    return Run("part3_neural_network_mnist_and_own_data_2.ipynb", values, mnist, folder, tries)


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


def test_a_network_that_learns_a_persons_handwriting_recognises_it_better(drawn: Run) -> None:
    assert drawn.values["now"] > drawn.values["before"] + 0.05
    assert drawn.values["learnt"] >= drawn.values["now"]
    assert f"{drawn.values['now']:6.1%} now" in drawn.text("learn-code")


def test_it_runs_to_its_end_and_checks_its_exercises(lesson: Run, drawn: Run) -> None:
    lesson.assert_is_whole(score=lesson.values["accuracy"])
    drawn.assert_is_whole(score=drawn.values["own"])
