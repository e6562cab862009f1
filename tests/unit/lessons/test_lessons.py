# mypy: untyped-calls-exclude=nbformat
# (nbformat says that it is typed, and a few of its functions are not.)
"""The first lesson on MNIST, the first on rotations, and what every lesson has in common."""

import re
from pathlib import Path

import nbformat
import numpy as np
import pytest

from tests.unit.lessons.lesson_run import LESSONS, Run

LESSON_PATHS = sorted(LESSONS.glob("*.ipynb"))


@pytest.fixture(scope="module")
def part2(mnist: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    values = """
        "accuracy": accuracy, "progress": progress, "seen": seen,
        "same": bool((NeuralNetwork.load("my_network.npz").wih == network.wih).all()),
    """
    tries = {
        "eight-code": ("seen[[part >= 0.8 for part in progress].index(True)]", "60_000"),
        "mistakes-code": ("(1 - accuracy) * len(testing)", "1 - accuracy"),
    }
    return Run("part2_neural_network_mnist_data.ipynb", values, mnist, tmp_path_factory.mktemp("part2"), tries)


@pytest.fixture(scope="module")
def part3(mnist: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    values = """
        "digit": scale(training.pixels[7]), "left": clockwise, "right": anticlockwise,
        "upright": dict(zip(angles, scores_upright)), "turned": dict(zip(angles, scores_turned)),
    """
    tries = {"quarter-code": ("rotate(inputs, -90)", "rotate(inputs, 90)"), "label-code": ("9", "6")}
    return Run("part3_mnist_data_set_with_rotations.ipynb", values, mnist, tmp_path_factory.mktemp("part3"), tries)


def test_part2_recognises_as_many_digits_as_it_says(part2: Run) -> None:
    """All of MNIST, 50 hidden nodes, one epoch; the same band as in test_network.py."""
    assert part2.values["accuracy"] == pytest.approx(0.938, abs=0.016)
    assert part2.values["seen"] == list(range(0, 61_000, 1000))
    assert part2.values["progress"][0] < 0.3 < 0.9 < part2.values["progress"][-1]


def slant(inputs: list[float]) -> float:
    """Return the direction of a digit's longest axis, in degrees anticlockwise, from the moments of its ink."""
    ink = np.array(inputs).reshape(28, 28) - 0.01
    up, right = np.mgrid[13.5:-14.5:-1, -13.5:14.5]
    up, right = up - np.average(up, weights=ink), right - np.average(right, weights=ink)
    return float(np.rad2deg(0.5 * np.arctan2(2 * (ink * up * right).sum(), (ink * (right**2 - up**2)).sum())))


def test_part3_rotates_a_digit_ten_degrees_each_way(part3: Run) -> None:
    digit, left, right = (slant(part3.values[name]) for name in ("digit", "left", "right"))
    assert left - digit == pytest.approx(-10, abs=0.7)
    assert right - digit == pytest.approx(10, abs=0.7)


def test_part3_shows_that_rotated_digits_help(part3: Run) -> None:
    """On digits rotated by 20 degrees each way, twelve seeds gained .049 and .087, with an sd of .008 and .014."""
    upright, turned = part3.values["upright"], part3.values["turned"]
    assert list(upright) == [str(angle) for angle in range(-40, 50, 10)]
    assert upright["0"] == pytest.approx(0.902, abs=0.02)
    assert turned["0"] == pytest.approx(0.916, abs=0.02)
    for angle in ("-20", "20"):
        assert turned[angle] - upright[angle] > 0.02
    assert upright["0"] > upright["20"] > upright["40"]


@pytest.mark.parametrize("path", LESSON_PATHS, ids=lambda path: path.stem)
def test_a_lesson_is_stored_without_outputs(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    for cell in notebook.cells:
        assert not cell.get("outputs") and cell.get("execution_count") is None
        assert not cell.metadata
        assert cell.id.replace("-", "").isalpha(), (
            "a cell's id must be words, so that it stays the same when the lesson is edited"
        )
    ids = [cell.id for cell in notebook.cells]
    assert len(set(ids)) == len(ids)


def cells_of(path: Path) -> tuple[str, str]:
    """Return the text of a lesson, and its code."""
    cells = nbformat.read(path, as_version=4).cells
    text, code = ("\n\n".join(cell.source for cell in cells if cell.cell_type == kind) for kind in ("markdown", "code"))
    return text, code


def test_lessons_are_numbered_in_the_order_of_their_links() -> None:
    orders = {path.name: nbformat.read(path, as_version=4).metadata.mynn.lesson for path in LESSON_PATHS}
    assert sorted(orders.values()) == list(range(1, len(orders) + 1))
    for name, order in orders.items():
        link = re.search(r"\*\*The next lesson:\*\* \[`\w+`\]\((\w+\.ipynb)\)", cells_of(LESSONS / name)[0])
        if order < len(orders):
            assert link, name
            assert orders.get(link[1]) == order + 1, name


@pytest.mark.parametrize("path", LESSON_PATHS, ids=lambda path: path.stem)
def test_a_lesson_says_what_it_teaches_and_has_guesses_and_exercises(path: Path) -> None:
    text, code = cells_of(path)
    mynn = nbformat.read(path, as_version=4).metadata.mynn
    assert set(mynn) == {"lesson", "minutes", "learn"}
    assert isinstance(mynn.minutes, int) and 1 <= mynn.minutes <= 45 and 10 <= len(mynn.learn) <= 70
    assert text.startswith("# ")  # which the start page shows
    assert len(re.findall(r"= guess(?:_curve)?\(", code)) >= 2
    assert code.count(".beside(") + code.count(".plot(axes)") >= 2
    assert re.search(r"^\w+ = \.\.\. +# ", code, re.M) and "\ncheck(" in code
    assert f'finished("{path.stem}"' in code
    for summary in re.findall(r"<details>(.*?)</details>", text, re.S):
        assert "</summary>\n\n" in summary, "Markdown inside <details> needs a blank line before it"


def test_it_runs_to_its_end_and_checks_its_exercises(part2: Run, part3: Run) -> None:
    part2.assert_is_whole(score=part2.values["accuracy"])
    part3.assert_is_whole(score=part3.values["turned"]["0"])
    assert part2.values["same"], "my_network.npz is another network"
    assert "(You have not drawn a guess.)" in part2.text("curve-code")
