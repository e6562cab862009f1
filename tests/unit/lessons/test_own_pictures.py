"""The six handwritten pictures, which a script makes."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mynn import read_csv
from tests.unit.lessons.handwriting import NAMES, SMALL, count, noisy, plain
from tests.unit.lessons.lesson_run import LESSONS

FOLDER = LESSONS / "my_own_images"


def pixels(path: Path) -> np.ndarray:
    """Return brightness, 0 to 255, (28, 28)."""
    with Image.open(path) as picture:
        assert (picture.mode, picture.size) == ("L", (28, 28))
        return np.asarray(picture)


def test_the_script_reproduces_the_pictures(tmp_path: Path) -> None:
    """Pixel by pixel. True of Pillow 9.4 and 13, numpy 1.24 and 2.4, and matplotlib 3.6 and 3.11."""
    subprocess.run([sys.executable, FOLDER / "make_pictures.py", tmp_path], check=True)
    assert sorted(path.stem for path in tmp_path.iterdir()) == sorted(NAMES)
    assert sorted(path.stem for path in FOLDER.glob("*.png")) == sorted(NAMES)
    for path in tmp_path.iterdir():
        assert (pixels(path) == pixels(FOLDER / path.name)).all(), path.name


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_is_a_dark_digit_on_white_paper(name: str) -> None:
    picture = pixels(FOLDER / f"{name}.png")
    assert np.median(picture) > 220
    assert 0.03 < (picture < 128).mean() < 0.3


def test_noisy_6_is_wobbly_6_with_noise() -> None:
    noisy, wobbly = (pixels(FOLDER / f"{name}_6.png").astype(float) for name in ("noisy", "wobbly"))
    assert np.corrcoef(noisy.flat, wobbly.flat)[0, 1] == pytest.approx(0.76, abs=0.1)
    assert (noisy - wobbly).std() == pytest.approx(44, abs=5)


def test_nearly_all_networks_recognise_five_of_the_six(mnist: Path) -> None:
    """All of ten networks recognise these five once framed (handwriting.py --small). This test trains three."""
    training = read_csv(mnist / "mnist_train.csv", limit=SMALL.examples)
    counts, _ = count(training, SMALL, plain, range(3))
    for name in NAMES:
        if name != "noisy_6":
            assert counts[name, "framed"] == 3, name
            assert counts[name, "raw"] >= 2, name


def test_noise_is_added_to_paper_and_ink(mnist: Path) -> None:
    digits = read_csv(mnist / "mnist_train.csv", limit=100)
    result = noisy(digits, np.random.default_rng(1))
    assert (result.labels == digits.labels).all()
    change = result.pixels.astype(float) - digits.pixels
    assert change[digits.pixels == 0].max() > 100 and change[digits.pixels == 255].min() < -100
    assert change.std(axis=1).min() < 10 < 30 < change.std(axis=1).max()
