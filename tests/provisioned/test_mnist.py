"""MNIST."""

from __future__ import annotations

import shlex

import pytest

from tests.provisioned.pi import Pi, Results


@pytest.fixture(scope="module")
def results(pi: Pi) -> Results:
    """Return what the student can read and write in MNIST's folder."""
    folder = shlex.quote(pi.settings.mnist_folder)
    names = " ".join(map(shlex.quote, pi.settings.mnist_files))
    return pi.run(
        {
            "sums": pi.as_student(f"cd {folder} && sha256sum {names}"),
            "writable": pi.as_student("find /srv/mynn -writable -print -quit"),
            "unreadable": f"cd {folder} && find {names} ! -perm -o=r",
        }
    )


def test_digits_are_complete(pi: Pi, results: Results) -> None:
    """All 70,000 digits and the book's small files are intact, also in mynn's fast format."""
    sums = results["sums"].sums
    wrong = [name for name, wanted in pi.settings.mnist_files.items() if sums.get(name) != wanted["sha256"]]
    assert not wrong, f"Missing, unreadable for the student, or wrong: {', '.join(wrong)}."


def test_everybody_can_read_them(results: Results) -> None:
    """Every account can read the digits."""
    assert results["unreadable"].status == 0, results["unreadable"].text
    assert results["unreadable"].text == "", f"Not everybody can read {', '.join(results['unreadable'].lines)}."


def test_students_cannot_change_them(results: Results) -> None:
    """Students cannot change or delete the digits."""
    assert results["writable"].status == 0, f"The student cannot search /srv/mynn: {results['writable'].text}"
    assert results["writable"].text == "", f"The student can write to {results['writable'].text}."
