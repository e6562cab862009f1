"""The network."""

import json
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
    mynn = f"{pi.settings.venv}/bin/mynn"
    training = f"{pi.settings.mnist}/mnist_train.csv"
    return pi.run(
        {
            "parsed": pi.as_student_python(
                f"import pathlib; from mynn import mnist; print(mnist.load(pathlib.Path({training!r})) is not None)"
            ),
            "wheel": f"cat {pi.settings.venv}/mynn-*",
            "info": pi.as_student(f"{mynn} info --json"),
            "smoke": pi.as_student(f"timeout 3600 {mynn} smoke --json 2>/dev/null"),
            "score": pi.as_student_python(SCORE),
        }
    )


def test_mynn_is_installed(pi: Pi, results: Results) -> None:
    """Students can use the package mynn, and it finds MNIST."""
    assert results["info"].status == 0, f"`mynn info` fails: {results['info'].text}"
    assert json.loads(results["info"].text)["files"], "mynn finds no file of MNIST."


def test_digits_are_loaded_without_parsing(results: Results) -> None:
    """Digits load quickly: they are not parsed again in each lesson."""
    assert results["parsed"].text == "True", (
        f"mynn parses mnist_train.csv again in each lesson: {results['parsed'].text}"
    )


def test_it_uses_the_compiled_kernel(results: Results, record_property: Callable[[str, object], None]) -> None:
    """It uses the compiled kernel, if there is one for its processor."""
    assert results["wheel"].text and results["wheel"].status == 0, "The installation of the package mynn is incomplete."
    wheel = results["wheel"].text
    assert results["info"].status == 0, f"`mynn info` fails: {results['info'].text}"
    kernel = json.loads(results["info"].text)["kernel"]
    record_property("kernel", kernel)
    if wheel.endswith("-none-any.whl"):
        assert kernel.startswith("numpy"), f"It has no compiled kernel, but uses: {kernel}."
    else:
        assert kernel.startswith("compiled"), f"It has a compiled kernel ({wheel}), but uses: {kernel}."


def test_it_learns(results: Results, record_property: Callable[[str, object], None]) -> None:
    """It learns to recognise digits: a short training reaches the required accuracy."""
    smoke = results["smoke"]
    assert smoke.status in (0, 1), f"The smoke training fails (run `mynn smoke` as the student): {smoke.text}"
    result = json.loads(smoke.text)
    for name in ("accuracy", "bar", "seconds", "peak_mib"):
        record_property(f"smoke_{name}", result[name])
    assert result["accuracy"] >= result["bar"], (
        f"After the smoke training it recognises {result['accuracy']:.1%} of the digits; "
        f"{result['bar']:.1%} are required."
    )
    assert smoke.status == 0, f"`mynn smoke` ends with exit code {smoke.status}, although its accuracy is high enough."


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
