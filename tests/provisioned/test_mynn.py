"""The network."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.provisioned.pi import Answers, Pi


@pytest.fixture(scope="module")
def answers(pi: Pi) -> Answers:
    mynn = f"{pi.settings.venv}/bin/mynn"
    training = f"{pi.settings.mnist_folder}/mnist_train.csv"
    return pi.ask(
        {
            "import": pi.as_student_python("import mynn; print(mynn.__version__)"),
            "parsed": pi.as_student_python(
                f"import pathlib; from mynn import mnist; print(mnist.load(pathlib.Path({training!r})) is not None)"
            ),
            "meant": f"cat {pi.settings.venv}/mynn-*",
            "info": pi.as_student(f"{mynn} info --json"),
            "smoke": pi.as_student(f"timeout 3600 {mynn} smoke --json 2>/dev/null"),
        }
    )


def test_mynn_is_there(pi: Pi, answers: Answers) -> None:
    """Students can use the package mynn, and it finds the digits."""
    assert answers["import"].status == 0, f"mynn cannot be imported: {answers['import'].text}"
    assert answers["info"].status == 0, f"`mynn info` fails: {answers['info'].text}"
    files = json.loads(answers["info"].text)["files"]
    assert sorted(files) == sorted(name for name in pi.settings.mnist_files if name.endswith(".csv")), (
        f"mynn finds only these files of digits: {', '.join(files)}."
    )


def test_digits_need_not_be_parsed(answers: Answers) -> None:
    """Digits load at once, without being parsed in each lesson."""
    assert answers["parsed"].text == "True", f"mynn parses mnist_train.csv at each lesson: {answers['parsed'].text}"


def test_it_uses_the_compiled_kernel(answers: Answers, record_property: Callable[[str, object], None]) -> None:
    """It uses the compiled kernel, if one was built for its processor."""
    assert answers["meant"].text and answers["meant"].status == 0, "The installation of the package mynn is incomplete."
    wheel, *why = answers["meant"].lines
    assert answers["info"].status == 0, f"`mynn info` fails: {answers['info'].text}"
    kernel = json.loads(answers["info"].text)["kernel"]
    record_property("kernel", kernel)
    assert not why, f"The compiled kernel that was pushed does not work here, so it learns more slowly: {why[0]}"
    if wheel.endswith("-none-any.whl"):
        assert kernel.startswith("numpy"), f"No kernel was compiled for it, but it uses: {kernel}."
    else:
        assert kernel.startswith("compiled"), f"It has a compiled kernel ({wheel}), but uses: {kernel}."


def test_it_learns(answers: Answers, record_property: Callable[[str, object], None]) -> None:
    """It learns to recognise digits: a short training on its own data reaches the required accuracy."""
    smoke = answers["smoke"]
    assert smoke.status in (0, 1), f"The smoke training fails (run `mynn smoke` as the student): {smoke.text}"
    result = json.loads(smoke.text)
    for name in ("accuracy", "bar", "seconds", "peak_mib"):
        record_property(f"smoke_{name}", result[name])
    assert result["accuracy"] >= result["bar"], (
        f"After the smoke training it recognises {result['accuracy']:.1%} of the digits; "
        f"{result['bar']:.1%} are required."
    )
    assert smoke.status == 0, f"`mynn smoke` ends with {smoke.status}, although its accuracy is high enough."
