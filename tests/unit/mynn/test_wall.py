"""What a pupil shows: what was chosen and nothing else, and no pupil's file is lost for it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mynn import DataError, Examples, NeuralNetwork, targets_for, wall


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The notebook's folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def drawn(count: int) -> Examples:
    random = np.random.default_rng(1)
    return Examples(
        random.integers(0, 10, count, dtype=np.uint8), random.integers(0, 256, (count, 784), dtype=np.uint8)
    )


def names() -> list[str]:
    """Return the names of all files, hidden ones too."""
    return [path.name for path in Path().iterdir()]


def on_the_wall() -> wall.Shown:
    return wall.read(Path(wall.FILE).read_bytes())


def test_what_is_chosen_is_shown_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    wall.show(name="Ada", score=0.953)
    assert json.loads(Path(wall.FILE).read_text()) == {"version": 1, "name": "Ada", "score": 0.953}
    said = capsys.readouterr().out
    assert said.startswith("On the wall: Ada and the score 95.3 %. Nothing else of yours is shown.\n")
    assert "wall.take_down()" in said
    assert names() == [wall.FILE]


def test_a_lesson_that_is_run_to_its_end_shows_nothing_by_itself(capsys: pytest.CaptureFixture[str]) -> None:
    """Its cell has no name in it until the pupil writes one."""
    wall.show(name="", score=0.9, digits=drawn(0))
    assert "Nothing new is shown." in capsys.readouterr().out
    assert names() == []
    wall.show("Ada", score=0.5)
    wall.show("", score=0.9)
    assert on_the_wall() == wall.Shown("Ada", 0.5)


def test_all_that_can_be_shown_comes_back_as_it_was() -> None:
    network = NeuralNetwork(784, 20, 10, 0.1, seed=1)
    digits = drawn(34)
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


def test_pictures_can_be_shown_as_they_are() -> None:
    pictures = drawn(10).pixels
    wall.show("Bo", backquery=pictures)
    np.testing.assert_array_equal(on_the_wall().backquery, pictures)
    wall.show("Bo", backquery=list(pictures / 255.0))
    np.testing.assert_array_equal(on_the_wall().backquery, pictures)


def test_the_first_ten_of_many_digits_are_announced(capsys: pytest.CaptureFixture[str]) -> None:
    wall.show("Bo", score=1, digits=drawn(34))
    assert "Bo, the score 100.0 % and the first 10 of your 34 digits." in capsys.readouterr().out
    wall.show("Bo", digits=drawn(3))
    assert "Bo and 3 of your digits." in capsys.readouterr().out


def test_what_is_shown_next_takes_the_place_of_all_before() -> None:
    wall.show("Ada", score=0.9, digits=drawn(3))
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
def test_a_name_in_any_script(name: str) -> None:
    wall.show(name, score=0.5)
    assert 1 <= len(on_the_wall().name) <= 20


@pytest.mark.parametrize(
    ("name", "said"),
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
def test_what_is_no_name_is_refused(name: Any, said: str | None) -> None:
    if said is None:
        wall.show(name, score=0.5)
        assert on_the_wall().name == "Ada"
        return
    with pytest.raises(DataError, match=said):
        wall.show(name, score=0.5)
    assert not Path(wall.FILE).exists()


@pytest.mark.parametrize(
    ("given", "said"),
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
        ({"digits": drawn(1)[:0]}, "not one digit"),
    ],
)
def test_what_cannot_be_shown_is_refused(given: dict[str, Any], said: str) -> None:
    wall.show("Ada", score=0.5)
    with pytest.raises(DataError, match=said):
        wall.show("Ada", **given)
    assert on_the_wall() == wall.Shown("Ada", 0.5)


def test_it_is_taken_down(capsys: pytest.CaptureFixture[str]) -> None:
    wall.take_down()
    assert "Nothing of yours is on the wall." in capsys.readouterr().out
    wall.show("Ada", score=0.5)
    wall.take_down()
    assert names() == []
    assert "It is off the wall" in capsys.readouterr().out


def test_no_file_of_the_pupils_is_lost(folder: Path) -> None:
    """Somebody's own file of that name, or a link or a folder, stays as it is."""
    path, own = Path(wall.FILE), Path("own.txt")
    own.write_text("own")
    made: list[Any] = [
        lambda: path.write_text("own"),
        lambda: path.symlink_to(own),
        path.mkdir,
        lambda: os.mkfifo(path),
    ]
    tries: list[Any] = [lambda: wall.show("Ada", score=0.5), wall.take_down]
    for make in made:
        make()
        before = path.lstat()
        for what in tries:
            with pytest.raises(DataError, match="rename that file or delete it"):
                what()
        assert path.lstat().st_ino == before.st_ino
        path.rmdir() if path.is_dir() else path.unlink()
    assert own.read_text() == "own"
    assert names() == ["own.txt"]


def test_a_full_card_leaves_what_was_there(monkeypatch: pytest.MonkeyPatch) -> None:
    wall.show("Ada", score=0.5)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match=r"on_the_wall\.json: no space left on device; make room"):
        wall.show("Bo", score=0.6)
    assert on_the_wall() == wall.Shown("Ada", 0.5)
    assert names() == [wall.FILE]


RIGHT: dict[str, Any] = {"version": 1, "name": "Ada", "score": 0.5}
PICTURE = "A" * 1046 + "=="  # 784 bytes
LIES: list[Any] = [
    {},
    [],
    5,
    None,
    "Ada",
    RIGHT | {"version": 2},
    RIGHT | {"password": "x"},
    {"version": 1},
    RIGHT | {"name": "<script>"},
    RIGHT | {"name": ["Ada"]},
    RIGHT | {"score": "0.5"},
    RIGHT | {"score": 2},
    RIGHT | {"score": float("nan")},
    RIGHT | {"score": float("inf")},
    RIGHT | {"score": 10**400},
    RIGHT | {"score": {}},
    RIGHT | {"backquery": []},
    RIGHT | {"backquery": [PICTURE] * 9},
    RIGHT | {"backquery": [PICTURE[:-4]] * 10},
    RIGHT | {"backquery": ["ü" * 1048] * 10},
    RIGHT | {"backquery": [5] * 10},
    RIGHT | {"backquery": PICTURE},
    RIGHT | {"digits": []},
    RIGHT | {"digits": {"labels": [], "pixels": []}},
    RIGHT | {"digits": {"labels": [1], "pixels": []}},
    RIGHT | {"digits": {"labels": [10], "pixels": [PICTURE]}},
    RIGHT | {"digits": {"labels": [True], "pixels": [PICTURE]}},
    RIGHT | {"digits": {"labels": "1", "pixels": [PICTURE]}},
    RIGHT | {"digits": {"labels": [1] * 11, "pixels": [PICTURE] * 11}},
    RIGHT | {"digits": {"labels": [1], "pixels": [PICTURE], "name": "x"}},
]


@pytest.mark.parametrize("lie", LIES, ids=range(len(LIES)))
def test_a_forged_file_is_refused(lie: Any) -> None:
    with pytest.raises(DataError):
        wall.read(json.dumps(lie))


@pytest.mark.parametrize(
    "text", ["", "{", "[" * 30_000, "9" * 30_000, '"' + "x" * 40_000 + '"', b"\xff\xfe", " " * wall.LARGEST + "{}"]
)
def test_a_damaged_file_is_refused(text: str | bytes) -> None:
    with pytest.raises(DataError):
        wall.read(text)


def test_what_is_right_is_read() -> None:
    digits = {"labels": [9], "pixels": [PICTURE]}
    shown = wall.read(json.dumps(RIGHT | {"backquery": [PICTURE] * 10, "digits": digits}))
    assert shown.digits is not None and shown.digits.labels.tolist() == [9]
    assert wall.read(json.dumps(RIGHT)) == wall.Shown("Ada", 0.5)
