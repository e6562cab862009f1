"""What a lesson asks and answers, without a browser: see test_lesson_fields.py for that."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest

from mynn import Examples, NetworkFileError, NeuralNetwork
from mynn.lesson import check, finished, guess, guess_curve, keep, my_network, progress
from mynn.lesson.fields import CurveField, NumberField
from mynn.lesson.guesses import written

Printed = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The notebook's folder; there are neither MNIST nor networks."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MNIST_DIR", "/nowhere")
    monkeypatch.setenv("NETWORKS_DIR", "/nowhere")
    return tmp_path


def test_nothing_that_takes_time_is_loaded_before_a_field_is_shown() -> None:
    code = "import sys, mynn.lesson; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"anywidget", "ipywidgets", "IPython", "matplotlib", "PIL"} & set(run.stdout.split())


# Guesses


def test_outside_a_notebook_a_guess_is_a_question(capsys: Printed) -> None:
    asked = guess("How many?", 0, 100, "%")
    asked.beside(21.34)
    assert asked.value is None
    assert capsys.readouterr().out == "How many?\nHow many? It is 21.3 %. (You have not guessed.)\n"


def test_a_guess_is_shown_beside_the_result(capsys: Printed) -> None:
    asked = guess("How many?", 0, 100, "%")
    asked._field = NumberField(question="", low=0, high=100, value=30.0)
    for result in (21, np.float64(30.0)):
        asked.beside(result)
    assert capsys.readouterr().out.splitlines()[1:] == [
        "How many? You guessed 30 %. It is 21 %.",
        "How many? You guessed 30 %, and so it is!",
    ]


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (10_000, "10,000"),
        (97.31, "97.3"),
        (0.0342, "0.034"),
        (0.5, "0.5"),
        (5.0, "5"),
        (-2.5, "-2.5"),
        (float("nan"), "nan"),
    ],
)
def test_numbers_are_written_as_in_a_sentence(number: float, text: str) -> None:
    assert written(number, "") == text
    assert written(number, "%") == f"{text} %"


@pytest.mark.parametrize("value", [-1.0, 101.0, float("nan"), float("inf"), "many"])
def test_a_field_takes_numbers_of_its_range_only(value: Any) -> None:
    field = NumberField(question="", low=0, high=100)
    with pytest.raises(Exception, match=r"not between|trait"):
        field.value = value
    assert field.value is None


@pytest.mark.parametrize("heights", [[0.5], [0.1, 0.2, 1.5], [0.1, float("nan"), 0.2], ["a", "b", "c"]])
def test_a_curve_takes_heights_of_its_square_only(heights: list[Any]) -> None:
    field = CurveField(question="", places=[0, 0.5, 1])
    with pytest.raises(Exception, match=r"places|height|trait"):
        field.heights = heights
    assert field.heights == []


def test_what_was_guessed_is_there_when_the_cell_is_run_again() -> None:
    earlier: dict[tuple[str, str], Any] = {}
    for low, high, expected in ((0, 100, 30.0), (0, 10, None)):  # the second time it has another range
        field = NumberField(question="How many?", low=0, high=100)
        field.keep_in(earlier, ("NumberField", "How many?"))
        field.value = 30.0
        again = NumberField(question="How many?", low=low, high=high)
        again.keep_in(earlier, ("NumberField", "How many?"))
        assert again.value == expected


def test_a_curve_is_drawn_behind_the_measured_one(capsys: Printed) -> None:
    asked = guess_curve("Draw it.", [1, 2, 4, 5], (0, 2))
    axes = plt.figure().add_subplot()
    asked.plot(axes)
    assert asked.value is None and not axes.lines
    assert "You have not drawn a guess." in capsys.readouterr().out
    asked._field = CurveField(question="", places=[0, 0.25, 0.75, 1], heights=[None, 0.25, None, 0.75])
    assert asked.value is not None
    assert asked.value.tolist() == [0.5, 0.5, 1.0, 1.5]
    asked.plot(axes)
    assert axes.lines[0].get_xdata().tolist() == [1, 2, 4, 5]
    plt.close()


@pytest.mark.parametrize(("low", "high"), [(1, 1), (2, 1)])
def test_a_guess_without_a_range_is_refused(low: float, high: float) -> None:
    with pytest.raises(ValueError, match="the lower end first"):
        guess("How many?", low, high)
    with pytest.raises(ValueError, match="the lower end first"):
        guess_curve("Draw it.", [1, 2], (low, high))
    with pytest.raises(ValueError, match="from left to right"):
        guess_curve("Draw it.", [2, 1], (0, 1))


# Checks


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        (784, 28 * 28),
        (np.int64(784), 784.0),
        (0.1 + 0.2, 0.3),
        ("Seven ", "seven"),
        (True, True),
        ((7, 5), (7, 5)),
        ([1, 2, 3], np.array([1, 2, 3])),
        (4, lambda answer: answer % 2 == 0),
    ],
)
def test_a_right_answer_is_right(answer: Any, right: Any, capsys: Printed) -> None:
    check(answer, right, "A hint.")
    assert capsys.readouterr().out == "Right.\n"


@pytest.mark.parametrize(
    ("answer", "right", "why"),
    [
        (..., 4, "write your answer in place of the dots"),
        (None, 4, "write your answer in place of the dots"),
        (3, 4, "3 is too small."),
        (1 / 3, 0.3, "0.333333 is too large."),
        ("4", 4, "“4” is a text; leave the quotes out."),
        (4, "four", '4 is no text; a text stands "in quotes".'),
        ("five", "four", "it is not “five”."),
        (len, 4, "this is a function; call it"),
        ([1, 2], 4, "the answer is one number, and this is an array of shape (2,)."),
        ([1, 2, 4], [1, 2, 3], "1 of the 3 numbers are not right."),
        ({4}, 4, "{4} is no number."),
        (float("nan"), 4, "this is not a number (nan)."),
        (1, True, "the answer is True or False."),
        (3, lambda answer: answer % 2 == 0, "A hint."),
        (3, lambda answer: f"{answer} was not tried.", "3 was not tried."),
        ("a", lambda answer: answer + 1, "this stopped with TypeError"),
    ],
)
def test_a_wrong_answer_is_not_yet_right_and_why(answer: Any, right: Any, why: str, capsys: Printed) -> None:
    check(answer, right, "A hint.")
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("Not yet: ") and why in line
    assert line.endswith("A hint.") or answer in (None, ...)


def test_a_number_may_be_off_by_as_much_as_is_said(capsys: Printed) -> None:
    check(0.51, 0.5, within=0.02)
    check(0.53, 0.5, within=0.02)
    check(0.53, None)
    assert capsys.readouterr().out.splitlines() == [
        "Right.",
        "Not yet: 0.53 is too large.",
        "With these settings there is no right answer.",
    ]


# The network that travels


def a_network(hidden_nodes: int, inputs: int = 784) -> NeuralNetwork:
    return NeuralNetwork(inputs, hidden_nodes, 10, 0.1, seed=1)


@pytest.fixture
def card(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path_factory.mktemp("card")
    a_network(20).save(place / "digits.npz")
    monkeypatch.setenv("NETWORKS_DIR", str(place))


def test_ones_own_network_comes_first(card: None, capsys: Printed) -> None:
    a_network(7).save("my_network.npz")
    assert len(my_network().wih) == 7
    assert capsys.readouterr().out == "This is your own network, my_network.npz, with 7 hidden nodes.\n"


def test_without_one_it_is_the_cards(card: None, capsys: Printed) -> None:
    assert len(my_network().wih) == 20
    assert "You have no my_network.npz yet, so this is the network on the card" in capsys.readouterr().out


def test_one_that_is_of_no_use_is_left_out_and_said_to_be_so(card: None, capsys: Printed, folder: Path) -> None:
    a_network(7, inputs=100).save("my_network.npz")
    assert len(my_network().wih) == 20
    assert "cannot be used here: it has 100 inputs and 10 outputs, not 784 and 10. So" in capsys.readouterr().out
    (folder / "my_network.npz").write_text("nothing")
    assert len(my_network().wih) == 20
    assert "cannot be used here: it is damaged, or no network at all. So" in capsys.readouterr().out


def test_one_that_cannot_read_is_left_out(
    card: None, mnist: Path, capsys: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MNIST_DIR", str(mnist))
    a_network(7).save("my_network.npz")
    assert len(my_network().wih) == 20
    assert re.search(r"it reads only \d+% of a hundred digits", capsys.readouterr().out)


def test_without_any_network_one_sentence_says_what_to_do() -> None:
    with pytest.raises(NetworkFileError, match=r"there is no my_network.npz here.*train a network in the lesson"):
        my_network()


def test_a_better_network_is_not_overwritten(capsys: Printed, folder: Path) -> None:
    """The digits are all 3; one network says so, and one does not."""
    digits = Examples(np.full(10, 3, np.uint8), np.zeros((10, 784), np.uint8))
    good, bad = a_network(5), a_network(6)
    for network, answer in ((good, 3), (bad, 4)):
        network.who[:] = -5
        network.who[answer] = 5
    for network in (bad, good, bad):
        keep(network, digits)
    assert "my_network.npz stays as it is: the network in it recognises 100.0%" in capsys.readouterr().out
    assert len(NeuralNetwork.load("my_network.npz").wih) == 5
    (folder / "my_network.npz").write_text("a poem")
    keep(good, digits)
    assert "my_network.npz holds something else" in capsys.readouterr().out
    assert (folder / "my_network.npz").read_text() == "a poem"


# Progress


def kept() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path("my_progress.json").read_text())
    assert found["version"] == 1
    lessons: dict[str, Any] = found["lessons"]
    return lessons


def test_a_finished_lesson_is_written_down_with_its_best_score() -> None:
    finished("part2_first", score=np.float64(0.9))
    finished("part2_second")
    finished("part2_first", score=0.8)
    finished("part2_first")
    assert set(kept()) == {"part2_first", "part2_second"}
    assert kept()["part2_first"]["score"] == 0.9 and kept()["part2_second"]["score"] is None
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", kept()["part2_second"]["finished"])
    assert sorted(path.name for path in Path().iterdir()) == ["my_progress.json"]


@pytest.mark.parametrize(
    "damaged",
    [
        "",
        "{",
        "[]",
        '{"version": 2, "lessons": {}}',
        '{"version": 1, "lessons": {}, "more": 1}',
        '{"version": 1, "lessons": {"../x": {"finished": "2026-11-27T10:00:00", "score": null}}}',
        '{"version": 1, "lessons": {"x": {"finished": "today", "score": null}}}',
        '{"version": 1, "lessons": {"x": {"finished": "2026-11-27T10:00:00", "score": 2}}}',
        '{"version": 1, "lessons": {"x": {"finished": "2026-11-27T10:00:00", "score": NaN}}}',
        '{"version": 1, "lessons": {"x": {"finished": "2026-11-27T10:00:00", "score": true}}}',
        "[" * 100_000,
        " " * 70_000 + '{"version": 1, "lessons": {}}',
    ],
)
def test_a_damaged_file_is_put_aside_and_never_lost(damaged: str, capsys: Printed, folder: Path) -> None:
    for number in ("", ".2"):
        (folder / "my_progress.json").write_text(damaged)
        finished("part2_first", score=0.5)
        assert list(kept()) == ["part2_first"]
        assert (folder / f"my_progress.damaged{number}.json").read_text() == damaged
        assert f"it is called my_progress.damaged{number}.json now" in capsys.readouterr().out


def test_a_folder_that_cannot_be_written_is_said_and_stops_nothing(capsys: Printed, folder: Path) -> None:
    (folder / "my_progress.json").mkdir()
    finished("part2_first")
    printed = capsys.readouterr().out
    assert "This could not be written into my_progress.json (is a directory)." in printed and "Well done" in printed


@pytest.mark.parametrize("stem", ["Part 2", "../part2", "", "x" * 65])
def test_what_is_no_lesson_is_refused(stem: str) -> None:
    with pytest.raises(ValueError, match="is no lesson"):
        finished(stem)
    with pytest.raises(ValueError, match="between 0 and 1"):
        finished("part2_first", score=97.3)


def a_lesson(folder: Path, name: str, order: object, title: str = "Title") -> None:
    cell = {"cell_type": "markdown", "source": [f"# {title}\n", "\n", "Text."]}
    notebook = {"cells": [cell], "metadata": {"mynn": {"lesson": order}}}
    (folder / name).write_text(json.dumps(notebook))


def test_the_next_lesson_is_linked_by_its_own_title(folder: Path, capsys: Printed) -> None:
    a_lesson(folder, "part2_z.ipynb", 1)
    a_lesson(folder, "part2_a.ipynb", 2, "Part 2: your [own](http://x)")
    a_lesson(folder, "part2_a-Copy1.ipynb", 2)
    a_lesson(folder, "part3_b.ipynb", 3)
    a_lesson(folder, "part3_c.ipynb", "often")
    (folder / "part3_d.ipynb").write_text("{")
    assert progress.next_lesson("part2_z", folder) == ("part2_a.ipynb", "Part 2: your ownhttp://x")
    assert progress.next_lesson("part3_b", folder) is None
    assert progress.next_lesson("part9_x", folder) is None
    finished("part2_z")
    assert "The next one: [Part 2: your ownhttp://x](part2_a.ipynb)" in capsys.readouterr().out
