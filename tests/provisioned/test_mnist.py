"""MNIST."""

import shlex

from tests.provisioned.pi import Pi


def test_digits_are_complete(pi: Pi) -> None:
    """All 70,000 digits and the book's small files are intact, also in mynn's fast format."""
    names = " ".join(map(shlex.quote, pi.settings.mnist_files))
    command = pi.as_student(f"cd {shlex.quote(pi.settings.mnist)} && sha256sum {names}")
    sums = pi.run({"sums": command})["sums"].sums
    wrong = [name for name, wanted in pi.settings.mnist_files.items() if sums.get(name) != wanted["sha256"]]
    assert not wrong, f"Missing, unreadable for the student, or wrong: {', '.join(wrong)}."
