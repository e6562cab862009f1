"""The six handwritten pictures, which a script makes."""

import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from tests.unit.lessons.lesson_run import LESSONS

FOLDER = LESSONS / "my_own_images"
NAMES = ("ballpoint_4", "marker_5", "printed_2", "gaps_3", "wobbly_6", "noisy_6")


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
