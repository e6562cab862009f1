"""The lesson on the book's derivative.

The bands are about three standard deviations wide, from ten or twenty seeds, each with the lesson's own digits.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.networks import squash
from tests.unit.lessons.lesson_run import Run

pytestmark = pytest.mark.slow

# Rule, learning rate, mean accuracy, and the tolerance for the mean of three seeds.
BANDS = [
    ("book", 0.1, 0.869, 0.011),
    ("book", 1.0, 0.769, 0.06),
    ("gradient", 0.02, 0.689, 0.06),
    ("gradient", 0.5, 0.871, 0.014),
    ("cross-entropy", 0.1, 0.880, 0.014),
    ("cross-entropy", 1.0, 0.59, 0.18),
]


@pytest.fixture(scope="module")
def lesson(mnist: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    values = """
        "wih": small("book").wih, "who": small("book").who, "inputs": inputs, "targets": targets,
        "who_downhill": who_downhill, "wih_downhill": wih_downhill,
        "who_surprise": who_surprise, "wih_surprise": wih_surprise,
        "book_who": book_who, "book_wih": book_wih, "gradient_who": gradient_who, "gradient_wih": gradient_wih,
        "rates": rates, "scores": scores, "stories": stories,
    """
    tries = {
        "instrument-try-code": (
            "((3 + tiny) ** 2 - (3 - tiny) ** 2) / (2 * tiny)",
            "(3 + tiny) ** 2 - (3 - tiny) ** 2",
        ),
        "sure-code": ("0.99 * (1 - 0.99)", "0.99"),
    }
    return Run("part3_wrong_derivative.ipynb", values, mnist, tmp_path_factory.mktemp("derivative"), tries)


def slopes(values: dict[str, Any]) -> dict[str, np.ndarray[Any, Any]]:
    """Return the slopes that the lesson measures, calculated with only loops."""
    wih, who, inputs, targets = (values[name] for name in ("wih", "who", "inputs", "targets"))
    hidden = [squash(sum(w * x for w, x in zip(row, inputs, strict=True))) for row in wih]
    outputs = [squash(sum(w * h for w, h in zip(row, hidden, strict=True))) for row in who]
    output_slopes = {
        "downhill": [(t - o) * o * (1 - o) for t, o in zip(targets, outputs, strict=True)],
        "surprise": [t - o for t, o in zip(targets, outputs, strict=True)],
    }
    found = {}
    for name, slope in output_slopes.items():
        found[f"who_{name}"] = np.array([[slope[k] * h for h in hidden] for k in range(2)])
        hidden_slopes = [sum(who[k][j] * slope[k] for k in range(2)) * h * (1 - h) for j, h in enumerate(hidden)]
        found[f"wih_{name}"] = np.array([[hidden_slope * x for x in inputs] for hidden_slope in hidden_slopes])
    return found


def test_slopes_are_measured_correctly(lesson: Run) -> None:
    for name, expected in slopes(lesson.values).items():
        np.testing.assert_allclose(lesson.values[name], expected, rtol=0, atol=1e-8)


def test_the_missing_factor_is_found(lesson: Run) -> None:
    values = {name: np.array(value) for name, value in lesson.values.items() if name.startswith(("wih_", "who_"))}
    steps = {name: np.array(lesson.values[name]) for name in ("book_who", "book_wih", "gradient_who", "gradient_wih")}
    np.testing.assert_allclose(steps["book_who"], values["who_downhill"], rtol=0, atol=1e-8)
    np.testing.assert_allclose(steps["gradient_who"], values["who_downhill"], rtol=0, atol=1e-8)
    np.testing.assert_allclose(steps["gradient_wih"], values["wih_downhill"], rtol=0, atol=1e-8)
    times = steps["book_wih"] / values["wih_downhill"]
    assert np.abs(times).min() > 2 and times.min() < 0, "some of the book's steps go uphill"
    assert f"It is {(times < 0).sum()} weights." in lesson.text("measure-code")


def test_the_accuracy_of_each_rule_is_as_expected(lesson: Run) -> None:
    means = {
        rule: dict(zip(lesson.values["rates"], np.mean(rows, axis=0), strict=True))
        for rule, rows in lesson.values["scores"].items()
    }
    for rule, rate, mean, band in BANDS:
        assert means[rule][rate] == pytest.approx(mean, abs=band), (rule, rate)
    best = {rule: max(scores, key=lambda rate: scores[rate]) for rule, scores in means.items()}
    assert best["cross-entropy"] <= best["book"] < best["gradient"]
    tops = [max(scores.values()) for scores in means.values()]
    assert max(tops) - min(tops) < 0.02


def test_the_books_rule_corrects_a_confident_mistake_sooner(lesson: Run) -> None:
    """Seeds 0 to 2: after 6 to 8 repetitions by the book's rule, and 13 to 18 by the gradient."""
    wins = {}
    for rule, story in lesson.values["stories"].items():
        three, five = np.transpose(story)
        assert three[0] > 0.9 and five[0] < 0.1 and five[-1] > 0.8
        wins[rule] = int(np.argmax(five > three))
    assert wins["book"] < 0.7 * wins["gradient"]
    for count in wins.values():
        assert f"It is {count} times." in lesson.text("stuck-code")


def test_it_runs_to_its_end_and_checks_its_exercises(lesson: Run) -> None:
    lesson.assert_is_whole(score=max(max(np.mean(rows, axis=0)) for rows in lesson.values["scores"].values()))
