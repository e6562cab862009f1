"""The verbs that use a saved network: read, backquery and damage."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mynn import NeuralNetwork, read_csv, scale, targets_for
from mynn.cli import main
from mynn.damage import damage
from mynn.images import read_image

DIGITS = range(8)  # of the test set

ErrorMessage = Callable[..., str]


@pytest.fixture(scope="module")
def trained(mnist: Path) -> NeuralNetwork:
    network = NeuralNetwork(784, 20, 10, 0.2, seed=1)
    network.fit(read_csv(mnist / "mnist_train.csv", 6000))
    return network


@pytest.fixture
def folder(trained: NeuralNetwork, folder: Path) -> Path:
    """A student's folder, with a network under the name that the lessons use."""
    trained.save("my_network.npz")
    return folder


@pytest.fixture
def pictures(folder: Path, mnist: Path) -> list[str]:
    names = []
    for number, pixels in enumerate(read_csv(mnist / "mnist_test.csv", len(DIGITS)).pixels):
        picture = Image.fromarray(255 - pixels.reshape(28, 28)).resize((140, 140), Image.Resampling.BICUBIC)
        names.append(f"{number}.png")
        picture.save(names[-1])
    return names


@pytest.fixture
def error_message(capsys: pytest.CaptureFixture[str]) -> ErrorMessage:
    """A function that runs a command that must fail, and returns the one line of its error message."""

    def run(*command: str) -> str:
        assert main(command) == 2
        printed = capsys.readouterr()
        assert printed.out == "" and printed.err.count("\n") == 1
        return printed.err

    return run


def test_read_gives_the_answers_of_the_network(
    pictures: list[str], trained: NeuralNetwork, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["read", *pictures, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["network"] == "my_network.npz"
    assert [result["picture"] for result in found["pictures"]] == pictures
    for result in found["pictures"]:
        outputs = trained.query(scale(read_image(result["picture"])))
        np.testing.assert_allclose(result["outputs"], outputs, atol=1e-4)
        assert result["answer"] == outputs.argmax()
    labels = [7, 2, 1, 0, 4, 1, 4, 9]  # the first eight of the test set
    assert sum(result["answer"] == label for result, label in zip(found["pictures"], labels, strict=True)) >= 6


def test_read_tells_how_sure_the_network_is(pictures: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    network = NeuralNetwork(784, 3, 10, 0.1, seed=0)
    network.who[:] = -9.0
    for three, eight, answer in ((9.0, -2.0, "a 3"), (-1.0, -2.0, "perhaps a 3")):
        network.wih[:] = 0.0  # so each hidden node's output is 0.5
        network.who[3], network.who[8] = three / 1.5, eight / 1.5
        network.save("other.npz")
        assert main(["read", pictures[0], "--network", "other.npz"]) == 0
        first, second = (1 / (1 + np.exp(-output)) for output in (three, eight))
        expected = f"0.png: {answer} (output {first:.2f}; the next is 8 with {second:.2f})\n"
        assert capsys.readouterr().out == expected


def test_one_bad_picture_does_not_hide_the_others(pictures: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    Path("text.png").write_text("not a picture")
    assert main(["read", pictures[0], "text.png", "missing.png", pictures[1], "--json"]) == 2
    printed = capsys.readouterr()
    assert [result["picture"] for result in json.loads(printed.out)["pictures"]] == pictures[:2]
    first, second = printed.err.splitlines()
    assert first.startswith("mynn read: text.png: this is not a PNG or JPEG picture")
    assert second.startswith("mynn read: missing.png: no such file")


def test_without_a_network_each_verb_says_how_to_train_one(
    folder: Path, mnist: Path, error_message: ErrorMessage
) -> None:
    Path("my_network.npz").unlink()
    for verb, *rest in (["read", "0.png"], ["backquery", "--save", "dream.png"], ["damage", "--data", str(mnist)]):
        message = error_message(verb, *rest)
        assert message.startswith(f"mynn {verb}: my_network.npz: there is no such file")
        assert "`mynn train --save my_network.npz`" in message
    NeuralNetwork(9, 5, 2, 0.1).save("small.npz")
    assert "small.npz: this network does not read digits" in error_message("read", "0.png", "--network", "small.npz")
    assert not Path("dream.png").exists()


def test_backquery_draws_ten_digits_or_one(
    folder: Path, trained: NeuralNetwork, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["backquery", "--save", "ten.png", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["labels"], result["saved"]) == (list(range(10)), "ten.png")
    assert main(["backquery", "--label", "3", "--save", "one.PNG"]) == 0
    assert capsys.readouterr().out.startswith("one.PNG: what the network takes for 3;")
    with Image.open("ten.png") as ten, Image.open("one.PNG") as one:
        assert ten.width > 4 * one.width and ten.height > 1.5 * one.height
        drawn = np.asarray(one.convert("L"), float)
    side = one.width // 40
    rows, columns = (np.flatnonzero((drawn < 250).mean(axis=axis) > 0.5) for axis in (1, 0))  # inside the axes
    expected = 1 - trained.backquery(targets_for(3)).reshape(28, 28)
    lines = np.linspace(rows[0], rows[-1], 57)[1::2].round().astype(int)
    places = np.linspace(columns[0], columns[-1], 57)[1::2].round().astype(int)
    assert side > 0 and np.corrcoef(drawn[np.ix_(lines, places)].reshape(-1), expected.reshape(-1))[0, 1] > 0.95


def test_damage_scores_the_damaged_network(
    folder: Path, mnist: Path, trained: NeuralNetwork, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["damage", "--data", str(mnist), "--examples", "200", "--remove", "15", "0", "5", "--seeds", "3"]
    assert main([*command, "--save", "curve.png", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["hidden"], result["tested"], result["seeds"]) == (20, 200, 3)
    assert [row["removed"] for row in result["rows"]] == [0, 5, 15]
    testing = read_csv(mnist / "mnist_test.csv", 200)
    for row in result["rows"]:
        scores = [damage(trained, row["removed"], seed=seed).score(testing) for seed in range(3)]
        assert row["scores"] == scores
        assert row["mean"] == pytest.approx(np.mean(scores)) and row["sd"] == pytest.approx(np.std(scores, ddof=1))
    with Image.open("curve.png") as curve:
        assert curve.width > curve.height > 300

    assert main(command) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("20 hidden nodes, 200 digits, 3 choices")
    assert lines[-2].split() == ["5", f"{result['rows'][1]['mean']:.2%}", f"{result['rows'][1]['sd']:.2%}"]


def test_saving_a_picture_overwrites_only_pictures(folder: Path, mnist: Path, error_message: ErrorMessage) -> None:
    letter = Path("letter.png")
    letter.write_text("a letter under a wrong name")
    for verb in (["backquery"], ["damage", "--data", str(mnist)]):
        assert "letter.png: this file exists and is not a PNG picture" in error_message(*verb, "--save", "letter.png")
        assert "there is no such folder" in error_message(*verb, "--save", "nowhere/a.png")
        Path("folder.png").mkdir(exist_ok=True)
        assert "folder.png: the picture cannot be saved here (is a directory)" in error_message(
            *verb, "--save", "folder.png"
        )
    for name in ("backquery", "damage"):
        with pytest.raises(SystemExit, match="2"):
            main([name, "--save", "notes.txt"])
    assert letter.read_text() == "a letter under a wrong name"

    Image.new("L", (5, 5)).save("old.png")
    assert main(["backquery", "--save", "old.png"]) == 0
    with Image.open("old.png") as picture:
        assert picture.width > 100
    assert not list(Path().glob("*.part"))
