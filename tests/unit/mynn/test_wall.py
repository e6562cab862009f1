"""Showing results on the wall: only what was chosen is shown, and no student's file is lost."""

import json
import os
import unicodedata
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mynn import DataError, Examples, NeuralNetwork, targets_for, wall
from tests.support.json_values import JSON

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


def test_only_what_was_chosen_is_shown_until_it_is_taken_down(capsys: pytest.CaptureFixture[str]) -> None:
    """A lesson has no name in its cell until the student writes one, so running all cells shows nothing."""
    wall.show(name="", score=0.9, digits=random_digits(0))
    assert "Nothing new is shown." in capsys.readouterr().out
    wall.take_down()
    assert "Nothing of yours is on the wall." in capsys.readouterr().out
    assert names() == []
    wall.show(name="Ada", score=0.953, of=random_digits(20))
    output = capsys.readouterr().out
    assert output.startswith("On the wall: Ada, the score 95.3 % of 20 digits. Nothing else of yours is shown.\n")
    assert "wall.take_down()" in output
    wall.show("", score=0.9)
    assert json.loads(Path(wall.FILE).read_text()) == {"version": 1, "name": "Ada", "score": 0.953, "tested": 20}
    assert names() == [wall.FILE]
    wall.take_down()
    assert names() == []


def test_everything_shown_is_read_back(capsys: pytest.CaptureFixture[str]) -> None:
    network, digits = NeuralNetwork(784, 20, 10, 0.1, seed=1), random_digits(34)
    wall.show("Zoë Marie-Lou", score=0.5, backquery=network, digits=digits)
    assert "what your network takes for each digit, the first 10 of your 34 digits." in capsys.readouterr().out
    assert Path(wall.FILE).stat().st_size <= wall.LARGEST
    shown = on_the_wall()
    assert (shown.name, shown.score) == ("Zoë Marie-Lou", 0.5)
    assert shown.backquery is not None and shown.digits is not None
    for label in range(10):
        assert shown.backquery[label] == pytest.approx(network.backquery(targets_for(label)) * 255, abs=0.51)
    np.testing.assert_array_equal(shown.digits.pixels, digits.pixels[:10])
    np.testing.assert_array_equal(shown.digits.labels, digits.labels[:10])


NAMES = {name: name for name in ("Anne-Marie", "美咲", "محمد", "देवी", "กิตติ")}
NAMES |= {"\u3164A\u115f\u1160da\uffa0": "Ada"}
NAMES |= {"E\u0301lodie": "Élodie", "Ada 🎉 99\n": "Ada", "x" * 10**6: "x" * 20, "Z" + "\u0336" * 4: "Z" + "\u0336" * 3}


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_a_name_in_any_script_is_shown_without_what_is_no_letter(name: str) -> None:
    wall.show(name, score=0.5)
    assert on_the_wall().name == NAMES[name]


@given(st.text(max_size=25) | st.integers())
def test_whatever_a_name_is_letters_are_shown_or_nothing(name: Any) -> None:
    wall.take_down()
    wall.show(name, score=0.5)
    if not Path(wall.FILE).exists():
        assert not any(letter.isalpha() for letter in str(name))
        return
    shown = on_the_wall().name
    kinds = {unicodedata.category(letter)[0] for letter in shown if letter not in " -"}
    assert 1 <= len(shown) <= 20 and kinds <= {"L", "M"} and shown[0] not in " -" and shown[-1] not in " -"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "choose what to show"),
        ({"score": 95.3}, "between 0 and 1; 95.3 % is 0.953"),
        ({"score": float("nan")}, "between 0 and 1$"),
        ({"backquery": NeuralNetwork(784, 3, 2, 0.1)}, "784 inputs and 2 outputs"),
        ({"backquery": np.zeros((10, 784))}, "backquery is your network"),
        ({"digits": np.zeros((3, 784))}, "are Examples"),
        ({"digits": random_digits(1)[:0]}, "no digits in these"),
    ],
)
def test_invalid_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    wall.show("Ada", score=0.5)
    with pytest.raises(DataError, match=message):
        wall.show("Ada", **arguments)
    assert on_the_wall() == wall.Shown("Ada", 0.5)


def test_no_file_of_the_student_is_lost() -> None:
    """A file of that name that mynn did not write, a link, a folder or a pipe is left unchanged."""
    path, own = Path(wall.FILE), Path("own.txt")
    own.write_text(json.dumps(VALID))  # what a link leads to may well be of ours
    creations = (lambda: path.write_text("own"), lambda: path.symlink_to(own), path.mkdir, lambda: os.mkfifo(path))
    for create in creations:
        create()
        before = path.lstat()
        with pytest.raises(DataError, match="rename that file or delete it"):
            wall.show("Ada", score=0.5)
        with pytest.raises(DataError, match="rename that file or delete it"):
            wall.take_down()
        assert path.lstat().st_ino == before.st_ino
        path.rmdir() if path.is_dir() else path.unlink()
    assert own.read_text() == json.dumps(VALID)
    assert names() == ["own.txt"]


def test_on_a_full_disk_the_old_results_are_kept(fill_disk: Callable[[], None]) -> None:
    wall.show("Ada", score=0.5)
    fill_disk()
    with pytest.raises(DataError, match=r"on_the_wall\.json: no space left on device; make room"):
        wall.show("Bo", score=0.6)
    assert on_the_wall() == wall.Shown("Ada", 0.5) and names() == [wall.FILE]


PICTURE = "A" * 1046 + "=="  # 784 bytes
VALID: dict[str, Any] = {
    "version": 1,
    "name": "Ada",
    "score": 0.5,
    "backquery": [PICTURE] * 10,
    "digits": {"labels": [9], "pixels": [PICTURE]},
}


CHANGES: list[dict[str, Any]] = [
    {"version": 2},
    {"password": "x"},
    *({"name": name} for name in ("<script>", "", "-", "x" * 21, "A\u202eda", "\u3164", "A\ud800", 5)),
    *({"tested": tested} for tested in (0, True, 10**9, "20")),
    *({"score": score} for score in (2, float("nan"), float("inf"), 10**400)),
    *({"backquery": rows} for rows in ([PICTURE] * 9, [PICTURE[:-4]] * 10, ["ü" * 1048] * 10, [5] * 10, PICTURE)),
    *(
        {"digits": {"labels": labels, "pixels": [PICTURE] * len(labels)}}
        for labels in ([], [10], [True], "1", [1] * 11)
    ),
    {"digits": {"labels": [1], "pixels": []}},
    {"digits": {"labels": [1], "pixels": [PICTURE], "name": "x"}},
]
entries = JSON | st.dictionaries(st.sampled_from([*VALID, "labels", "pixels"]), JSON)


def test_a_forged_or_huge_file_is_refused() -> None:
    shown = wall.read(json.dumps(VALID))
    assert shown.digits is not None and shown.digits.labels.tolist() == [9]
    forged = [json.dumps(VALID | change) for change in CHANGES]
    for text in (*forged, "[" * 30_000, "9" * 30_000, '"' + "x" * 40_000 + '"', " " * wall.LARGEST + json.dumps(VALID)):
        with pytest.raises(DataError):
            wall.read(text)


@given(st.binary(max_size=50) | entries.map(json.dumps), st.sampled_from(sorted(VALID)), entries)
def test_whatever_a_file_holds_is_an_entry_or_a_data_error(text: Any, field: str, value: Any) -> None:
    """Besides rubbish, valid files with one field replaced."""
    for content in (text, json.dumps(VALID | {field: value})):
        with suppress(DataError):
            assert isinstance(wall.read(content), wall.Shown)
