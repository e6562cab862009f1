"""The command `mynn`: smoke, info, train and test."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mynn import NeuralNetwork, __version__, kernel, read_csv
from mynn.cli import main
from mynn.cli.info import BAR, EXAMPLES, TESTED
from tests.support.digits import copy_digits
from tests.support.programs import ROOT


@pytest.fixture
def data(mnist: Path, tmp_path: Path) -> Path:
    """The digits that the smoke training reads, in a folder where tests may change them."""
    return copy_digits(mnist, tmp_path, training=EXAMPLES, testing=TESTED)


def test_smoke_reaches_the_required_accuracy(mnist: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["smoke", "--data", str(mnist), "--json"]) == 0
    printed = capsys.readouterr()
    result = json.loads(printed.out)
    assert result["passed"] is True
    assert BAR < result["accuracy"] < 0.9
    assert (result["bar"], result["examples"], result["tested"]) == (BAR, EXAMPLES, TESTED)
    assert 0 < result["seconds"] < 60
    assert result["peak_mib"] > 10
    assert f"trained on {EXAMPLES} of {EXAMPLES}" in printed.err


def test_info_lists_versions_and_data(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "--data", str(data), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["mynn"] == __version__
    assert facts["files"] == ["mnist_train.csv", "mnist_test.csv"]
    assert facts["numpy"][0].isdigit()
    assert facts["kernel"] == kernel.STATE
    assert main(["info", "--data", str(data)]) == 0
    assert "mnist_train.csv, mnist_test.csv" in capsys.readouterr().out


def test_train_and_test_with_the_defaults(mnist: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """50 hidden nodes, one epoch, all of MNIST; `mynn test` confirms the accuracy of the saved network."""
    saved = tmp_path / "network.npz"
    assert main(["train", "--data", str(mnist), "--json", "--save", str(saved)]) == 0
    printed = capsys.readouterr()
    result = json.loads(printed.out)
    assert result["accuracy"] == pytest.approx(0.938, abs=0.016)
    assert (result["examples"], result["tested"], result["hidden"], result["epochs"]) == (60_000, 10_000, 50, 1)
    assert (result["kernel"], result["saved"]) == (kernel.STATE, str(saved))
    assert sorted(result["seconds"]) == ["reading", "testing", "training"]
    assert printed.err == ""  # no progress bar without a terminal

    assert main(["test", str(saved), "--data", str(mnist), "--json"]) == 0
    tested = json.loads(capsys.readouterr().out)
    assert tested["accuracy"] == result["accuracy"]
    assert sum(row[label] for label, row in enumerate(tested["confusion"])) == tested["accuracy"] * 10_000
    assert [sum(row) for row in tested["confusion"]][:2] == [980, 1135]  # the numbers of zeros and ones in the test set
    assert main(["test", str(saved), "--data", str(mnist)]) == 0
    assert f"{result['accuracy']:.2%} of 10000 digits recognised" in capsys.readouterr().out


def test_errors_are_one_line(mnist: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def error_message(*command: str) -> str:
        assert main([*command, "--data", str(mnist)]) == 2
        printed = capsys.readouterr()
        assert printed.out == "" and printed.err.count("\n") == 1
        return printed.err

    path = tmp_path / "network.npz"
    assert "no such file" in error_message("test", str(path))
    path.write_text("no network")
    assert f"mynn test: {path}: no network can be read" in error_message("test", str(path))
    path.unlink()
    NeuralNetwork(4, 3, 2, 0.1).save(path)
    assert "does not read digits" in error_message("test", str(path))
    for wrong in (["train", "--epochs", "0"], ["train", "--rule", "books"]):
        with pytest.raises(SystemExit, match="2"):
            main(wrong)


def test_train_checks_first_that_the_network_can_be_saved(
    data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def error_message(path: Path) -> str:
        assert main(["train", "--data", str(data), "--save", str(path)]) == 2
        printed = capsys.readouterr()
        assert printed.out == "" and printed.err.count("\n") == 1
        return printed.err

    monkeypatch.setattr(NeuralNetwork, "fit", lambda *_, **__: pytest.fail("it trained before checking"))
    lesson = data / "lesson.ipynb"
    lesson.write_text("{}")
    nowhere = data / "nowhere/network.npz"
    assert f"{nowhere}: there is no such folder" in error_message(nowhere)
    assert f"{data}: the network cannot be saved here (is a directory)" in error_message(data)
    assert "cannot be saved here (file name too long)" in error_message(data / ("x" * 254))
    assert "/proc/network.npz: the network cannot be saved here (" in error_message(Path("/proc/network.npz"))
    assert f"{lesson}: this file exists and is not a network" in error_message(lesson)
    assert lesson.read_text() == "{}"


def press_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    """Raise KeyboardInterrupt in the training, after its second block of examples."""

    class InterruptingBar:
        def __init__(self, what: str) -> None:
            self.calls = 0

        def __call__(self, done: int, total: int) -> None:
            self.calls += 1
            if self.calls == 2:
                raise KeyboardInterrupt

    monkeypatch.setattr("mynn.cli.train.Bar", InterruptingBar)


def test_ctrl_c_saves_the_network_so_far(
    data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, implementation: str
) -> None:
    press_ctrl_c(monkeypatch)
    saved, block = data / "network.npz", 100 if implementation == "numpy" else EXAMPLES
    command = ["train", "--data", str(data), "--epochs", "9"]
    assert main([*command, "--save", str(saved)]) == 130
    printed = capsys.readouterr()
    message = f"stopped after {2 * block} of {9 * EXAMPLES} examples; the network so far is in {saved}. Testing it"
    assert f"\nmynn train: {message}" in printed.err
    assert f"of {TESTED} digits recognised after {2 * block} examples" in printed.out
    network = NeuralNetwork(784, 50, 10, 0.1, seed=0)
    if implementation == "numpy":
        network.fit(read_csv(data / "mnist_train.csv", 2 * block))
    else:
        network.fit(read_csv(data / "mnist_train.csv"), epochs=2)
    assert (NeuralNetwork.load(saved).wih == network.wih).all()

    assert main(command) == 130
    assert "nothing is saved without --save" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["train", "--seed", "-1"], "-1 is less than 0"),
        (["train", "--hidden", "1000000000"], "1000000000 is more than 100000"),
        (["train", "--epochs", "many"], "'many' is not a whole number"),
        (["experiment", "sweep", "--angle", "nan"], "'nan' is not from 0 to 180"),
        (["experiment", "sweep", "--angle", "400"], "'400' is not from 0 to 180"),
        (["train", "--rate", "nan"], "0.01 to 0.3 is usual"),
        (["train", "--rate", "-1"], "0.01 to 0.3 is usual"),
        (["experiment", "sweep", "--rate", "much"], "'much'"),
        (["experiment", "sweep", "--hidden", "0"], "0 is less than 1"),
        (["damage", "--remove", "-1"], "-1 is less than 0"),
        (["quux"], "invalid choice: 'quux'"),
        (["backquery", "--label", "12"], "invalid choice: '12'"),
    ],
)
def test_mistakes_on_the_command_line_are_explained(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert message in capsys.readouterr().err.splitlines()[-1]


def test_without_a_verb_the_help_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    printed = capsys.readouterr()
    assert "usage: mynn" in printed.out and "train a network and test it" in printed.out and printed.err == ""
    assert main(["experiment"]) == 0
    assert "usage: mynn experiment" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["--help"], ["test", "network.npz"]])
def test_a_closed_pipe_causes_no_traceback(arguments: list[str], data: Path) -> None:
    """As with `mynn test ... | head -1`, when `head` has ended."""
    NeuralNetwork(784, 3, 10, 0.1).save(data / "network.npz")
    reader, writer = os.pipe()
    os.close(reader)
    options = [] if arguments == ["--help"] else ["--data", str(data)]
    command = [sys.executable, "-m", "mynn", *arguments, *options]
    run = subprocess.run(
        command, cwd=data, stdout=writer, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    os.close(writer)
    assert run.stderr == ""
    assert run.returncode == 141 or arguments == ["--help"]  # argparse ignores a closed pipe


# The optional modules that each verb needs.
NEEDED = {"damage": {"mynn.damage"}}


@pytest.mark.parametrize("arguments", [["smoke"], ["damage", "--examples", "99"]])
def test_a_verb_imports_only_what_it_needs(arguments: list[str], data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of the slow libraries takes a Pi Zero seconds to import."""
    monkeypatch.chdir(data)
    NeuralNetwork(784, 3, 10, 0.1).save("my_network.npz")
    program = """if True:
        import sys
        import mynn
        from mynn.cli import main
        code = main(sys.argv[1:])
        loaded = {"scipy", "matplotlib", "PIL"} & set(sys.modules)
        assert not loaded, f"slow libraries were imported: {loaded}"
        print("\\n".join(sys.modules))
        sys.exit(code)
    """
    command = [sys.executable, "-c", program, *arguments, "--data", str(data)]
    loaded = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.split("\n")
    optional = ("mynn.damage", "mynn.distort", "mynn.experiments", "mynn.images", "mynn.plotting", "mynn.widget")
    assert {name for name in loaded if name.startswith(optional)} == NEEDED.get(arguments[0], set())
