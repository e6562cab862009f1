"""Showing results on the wall: only what was chosen is shown, and no student's file is lost."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mynn import DataError, Examples, NeuralNetwork, targets_for, wall

pytestmark = pytest.mark.usefixtures("folder")


def random_digits(count: int) -> Examples:
    random = np.random.default_rng(1)
    return Examples(
        random.integers(0, 10, count, dtype=np.uint8), random.integers(0, 256, (count, 784), dtype=np.uint8)
    )


def names() -> list[str]:
    """Return the names of all files, including hidden ones."""
    return [path.name for path in Path().iterdir()]


def on_the_wall() -> wall.Shown:
    return wall.read(Path(wall.FILE).read_bytes())


def test_only_what_was_chosen_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    wall.show(name="Ada", score=0.953)
    assert json.loads(Path(wall.FILE).read_text()) == {"version": 1, "name": "Ada", "score": 0.953}
    output = capsys.readouterr().out
    assert output.startswith("On the wall: Ada and the score 95.3 %. Nothing else of yours is shown.\n")
    assert "wall.take_down()" in output
    assert names() == [wall.FILE]


def test_without_a_name_nothing_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """A lesson has no name in its cell until the student writes one, so running all cells shows nothing."""
    wall.show(name="", score=0.9, digits=random_digits(0))
    assert "Nothing new is shown." in capsys.readouterr().out
    assert names() == []
    wall.show("Ada", score=0.5)
    wall.show("", score=0.9)
    assert on_the_wall() == wall.Shown("Ada", 0.5)


def test_everything_shown_is_read_back_unchanged() -> None:
    network = NeuralNetwork(784, 20, 10, 0.1, seed=1)
    digits = random_digits(34)
    score: Any = np.float32(0.5)
    wall.show("Zoë Marie-Lou", score=score, backquery=network, digits=digits)
    assert Path(wall.FILE).stat().st_size <= wall.LARGEST
    shown = on_the_wall()
    assert (shown.name, shown.score) == ("Zoë Marie-Lou", 0.5)
    assert shown.backquery is not None and shown.digits is not None
    for label in range(10):
        assert shown.backquery[label] == pytest.approx(network.backquery(targets_for(label)) * 255, abs=0.51)
    np.testing.assert_array_equal(shown.digits.pixels, digits.pixels[:10])
    np.testing.assert_array_equal(shown.digits.labels, digits.labels[:10])


def test_backqueries_can_be_given_as_pictures() -> None:
    pictures = random_digits(10).pixels
    wall.show("Bo", backquery=pictures)
    np.testing.assert_array_equal(on_the_wall().backquery, pictures)
    wall.show("Bo", backquery=list(pictures / 255.0))
    np.testing.assert_array_equal(on_the_wall().backquery, pictures)


def test_the_message_says_how_many_digits_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    wall.show("Bo", score=1, digits=random_digits(34))
    assert "Bo, the score 100.0 % and the first 10 of your 34 digits." in capsys.readouterr().out
    wall.show("Bo", digits=random_digits(3))
    assert "Bo and 3 of your digits." in capsys.readouterr().out


def test_showing_again_replaces_everything_shown_before() -> None:
    wall.show("Ada", score=0.9, digits=random_digits(3))
    wall.show("Lovelace", score=0.8)
    assert on_the_wall() == wall.Shown("Lovelace", 0.8)


@pytest.mark.parametrize(
    "name",
    [
        "A",
        "Ada",
        "Anne-Marie",
        "Ada Lou",
        "Élodie",
        "E\u0301lodie",
        "美咲",
        "Олена",
        "محمد",
        "देवी",
        "กิตติ",
        "x" * 20,
        " Bo ",
    ],
)
def test_names_in_any_script_are_accepted(name: str) -> None:
    wall.show(name, score=0.5)
    assert 1 <= len(on_the_wall().name) <= 20


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (5, "in quotes"),
        (None, "in quotes"),
        (" ", "letters only"),
        ("-", "letters only"),
        ("A  B", "letters only"),
        ("Ada1", "letters only"),
        ("<b>", "letters only"),
        ("Ada\n", None),
        ("A\nda", "letters only"),
        ("A\u202eda", "letters only"),
        ("A\u200bda", "letters only"),
        ("😀", "letters only"),
        ("a^", "letters only"),
        ("Z" + "\u0336" * 4, "letters only"),
        ("x" * 21, "up to 20 characters; this one has 21"),
        ("x" * 10**6, "up to 20 characters"),
    ],
)
def test_invalid_names_are_refused(name: Any, message: str | None) -> None:
    if message is None:
        wall.show(name, score=0.5)
        assert on_the_wall().name == "Ada"
        return
    with pytest.raises(DataError, match=message):
        wall.show(name, score=0.5)
    assert not Path(wall.FILE).exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "choose what to show"),
        ({"score": 95.3}, "between 0 and 1; 95.3 % is 0.953"),
        ({"score": -0.1}, "between 0 and 1$"),
        ({"score": float("nan")}, "between 0 and 1$"),
        ({"score": "0.9"}, "such as 0.953"),
        ({"score": True}, "such as 0.953"),
        ({"backquery": NeuralNetwork(4, 3, 10, 0.1)}, "4 inputs and 10 outputs"),
        ({"backquery": NeuralNetwork(784, 3, 2, 0.1)}, "784 inputs and 2 outputs"),
        ({"backquery": np.zeros((3, 784))}, "shape \\(10, 784\\)"),
        ({"backquery": [[1], [1, 2]]}, "shape \\(10, 784\\)"),
        ({"backquery": np.full((10, 784), 2.0)}, "between 0 and 1, or bytes"),
        ({"backquery": np.full((10, 784), np.nan)}, "between 0 and 1, or bytes"),
        ({"digits": np.zeros((3, 784))}, "are Examples"),
        ({"digits": random_digits(1)[:0]}, "no digits in these"),
    ],
)
def test_invalid_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    wall.show("Ada", score=0.5)
    with pytest.raises(DataError, match=message):
        wall.show("Ada", **arguments)
    assert on_the_wall() == wall.Shown("Ada", 0.5)


def test_results_can_be_taken_down(capsys: pytest.CaptureFixture[str]) -> None:
    wall.take_down()
    assert "Nothing of yours is on the wall." in capsys.readouterr().out
    wall.show("Ada", score=0.5)
    wall.take_down()
    assert names() == []
    assert "It is off the wall" in capsys.readouterr().out


def test_no_file_of_the_student_is_lost() -> None:
    """A file of that name that mynn did not write, a link, a folder or a pipe is left unchanged."""
    path, own = Path(wall.FILE), Path("own.txt")
    own.write_text("own")
    creations: list[Any] = [
        lambda: path.write_text("own"),
        lambda: path.symlink_to(own),
        path.mkdir,
        lambda: os.mkfifo(path),
    ]
    calls: list[Any] = [lambda: wall.show("Ada", score=0.5), wall.take_down]
    for create in creations:
        create()
        before = path.lstat()
        for call in calls:
            with pytest.raises(DataError, match="rename that file or delete it"):
                call()
        assert path.lstat().st_ino == before.st_ino
        path.rmdir() if path.is_dir() else path.unlink()
    assert own.read_text() == "own"
    assert names() == ["own.txt"]


def test_on_a_full_disk_the_old_results_are_kept(fill_disk: Callable[[], None]) -> None:
    wall.show("Ada", score=0.5)
    fill_disk()
    with pytest.raises(DataError, match=r"on_the_wall\.json: no space left on device; make room"):
        wall.show("Bo", score=0.6)
    assert on_the_wall() == wall.Shown("Ada", 0.5)
    assert names() == [wall.FILE]


VALID: dict[str, Any] = {"version": 1, "name": "Ada", "score": 0.5}
PICTURE = "A" * 1046 + "=="  # 784 bytes
FORGERIES: list[Any] = [
    {},
    [],
    5,
    None,
    "Ada",
    VALID | {"version": 2},
    VALID | {"password": "x"},
    {"version": 1},
    VALID | {"name": "<script>"},
    VALID | {"name": ["Ada"]},
    VALID | {"score": "0.5"},
    VALID | {"score": 2},
    VALID | {"score": float("nan")},
    VALID | {"score": float("inf")},
    VALID | {"score": 10**400},
    VALID | {"score": {}},
    VALID | {"backquery": []},
    VALID | {"backquery": [PICTURE] * 9},
    VALID | {"backquery": [PICTURE[:-4]] * 10},
    VALID | {"backquery": ["ü" * 1048] * 10},
    VALID | {"backquery": [5] * 10},
    VALID | {"backquery": PICTURE},
    VALID | {"digits": []},
    VALID | {"digits": {"labels": [], "pixels": []}},
    VALID | {"digits": {"labels": [1], "pixels": []}},
    VALID | {"digits": {"labels": [10], "pixels": [PICTURE]}},
    VALID | {"digits": {"labels": [True], "pixels": [PICTURE]}},
    VALID | {"digits": {"labels": "1", "pixels": [PICTURE]}},
    VALID | {"digits": {"labels": [1] * 11, "pixels": [PICTURE] * 11}},
    VALID | {"digits": {"labels": [1], "pixels": [PICTURE], "name": "x"}},
]


@pytest.mark.parametrize("content", FORGERIES, ids=range(len(FORGERIES)))
def test_a_forged_file_is_refused(content: Any) -> None:
    with pytest.raises(DataError):
        wall.read(json.dumps(content))


@pytest.mark.parametrize(
    "text", ["", "{", "[" * 30_000, "9" * 30_000, '"' + "x" * 40_000 + '"', b"\xff\xfe", " " * wall.LARGEST + "{}"]
)
def test_a_damaged_file_is_refused(text: str | bytes) -> None:
    with pytest.raises(DataError):
        wall.read(text)


def test_a_valid_file_is_read() -> None:
    digits = {"labels": [9], "pixels": [PICTURE]}
    shown = wall.read(json.dumps(VALID | {"backquery": [PICTURE] * 10, "digits": digits}))
    assert shown.digits is not None and shown.digits.labels.tolist() == [9]
    assert wall.read(json.dumps(VALID)) == wall.Shown("Ada", 0.5)
