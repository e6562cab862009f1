"""MNIST."""

from __future__ import annotations

import shlex

import pytest

from tests.provisioned.pi import Answers, Pi


@pytest.fixture(scope="module")
def answers(pi: Pi) -> Answers:
    """Return what the student can see and do in the data's folder."""
    folder = shlex.quote(pi.settings.mnist_folder)
    names = " ".join(map(shlex.quote, pi.settings.mnist_files))
    return pi.ask(
        {
            "sums": pi.as_student(f"cd {folder} && sha256sum {names}"),
            "writable": pi.as_student("find /srv/mynn -writable -print -quit"),
            "others": f"cd {folder} && find {names} ! -perm -o=r",
        }
    )


def test_digits_are_all_there(pi: Pi, answers: Answers) -> None:
    """All 70,000 digits and the book's small files are there, byte for byte, also in mynn's fast format."""
    found = answers["sums"].sums
    wrong = [name for name, wanted in pi.settings.mnist_files.items() if found.get(name) != wanted["sha256"]]
    assert not wrong, f"Missing, unreadable for the student, or wrong: {', '.join(wrong)}."


def test_everybody_can_read_them(answers: Answers) -> None:
    """Every account can read the digits."""
    assert answers["others"].status == 0, answers["others"].text
    assert answers["others"].text == "", f"Not everybody can read {', '.join(answers['others'].lines)}."


def test_students_cannot_change_them(answers: Answers) -> None:
    """Students cannot change or delete the digits."""
    assert answers["writable"].status == 0, f"The student cannot search /srv/mynn: {answers['writable'].text}"
    assert answers["writable"].text == "", f"The student can write to {answers['writable'].text}."
