"""MNIST."""

import re
import shlex
from collections.abc import Callable

from tests.provisioned.pi import Pi


def test_digits_are_complete(pi: Pi, record_property: Callable[[str, object], None]) -> None:
    """All 70,000 digits and the book's small files are intact, also in mynn's fast format."""
    names, folder = " ".join(map(shlex.quote, pi.settings.mnist_files)), shlex.quote(pi.settings.mnist)
    command = pi.as_student(f"cd {folder} && sha256sum {names}")
    # direct: from the card, not from memory
    read = f"LC_ALL=C dd if={folder}/mnist_test.csv of=/dev/null bs=1M iflag=direct"
    results = pi.run({"sums": command, "read": read})
    if copied := re.search(r"^(\d+) bytes .*, ([\d.e-]+) s, ", results["read"].text, re.M):
        record_property("card_mb_per_second", round(int(copied[1]) / 1e6 / float(copied[2]), 1))
    sums = results["sums"].sums
    wrong = [name for name, wanted in pi.settings.mnist_files.items() if sums.get(name) != wanted["sha256"]]
    assert not wrong, f"Missing, unreadable for the student, or wrong: {', '.join(wrong)}."
