"""Guesses, checks, errors, networks and progress, without a browser (test_lesson_fields.py has the fields)."""

import json
import re
from functools import reduce
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from IPython.core.interactiveshell import InteractiveShell
from traitlets import TraitError

from mynn import Examples, NetworkFileError, NeuralNetwork, mnist, tasks
from mynn.explain import load_ipython_extension, sentence
from mynn.lesson import answers, check, done, finished, guess, guess_curve, keep, my_network
from mynn.lesson.fields import CurveField, NumberField
from tests.support.json_values import JSON

Printed = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def without_data(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the notebook's folder, with neither MNIST nor networks."""
    monkeypatch.setenv("MNIST_DIR", "/nowhere")
    monkeypatch.setenv("NETWORKS_DIR", "/nowhere")


# Guesses


def test_a_guess_is_shown_beside_the_result(capsys: Printed) -> None:
    """Outside a notebook nobody can guess, and only the question is printed."""
    question = guess("How many?", 0, 100, "%")
    question.beside(21.34)
    question._field = NumberField(question="", low=0, high=100, value=30.0)
    for result in (21, np.float64(30.0)):
        question.beside(result)
    assert capsys.readouterr().out.splitlines() == [
        "How many?",
        "How many? It is 21.3 %. (You have not guessed.)",
        "How many? You guessed 30 %. It is 21 %.",
        "How many? You guessed 30 %, and so it is!",
    ]


@pytest.mark.parametrize("value", [-1.0, 101.0, float("nan"), "many"])
def test_a_field_accepts_only_numbers_within_its_range(value: Any) -> None:
    number, curve = NumberField(question="", low=0, high=100), CurveField(question="", places=[0, 0.5, 1])
    with pytest.raises(TraitError):
        number.value = value
    for heights in ([0.1, 0.2, value], [0.5]):
        with pytest.raises(TraitError):
            curve.set_trait("heights", heights)
    assert number.value is None and curve.heights == []


def test_a_guessed_curve_is_plotted_with_the_measured_one(capsys: Printed) -> None:
    question = guess_curve("Draw it.", [1, 2, 4, 5], (0, 2))
    axes = plt.figure().add_subplot()
    question.plot(axes)
    assert question.value is None and not axes.lines
    assert "You have not drawn a guess." in capsys.readouterr().out
    question._field = CurveField(question="", places=[0, 0.25, 0.75, 1], heights=[None, 0.25, None, 0.75])
    assert question.value is not None
    assert question.value.tolist() == [0.5, 0.5, 1.0, 1.5]
    question.plot(axes)
    assert axes.lines[0].get_xdata().tolist() == [1, 2, 4, 5]
    plt.close()


# Checks


EVEN = lambda answer: answer % 2 == 0  # noqa: E731
RIGHT = [(np.int64(784), 784.0), (0.1 + 0.2, 0.3), ("Seven ", "seven"), ((1, 2), np.array([1, 2])), (4, EVEN)]
WRONG = [
    (..., 4, "write your answer in place of the dots"),
    (1 / 3, 0.3, "0.333333 is too large."),
    ((7, 5), 7.5, "a comma makes several numbers of it."),
    (None, 4, "print() shows a value but does not give it back."),
    ("4", 4, "“4” is text; leave out the quotes."),
    (4, "four", '4 is not text; write text "in quotes".'),
    (len, 4, "this is a function; call it"),
    ([1, 2], 4, "the answer is one number, and this is an array of shape (2,)."),
    ([1, 2, 4], [1, 2, 3], "1 of the 3 numbers are not right."),
    (float("nan"), 4, "this is not a number (nan)."),
    (10**20, 4, "100000000000000000000 is too large."),
    (-(10**400), 4, "is too small."),
    (40, 0.4, "these are percent, and the answer is a part of 1: divide by 100."),
    (3, lambda answer: f"{answer} was not tried.", "3 was not tried."),
    ("a", lambda answer: answer + 1, "this stopped with TypeError"),
]


def test_right_answers_are_accepted_and_wrong_ones_get_a_reason_and_a_hint(capsys: Printed) -> None:
    for answer, right in RIGHT:
        check(answer, right, "A hint.", why="A reason.")
        assert capsys.readouterr().out == "Right. A reason.\n"
    for answer, right, why in WRONG:
        check(answer, right, "A hint.")
        (line,) = capsys.readouterr().out.splitlines()
        assert line.startswith("Not yet: ") and why in line
        assert line.endswith("A hint.") or answer is ...
    for hint in ("First.", "Second.", "Second."):
        check(3, 4, "First.", "Second.")
        assert capsys.readouterr().out == f"Not yet: 3 is too small. {hint}\n"


# Errors


MISTAKES = {
    "fuors": "There is no fuors yet: run the cells above, from the top, or look at how you spelt it. Did you mean",
    "(1": "Line 2: The bracket ( is opened, and never closed.",
    "3 4": "Line 2: Python cannot read this line.",
    "  fours": "The line begins with spaces that do not belong there.",
    "array['4']": "A place in square brackets is a whole number, without quotes.",
    "counts['4']": "A place in square brackets is a whole number, without quotes.",
    "print(2 × 3)": "Line 2: Python does not know the sign ×. Did you mean *?",
    "counts[4]": "There is no such place: they are counted from 0, so the last of ten is place 9.",
    "array + np.zeros(3)": "The two arrays do not fit together: their shapes are (2,) and (3,).",
    "counts.apend(4)": "Behind the dot: a list has nothing called apend. Did you mean append?",
    "fours(4)": "A whole number is not a function, so round brackets cannot follow it.",
    "fours + 'a'": "The sign + does not go between a whole number and text.",
    "(7,5) * 0.5": "A comma makes two of one: write 7.5, not 7,5.",
    "... + 1": "The three dots are still there: write something in their place, then run this again.",
    "raise KeyboardInterrupt": "Line 2: You stopped this cell.",
    "mnist.read_csv('missing.csv')": "missing.csv: no such file or directory; ",  # our own errors are sentences
}


@pytest.mark.parametrize(("mistake", "said"), MISTAKES.items())
def test_a_mistake_is_explained_with_its_line(mistake: str, said: str) -> None:
    names: dict[str, Any] = {"fours": 4, "counts": [0, 1], "array": np.zeros(2), "np": np, "mnist": mnist}
    with pytest.raises(BaseException) as raised:
        exec(compile(f"fours = 4\n{mistake}\n", "cell", "exec"), names)
    assert said in sentence(raised.value, names)


ANSWERS = {
    "“both”": "both", "„both“": "both", "« both »": "both", "−0.25": -0.25, "0.5 × 1.5": 0.75, "0.5·1.5": 0.75,
    "0.5 x 1.5": 0.75, "170 ÷ 17": 10, "170 : 17": 10, "5 %": 5, "21 s": 21, "39 700": 39700, "39’700": 39700,
    "1.039.700": 1039700, "0980": 980, "٩٨٠": 980, "٣٩٬٧٠٠": 39700, "９８０": 980,
}  # fmt: skip
SAID = {  # an answer, and the right one → what is wrong, before the hint
    ("", 4): "Line 1: Nothing stands behind the =: write your answer there.",
    ("the school", 4): "Line 1: Words stand in quotation marks",
    ("5²", 4): "Line 1: Python does not know the sign ². 1st",
    ("12 30", 4): "Line 1: Python cannot read this line.",
    ("12\7", 4): "Line 1: The line has an invisible sign",
    ("array", "both"): "array is not text",
    ("school", "school"): 'school is not text; write text "in quotes".',
    ("array['4']", 4): "1st",
    ("1.000", 1000): "Python reads 1.000 as 1. Write thousands without",
}


def test_an_answer_is_read_as_it_is_plainly_meant(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    """What is Python stays, and is shown as it was typed. What cannot be read, or stops, gets a hint as well."""
    monkeypatch.setattr(answers, "in_a_notebook", lambda: True)
    shell: Any = InteractiveShell(ipython_dir=str(folder))  # type: ignore[no-untyped-call]
    load_ipython_extension(shell)
    shell.user_ns |= {"check": check, "array": np.arange(784)}
    for (typed, right), wrong in (SAID | dict.fromkeys(ANSWERS.items(), "")).items():
        shell.run_cell(f"fours = {typed}   # your line\n\ncheck(fours, {right!r}, f'{{1}}st {len(typed)}')\n")
        [printed] = re.findall("^(?:Right|Not yet).*", capsys.readouterr().out, re.M)
        assert printed.startswith(f"Not yet: {wrong}" if wrong else "Right."), typed
        assert printed.endswith(f" 1st {len(typed)}" if wrong else "."), typed
        if wrong:
            assert recorded(folder).tasks["fours"] == tasks.Answer(False, re.sub("[²\7]", "?", typed))


# A student's own network


def untrained_network(hidden_nodes: int, inputs: int = 784) -> NeuralNetwork:
    return NeuralNetwork(inputs, hidden_nodes, 10, 0.1, seed=1)


def test_the_students_own_network_comes_first_if_it_can_be_used(
    mnist: Path, capsys: Printed, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NetworkFileError, match=r"there is no my_network.npz here.*train one in Lesson 4"):
        my_network()
    (folder / "card").mkdir()
    untrained_network(20).save(folder / "card/digits.npz")
    monkeypatch.setenv("NETWORKS_DIR", str(folder / "card"))
    own = folder / "my_network.npz"
    untrained_network(7).save(own)
    assert len(my_network().wih) == 7
    assert capsys.readouterr().out == "This is your own network, my_network.npz, with 7 hidden nodes.\n"
    monkeypatch.setenv("MNIST_DIR", str(mnist))
    wrong_size, no_network = untrained_network(7, inputs=100).save, Path.write_text
    for change, why in (
        (lambda: None, r"it reads only \d+% of a hundred digits"),
        (lambda: wrong_size(own), "it has 100 inputs and 10 outputs, not 784 and 10"),
        (lambda: no_network(own, "not a network"), "it is damaged, or not a network"),
    ):
        change()
        assert len(my_network().wih) == 20
        assert re.search(f"cannot be used here: {why}. So this is the network on the card", capsys.readouterr().out)


def test_a_worse_network_does_not_replace_a_better_one(capsys: Printed, folder: Path) -> None:
    """All digits are a 3; one network always answers 3, the other always 4."""
    digits = Examples(np.full(10, 3, np.uint8), np.zeros((10, 784), np.uint8))
    good, bad = untrained_network(5), untrained_network(6)
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


def recorded(folder: Path) -> tasks.Record:
    record = tasks.parse((folder / "my_progress.json").read_bytes())
    assert record
    return record


def test_a_finished_lesson_is_recorded_with_its_best_score(folder: Path) -> None:
    """Beside what mynn-pi 0.1.0 recorded."""
    old = '{"version": 1, "lessons": {"part2_old": {"finished": "2026-11-27T10:00:00", "score": 0.5}}}'
    (folder / "my_progress.json").write_text(old)
    finished("part2_first", score=1.0)  # nobody knows any more of what
    finished("part2_first", score=np.float64(0.9), of=range(23))
    finished("part2_first", score=0.8, of=range(1000))
    finished("part2_first")
    found = {name: (end.score, end.tested) for name, end in recorded(folder).lessons.items()}
    assert found == {"part2_old": (0.5, None), "part2_first": (0.9, 23)}
    assert [path.name for path in folder.iterdir()] == ["my_progress.json"]


CELL = "fours = {}\nexpected = 4\n\ncheck(fours, expected,\n      'A hint.')\n"


def test_what_a_pupil_typed_is_written_down_and_what_was_right_stays_right(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    monkeypatch.setattr(answers, "in_a_notebook", lambda: True)
    notebook = {"cells": [{"cell_type": "code", "source": [CELL]}, {"cell_type": "code", "source": "check(more, 1)"}]}
    (folder / "part2_first.ipynb").write_text(json.dumps(notebook | {"metadata": {}}))
    long = f"len('üü') + len('{'.' * 200}') - 198"
    kept = {"...": "", "7,5": "7,5", "[2 +\n  2][0]  # é": "[2 + 2][0]", "5": "[2 + 2][0]"}
    for number, (typed, expected) in enumerate({**kept, long: f"len('??') + len('{'.' * 83}"}.items()):
        cell = folder / f"cell_{number}.py"
        cell.write_text(CELL.format(typed))
        exec(compile(cell.read_text(), cell, "exec"), {"check": check})
        if expected:
            assert recorded(folder).tasks == {"fours": tasks.Answer(number > 1, expected)}
    finished("part2_first")
    assert "1 of 2 tasks are right. Still open: `more`." in capsys.readouterr().out
    record = tasks.Record({"a": tasks.Finished(WHEN)}, recorded(folder).tasks)
    cases = ("a", ["fours"]), ("a", ["fours", "more"]), ("b", ["fours"])
    assert [record.standing(*case).done for case in cases] == [True, False, False]


WHEN = "2026-11-27T10:00:00"
PLACES = ["version", "more", "lessons", "lessons a", "lessons a finished", "lessons a score", "lessons a seconds"]
PLACES += ["lessons a tested", "tasks", "tasks fours", "tasks fours right", "tasks fours typed"]


@given(st.sampled_from(PLACES), JSON | st.sampled_from(["\u202e", "x" * 101, 10**400, 2, {"../x": {}}]))
def test_a_forged_record_is_read_as_we_write_it_or_not_at_all(place: str, value: Any) -> None:
    forged: Any = json.loads(tasks.Record({"a": tasks.Finished(WHEN)}, {"fours": tasks.Answer(True, "")}).text())
    *way, last = place.split()
    reduce(dict.__getitem__, way, forged)[last] = value
    if (record := tasks.parse(json.dumps(forged))) is not None:
        assert tasks.parse(record.text()) == record and len(record.text()) <= tasks.LARGEST
        assert all(re.fullmatch("[ -~]{0,100}", answer.typed) for answer in record.tasks.values())
        assert all(0 <= (end.score or 0) <= 1 for end in record.lessons.values())
    assert tasks.parse(json.dumps(forged) + " " * tasks.LARGEST) is None


@pytest.mark.parametrize("damaged", ["", "[]", "[" * 30_000, '{"version": 3, "lessons": {}, "tasks": {}}'], ids=len)
def test_a_damaged_progress_file_stays_and_an_error_in_writing_is_told(
    damaged: str, capsys: Printed, folder: Path
) -> None:
    (folder / "my_progress.json").write_text(damaged)
    finished("part2_first", score=0.5)
    assert (folder / "my_progress.json").read_text() == damaged
    assert "my_progress.json is damaged: rename it" in capsys.readouterr().out
    (folder / "my_progress.json").unlink()
    (folder / "my_progress.json").mkdir()
    finished("part2_first")
    printed = capsys.readouterr().out
    assert "This could not be written into my_progress.json (is a directory)." in printed and "Well done" in printed


def test_the_next_lesson_is_linked_by_its_title(folder: Path, capsys: Printed) -> None:
    for name, order in (("part2_z", 1), ("part2_a", 2), ("part2_a-Copy1", 2), ("part3_b", 3), ("part3_c", "often")):
        cell = {"cell_type": "markdown", "source": ["# Part 2: your [own](http://x)\n", "\n", "Text."]}
        (folder / f"{name}.ipynb").write_text(json.dumps({"cells": [cell], "metadata": {"mynn": {"lesson": order}}}))
    (folder / "part3_d.ipynb").write_text("{")
    for last in ("part3_b", "part9_x"):
        assert done.next_lesson(last, folder) is None
    finished("part2_z")
    assert "The next one: [Part 2: your ownhttp://x](part2_a.ipynb)" in capsys.readouterr().out
