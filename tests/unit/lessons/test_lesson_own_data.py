"""The lesson on own handwriting: what it reads, and what it shows."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.unit.lessons.lesson_run import LESSONS, MEMORY_MIB, Run

pytestmark = pytest.mark.slow

NAMES = ["ballpoint_4", "marker_5", "printed_2", "gaps_3", "wobbly_6", "noisy_6"]


@pytest.fixture(scope="module")
def lesson(mnist: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("own")
    shutil.copytree(LESSONS / "my_own_images", folder / "my_own_images")
    (folder / "my_own_images/photo_9.JPG").write_bytes(b"no picture at all")
    values = """
        "first": first_answers, "framed": framed_answers, "noise": noise_answers,
        "accuracy": network.score(testing), "scores": scores, "scores_used": scores_used,
        "drawn": [int(pad.network is network), pad.says],
    """
    return Run("part3_neural_network_mnist_and_own_data.ipynb", values, mnist, folder)


def test_five_of_six_are_read_once_they_are_framed(lesson: Run) -> None:
    """Of ten networks all read each of the five: python -m tests.unit.lessons.handwriting --small."""
    assert list(lesson.values["framed"]) == NAMES
    for name in NAMES[:5]:
        assert lesson.values["framed"][name] == int(name[-1]), name
        assert f"{name:12} it says {name[-1]}" in lesson.text("framing-code")
    assert 0.9 < lesson.values["accuracy"] < 0.95
    assert f"{lesson.values['accuracy']:.1%} of 1000 test digits" in lesson.text("training-code")


def test_what_the_first_try_says_is_what_it_prints(lesson: Run) -> None:
    for cell, key in (("first-code", "first"), ("noise-ask-code", "noise")):
        text = lesson.text(cell)
        right = sum(answer == int(name[-1]) for name, answer in lesson.values[key].items())
        assert right >= 4
        assert text.count("right") == right
        assert text.count("WRONG") == 6 - right


def test_noise_teaches_to_read_noise(lesson: Run) -> None:
    scores, used = lesson.values["scores"], lesson.values["scores_used"]
    assert scores[0] > 0.9 and used[0] > 0.89
    assert used[3] > scores[3] + 0.1
    assert scores[-1] < scores[0] - 0.2


def test_all_of_the_folder_is_read_and_what_is_no_picture_is_said_to_be_so(lesson: Run) -> None:
    text = lesson.text("own-code")
    assert text.count("it says") == 6
    assert "photo_9.JPG: this is not a PNG or JPEG picture" in text


def test_it_shows_the_pictures(lesson: Run) -> None:
    for cell in ("six-code", "framing-code", "noise-code"):
        assert 0.02 < lesson.ink(cell) < 0.5, cell
    assert np.ptp(lesson.picture("dirtier-code")[..., :3], axis=2).mean() > 0.005  # lines in colour


def test_there_is_a_pad(lesson: Run) -> None:
    (shown,) = [output for output in lesson.outputs["pad-code"] if "data" in output]
    assert "application/vnd.jupyter.widget-view+json" in shown["data"]
    assert lesson.values["drawn"] == [1, "Draw a digit on the white square, with the mouse or a finger."]
    assert "The network that has met noise says" in lesson.text("keep-code")


def test_it_fits_a_pi_zero(lesson: Run) -> None:
    assert lesson.values["peak"] < MEMORY_MIB
