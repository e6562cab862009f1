import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from mynn import NeuralNetwork, __version__, kernel, read_csv
from mynn.cli import main
from mynn.experiments import bench
from mynn.experiments.smoke import BAR, EXAMPLES, TESTED


def head(path: Path, count: int) -> list[str]:
    with path.open() as file:
        return [next(file) for _ in range(count)]


@pytest.fixture
def data(mnist: Path, tmp_path: Path) -> Path:
    """A folder with as much of MNIST as the smoke training reads, to be spoilt."""
    for name, count in (("mnist_train.csv", EXAMPLES), ("mnist_test.csv", TESTED)):
        (tmp_path / name).write_text("".join(head(mnist / name, count)))
    return tmp_path


def test_smoke_clears_its_bar_and_says_so(mnist: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["smoke", "--data", str(mnist), "--json"]) == 0
    printed = capsys.readouterr()
    result = json.loads(printed.out)
    assert result["passed"] is True
    assert BAR < result["accuracy"] < 0.9
    assert (result["bar"], result["examples"], result["tested"]) == (BAR, EXAMPLES, TESTED)
    assert 0 < result["seconds"] < 60
    assert result["peak_mib"] > 10
    assert f"trained on {EXAMPLES} of {EXAMPLES}" in printed.err


def test_smoke_repeats_itself_and_a_seed_changes_it(mnist: Path, capsys: pytest.CaptureFixture[str]) -> None:
    accuracies = []
    for seed in ("0", "0", "1"):
        main(["smoke", "--data", str(mnist), "--json", "--seed", seed])
        accuracies.append(json.loads(capsys.readouterr().out)["accuracy"])
    assert accuracies[0] == accuracies[1] != accuracies[2]


def test_smoke_fails_when_nothing_is_learnt(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = data / "mnist_train.csv"
    lines = path.read_text().splitlines()
    path.write_text("".join(f"{number % 10}{line[1:]}\n" for number, line in enumerate(lines)))  # wrong labels
    assert main(["smoke", "--data", str(data)]) == 1
    assert "MISSES the bar" in capsys.readouterr().out


def test_smoke_names_data_that_it_cannot_use(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def complaint() -> str:
        assert main(["smoke", "--data", str(data), "--json"]) == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        lines = [line for line in printed.err.splitlines() if line.startswith("mynn smoke: ")]
        assert printed.err.splitlines()[-1:] == lines
        return lines[0]

    train, test = data / "mnist_train.csv", data / "mnist_test.csv"
    lines = test.read_text().splitlines(keepends=True)
    test.write_text("".join(lines[:600]))
    assert f"{test}: it has 600 digits and {TESTED} are needed" in complaint()
    test.write_text("".join(lines)[:-700])
    assert f"{test}, line {TESTED}: the line is too short" in complaint()
    train.unlink()
    assert f"{train}: no such file" in complaint()


def test_info_tells_what_is_there(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "--data", str(data), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["mynn"] == __version__
    assert facts["files"] == ["mnist_train.csv", "mnist_test.csv"]
    assert facts["numpy"][0].isdigit()
    assert facts["kernel"] == kernel.STATE
    assert main(["info", "--data", str(data)]) == 0
    assert "mnist_train.csv, mnist_test.csv" in capsys.readouterr().out


def test_the_first_evenings_job(mnist: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All training digits, 50 hidden nodes, one epoch, all test digits: and the network that is kept is that one."""
    kept = tmp_path / "network.npz"
    assert main(["train", "--data", str(mnist), "--json", "--save", str(kept)]) == 0
    printed = capsys.readouterr()
    result = json.loads(printed.out)
    assert result["accuracy"] == pytest.approx(0.938, abs=0.016)
    assert (result["examples"], result["tested"], result["hidden"], result["epochs"]) == (60_000, 10_000, 50, 1)
    assert (result["kernel"], result["saved"]) == (kernel.STATE, str(kept))
    assert sorted(result["seconds"]) == ["reading", "testing", "training"]
    assert printed.err == ""  # no bar where there is no terminal

    assert main(["test", str(kept), "--data", str(mnist), "--json"]) == 0
    tested = json.loads(capsys.readouterr().out)
    assert tested["accuracy"] == result["accuracy"]
    assert sum(row[label] for label, row in enumerate(tested["confusion"])) == tested["accuracy"] * 10_000
    assert [sum(row) for row in tested["confusion"]][:2] == [980, 1135]  # as many zeros and ones as there are
    assert main(["test", str(kept), "--data", str(mnist)]) == 0
    assert f"{result['accuracy']:.2%} of 10000 digits recognised" in capsys.readouterr().out


def test_train_does_what_its_options_say(mnist: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = tmp_path / "network.npz"
    options = {"hidden": 20, "rate": 0.2, "epochs": 3, "rule": "gradient", "seed": 5, "examples": 700}
    command = ["--shuffle", *(f"--{name}={value}" for name, value in options.items())]
    assert main(["train", "--data", str(mnist), "--save", str(kept), *command]) == 0
    assert "after 3 x 700 examples" in capsys.readouterr().out
    network = NeuralNetwork(784, 20, 10, 0.2, seed=5, rule="gradient")
    network.fit(read_csv(mnist / "mnist_train.csv", 700), epochs=3, shuffle=True, seed=5)
    loaded = NeuralNetwork.load(kept)
    assert (loaded.wih == network.wih).all() and (loaded.rule, loaded.learning_rate) == ("gradient", 0.2)


def test_what_cannot_be_done_is_one_sentence(mnist: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def complaint(*command: str) -> str:
        assert main([*command, "--data", str(mnist)]) == 2
        printed = capsys.readouterr()
        assert printed.out == "" and printed.err.count("\n") == 1
        return printed.err

    path = tmp_path / "network.npz"
    assert "no such file" in complaint("test", str(path))
    path.write_text("no network")
    assert f"mynn test: {path}: no network can be read" in complaint("test", str(path))
    NeuralNetwork(4, 3, 2, 0.1).save(path)
    assert "does not read digits" in complaint("test", str(path))
    nowhere = tmp_path / "nowhere" / "network.npz"
    assert f"{nowhere}: the network cannot be saved here" in complaint(
        "train", "--examples", "9", "--save", str(nowhere)
    )
    for wrong in (["train", "--epochs", "0"], ["train", "--rule", "books"], ["bench", "--hidden", "many"]):
        with pytest.raises(SystemExit, match="2"):
            main(wrong)


def test_bench_compares_the_ways(mnist: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["bench", "--data", str(mnist), "--examples", "1000", "--hidden", "30"]
    assert main([*command, "--json"]) == 0
    rows = {row["way"]: row for row in json.loads(capsys.readouterr().out)["rows"]}
    assert list(rows) == bench.ways()
    real, parsed, plain = (rows[way] for way in (bench.REAL, bench.PARSED, "mynn, numpy"))
    assert real["microseconds"] > parsed["microseconds"] > 1
    assert real["difference"] == parsed["difference"] == 0 < plain["difference"] < 1e-12
    assert 20 < plain["peak_mib"] < real["peak_mib"] < 300
    if kernel.READY:
        quick = rows[bench.COMPILED]
        assert quick["difference"] < 1e-12
        assert quick["microseconds"] * 4 < parsed["microseconds"]  # 8 and more on a computer that is not busy
    rows_of_table = bench.table([bench.Row(**row) for row in rows.values()]).splitlines()[-len(rows) :]
    assert all(row.split()[0] == "30" for row in rows_of_table)


def drawn_on_a_terminal(*arguments: str) -> str:
    """What the command writes to the error stream where that is a terminal."""
    primary, secondary = pty.openpty()
    command = [sys.executable, "-m", "mynn", *arguments]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=secondary)
    os.close(secondary)
    drawn = os.read(primary, 10_000).decode()
    os.close(primary)
    return drawn


def test_the_bar_is_drawn_on_a_terminal(mnist: Path) -> None:
    drawn = drawn_on_a_terminal("train", "--data", str(mnist), "--examples", "3000")
    assert drawn.startswith("\rtraining [#") and "100 %" in drawn and drawn.endswith("\n")


USED = {"smoke": {"mynn.experiments", "mynn.experiments.smoke"}, "damage": {"mynn.damage"}}


@pytest.mark.parametrize("asked", [["smoke"], ["info"], ["train", "--examples", "99"], ["damage", "--examples", "99"]])
def test_nothing_is_loaded_without_need(asked: list[str], data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of these libraries costs a Pi Zero seconds, and what a verb does not use stays away too."""
    monkeypatch.chdir(data)
    NeuralNetwork(784, 3, 10, 0.1).save("my_network.npz")
    program = """if True:
        import sys
        import mynn
        from mynn.cli import main
        code = main(sys.argv[1:])
        loaded = {"scipy", "matplotlib", "PIL"} & set(sys.modules)
        assert not loaded, f"slow libraries were loaded: {loaded}"
        print("\\n".join(sys.modules))
        sys.exit(code)
    """
    command = [sys.executable, "-c", program, *asked, "--data", str(data)]
    loaded = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.split("\n")
    apart = ("mynn.damage", "mynn.distort", "mynn.experiments", "mynn.images", "mynn.plotting", "mynn.widget")
    assert {name for name in loaded if name.startswith(apart)} == USED.get(asked[0], set())


def test_python_m_mynn_is_the_command(data: Path) -> None:
    command = [sys.executable, "-m", "mynn", "smoke", "--data", str(data / "nowhere")]
    run = subprocess.run(command, capture_output=True)
    assert run.returncode == 2
    assert run.stderr.count(b"\n") == 1
