"""The two lessons that build a network from scratch."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.networks import book_step, squash
from tests.unit.lessons.lesson_run import Run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def by_hand(mnist: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    values = """
        "wih": wih, "who": who, "inputs": inputs, "targets": targets, "rate": rate, "maps": maps,
        "outputs": outputs, "new_outputs": new_outputs,
    """
    tries = {
        "other-code": ("0.5 * first_weight + 0.5 * second_weight", "0.5"),
        "weights-code": ("5 * 7 + 7 * 3", "5 * 7 * 3"),
    }
    return Run("part2_neural_network.ipynb", values, mnist, tmp_path_factory.mktemp("by_hand"), tries)


@pytest.fixture(scope="module")
def lesson(mnist: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    values = """
        "wih": wih, "who": who, "inputs": inputs, "targets": targets, "rate": rate,
        "new_wih": small.wih, "new_who": small.who, "known": known, "new": new,
        "answers": answers, "moved": moved, "apart": apart,
    """
    tries = {
        "altogether-code": ("784 * hidden_nodes + hidden_nodes * 10", "784 * hidden_nodes"),
        "says-code": ("ten_outputs.argmax()", "ten_outputs.max()"),
    }
    return Run("part2_neural_network_2.ipynb", values, mnist, tmp_path_factory.mktemp("network"), tries)


def after_one_step(values: dict[str, Any]) -> tuple[list[list[float]], list[list[float]]]:
    """Return the weights after one step of the book's rule, calculated with only loops."""
    wih, who = ([list(row) for row in values[name]] for name in ("wih", "who"))
    book_step(wih, who, values["rate"], values["inputs"], values["targets"])
    return wih, who


def test_a_node_sums_and_squashes(by_hand: Run) -> None:
    for rows, (one, two) in zip(by_hand.values["maps"], [(1.5, -2.0), (15, -20), (-10, 30)], strict=True):
        corners = [rows[0][0], rows[0][-1], rows[-1][0], rows[-1][-1]]  # at (0, 0), (1, 0), (0, 1) and (1, 1)
        assert corners == pytest.approx([0.5, squash(one), squash(two), squash(one + two)])


def test_one_step_improves_the_outputs(by_hand: Run) -> None:
    values = by_hand.values
    wih, who = after_one_step(values)
    outputs = values["inputs"]
    for weights in (wih, who):
        outputs = [squash(sum(w * x for w, x in zip(row, outputs, strict=True))) for row in weights]
    assert values["new_outputs"] == pytest.approx(outputs)
    assert values["outputs"][0] < outputs[0] < 0.99 and values["outputs"][1] > outputs[1] > 0.01
    errors = [float(line.split()[-1]) for line in by_hand.text("all-weights-code").splitlines()[1:]]
    assert errors[0] == 0.0 and errors[1] > errors[2] > 0.0


def test_the_class_takes_the_same_step_as_the_calculation_by_hand(by_hand: Run, lesson: Run) -> None:
    for name in ("wih", "who", "inputs", "targets", "rate"):
        assert lesson.values[name] == by_hand.values[name], name
    wih, who = after_one_step(lesson.values)
    np.testing.assert_allclose(lesson.values["new_wih"], wih, rtol=0, atol=1e-13)
    np.testing.assert_allclose(lesson.values["new_who"], who, rtol=0, atol=1e-13)


def test_the_students_network_learns_100_digits(lesson: Run) -> None:
    """Ten seeds: .76 to .81 after one epoch, .99 to 1 after five; .5 to .8 of the ten new digits."""
    known, new = lesson.values["known"], lesson.values["new"]
    assert len(known) == len(new) == 6
    assert known[0] < 0.3
    assert known[1] == pytest.approx(0.785, abs=0.05)
    assert known[-1] >= 0.97
    assert 0.4 <= new[-1] <= 0.9
    assert len(lesson.values["answers"]) == 10


def test_the_students_network_equals_mynns(lesson: Run) -> None:
    assert lesson.values["moved"] > 0.1
    assert lesson.values["apart"] < 1e-13


def test_it_runs_to_its_end_and_checks_its_exercises(by_hand: Run, lesson: Run) -> None:
    by_hand.assert_is_whole()
    lesson.assert_is_whole()
