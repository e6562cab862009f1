"""The network that lessons use if a student has none."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.provisioned.pi import Pi, Results

BAND = (0.966, 0.985)  # accuracy on the first 1,000 test digits; ten seeds: .976 ± .003, .972 to .980

SCORE = """
from mynn import NeuralNetwork, mnist_folder, read_csv
from mynn.lesson import networks_folder
network = NeuralNetwork.load(networks_folder() / "digits.npz")
print(len(network.wih), network.score(read_csv(mnist_folder() / "mnist_test.csv", limit=1000)))
"""


@pytest.fixture(scope="module")
def results(pi: Pi) -> Results:
    """Return the results of a student's program."""
    return pi.run({"score": pi.as_student_python(SCORE)})


def test_the_lessons_network_recognises_digits(
    results: Results, record_property: Callable[[str, object], None]
) -> None:
    """The lessons have a trained network, which recognises as many digits as it should."""
    score = results["score"]
    assert score.status == 0, f"The network for the lessons cannot be loaded: {score.text}"
    nodes, recognised = score.text.split()
    record_property("network_score", float(recognised))
    assert nodes == "200", f"The network for the lessons has {nodes} hidden nodes; 200 are expected."
    assert BAND[0] <= float(recognised) <= BAND[1], (
        f"The network for the lessons recognises {float(recognised):.1%} of the first 1,000 test digits; "
        f"{BAND[0]:.1%} to {BAND[1]:.1%} are expected."
    )
