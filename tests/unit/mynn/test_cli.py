"""The command `mynn`: smoke, info, train, test and read."""

import itertools
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from PIL import Image

from mynn import NeuralNetwork, kernel, read_csv, scale
from mynn.cli import main
from mynn.cli.info import BAR, EXAMPLES, TESTED
from mynn.images import read_image
from tests.support.digits import copy_digits

Printed = pytest.CaptureFixture[str]


@pytest.fixture
def data(mnist: Path, tmp_path: Path) -> Path:
    """The digits that the smoke training reads, in a folder where tests may change them."""
    return copy_digits(mnist, tmp_path, training=EXAMPLES, testing=TESTED)


def error_message(capsys: Printed, *command: object) -> str:
    """Run a command that must fail, and return the one line of its error message."""
    assert main([str(word) for word in command]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.count("\n") == 1
    return printed.err


def test_smoke_reaches_the_required_accuracy(mnist: Path, capsys: Printed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it takes less than a millisecond, too."""
    monkeypatch.setattr("mynn.cli.info.time", Mock(perf_counter=itertools.count(0, 0.0001).__next__))
    assert main(["smoke", "--data", str(mnist), "--json"]) == 0
    printed = capsys.readouterr()
    result = json.loads(printed.out)
    assert result["passed"] is True and BAR < result["accuracy"] < 0.9
    assert (result["bar"], result["examples"], result["tested"]) == (BAR, EXAMPLES, TESTED)
    assert 0 < result["seconds"] < 0.001 and result["peak_mib"] > 10
    assert f"trained on {EXAMPLES} of {EXAMPLES}" in printed.err


def test_smoke_fails_where_nothing_is_learnt_or_data_is_missing(
    data: Path, capsys: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(NeuralNetwork, "fit", lambda *_, **__: None)
    assert main(["smoke", "--data", str(data)]) == 1
    assert re.search(r"FAILED \(78.0% required; (?!0\.0 )[\d.]+ s, ", capsys.readouterr().out)
    (data / "mnist_test.csv").write_text((data / "mnist_train.csv").read_text().partition("\n")[0])
    assert f"it has 1 digits and {TESTED} are needed" in error_message(capsys, "smoke", "--data", data)


def test_train_and_test_with_the_defaults(mnist: Path, tmp_path: Path, capsys: Printed) -> None:
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


def test_train_checks_first_that_the_network_can_be_saved(
    data: Path, capsys: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(NeuralNetwork, "fit", lambda *_, **__: pytest.fail("it trained before checking"))
    lesson = data / "lesson.ipynb"
    lesson.write_text("{}")
    before = {path.name for path in data.iterdir()}
    for place, reason in (
        (data / "nowhere/network.npz", "the network cannot be saved here (no such file or directory)"),
        (data, "the network cannot be saved here (is a directory)"),
        (lesson, "this file exists and is not a network"),
    ):
        assert f"{place}: {reason}" in error_message(capsys, "train", "--data", data, "--save", place)
    assert lesson.read_text() == "{}" and {path.name for path in data.iterdir()} == before


def test_ctrl_c_saves_the_network_so_far(
    data: Path, capsys: Printed, monkeypatch: pytest.MonkeyPatch, implementation: str
) -> None:
    # After the second block of examples.
    monkeypatch.setattr("mynn.cli.train.Bar", lambda _: Mock(side_effect=[None, KeyboardInterrupt]))
    saved, block = data / "network.npz", 100 if implementation == "numpy" else EXAMPLES
    command = ["train", "--data", str(data), "--epochs", "9"]
    assert main([*command, "--save", str(saved)]) == 130
    printed = capsys.readouterr()
    message = f"stopped after {2 * block} of {9 * EXAMPLES} examples; the network so far is in {saved}. Testing it"
    assert f"\nmynn train: {message}" in printed.err
    assert f"of {TESTED} digits recognised after {2 * block} examples" in printed.out
    network = NeuralNetwork(784, 50, 10, 0.1, seed=0, dtype=np.float32)
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
        (["train", "--rule", "books"], "invalid choice: 'books'"),
        (["experiment", "sweep", "--angle", "nan"], "'nan' is not from 0 to 180"),
        (["train", "--rate", "nan"], "0.01 to 0.3 is usual"),
    ],
)
def test_mistakes_on_the_command_line_are_explained(arguments: list[str], message: str, capsys: Printed) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert message in capsys.readouterr().err.splitlines()[-1]


def test_where_the_system_is_not_like_unix_everything_works(
    data: Path, capsys: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What Windows' Python lacks."""
    monkeypatch.setitem(sys.modules, "fcntl", None)
    for name in ("fchmod", "sysconf"):
        monkeypatch.delattr(os, name)
    monkeypatch.setattr("mynn.progress.Path", Mock(side_effect=FileNotFoundError))
    for words in (["info"], ["train"], ["experiment", "sweep", "--seeds", "1", "--out", str(data / "sweep")]):
        assert main([*words, "--data", str(data), "--json"]) == 0
        json.loads(capsys.readouterr().out)


def test_without_a_verb_the_help_is_printed(capsys: Printed) -> None:
    for arguments in ([], ["experiment"]):
        assert main(arguments) == 0
        assert " ".join(["usage: mynn", *arguments]) in capsys.readouterr().out


def test_slow_libraries_are_not_imported_before_they_are_needed(data: Path) -> None:
    """Each of them takes a Pi Zero seconds."""
    program = """if True:
        import sys
        import mynn, mynn.lesson
        from mynn.cli import main
        code = main(sys.argv[1:])
        print(*{"scipy", "matplotlib", "PIL", "IPython", "anywidget", "ipywidgets"} & set(sys.modules))
    """
    command = [sys.executable, "-c", program, "info", "--json", "--data", str(data)]
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    assert printed.splitlines()[1:] == [""]


# Reading pictures


def test_read_gives_the_answers_of_the_network_and_shows_what_it_sees(
    folder: Path, mnist: Path, capsys: Printed
) -> None:
    """And one bad picture does not hide the others."""
    pixels = read_csv(mnist / "mnist_test.csv", 1).pixels[0].reshape(28, 28)
    Image.fromarray(255 - pixels).resize((140, 140), Image.Resampling.BICUBIC).save("0.png")
    Path("text.png").write_text("not a picture")
    network = NeuralNetwork(784, 3, 10, 0.1, seed=0)
    network.who[:] = -9.0
    for three, eight, answer in ((9.0, -2.0, "a 3"), (-1.0, -2.0, "perhaps a 3")):
        network.wih[:] = 0.0  # so each hidden node's output is 0.5
        network.who[3], network.who[8] = three / 1.5, eight / 1.5
        network.save("my_network.npz")
        assert main(["read", "text.png", "missing.png", "0.png", "--show"]) == 2
        printed = capsys.readouterr()
        first, second = printed.err.splitlines()
        assert first.startswith("mynn read: text.png: this is not a PNG or JPEG picture")
        assert second.startswith("mynn read: missing.png: no such file")
        outputs = network.query(scale(read_image("0.png")))
        line, *sketch = printed.out.splitlines()
        assert line == f"0.png: {answer} (output {outputs[3]:.2f}; the next is 8 with {outputs[8]:.2f})"
        inked = np.array([list(row.ljust(56)) for row in sketch])[:, ::2] != " "
        assert (inked == (read_image("0.png").reshape(28, 28) > 25)).all()
    assert main(["read", "0.png", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["pictures"]
    assert (found["picture"], found["answer"]) == ("0.png", 3)
    np.testing.assert_allclose(found["outputs"], outputs, atol=1e-4)


def test_a_file_without_a_network_of_digits_is_reported(folder: Path, mnist: Path, capsys: Printed) -> None:
    for command in (["read", "0.png"], ["test", "my_network.npz", "--data", mnist]):
        message = error_message(capsys, *command)
        assert message.startswith(f"mynn {command[0]}: my_network.npz: there is no such file")
        assert "`mynn train --save my_network.npz`" in message
    Path("my_network.npz").write_text("no network")
    assert "my_network.npz: no network can be read" in error_message(capsys, "read", "0.png")
    NeuralNetwork(9, 5, 2, 0.1).save("small.npz")
    message = error_message(capsys, "read", "0.png", "--network", "small.npz")
    assert "small.npz: this network does not read digits" in message
