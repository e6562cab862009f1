import json
import subprocess
import sys
from pathlib import Path

import pytest

from mynn import __version__
from mynn.command import main
from mynn.smoke import BAR, EXAMPLES, TESTED


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
    assert f"learnt from {EXAMPLES} of {EXAMPLES}" in printed.err


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
    assert main(["info", "--data", str(data)]) == 0
    assert "mnist_train.csv, mnist_test.csv" in capsys.readouterr().out


def test_python_m_mynn_is_the_command_and_loads_no_more_than_it_needs(data: Path) -> None:
    """Each of these libraries costs a Pi Zero seconds."""
    program = """if True:
        import sys
        from mynn.command import main
        code = main(["smoke", "--data", sys.argv[1]])
        assert not {"scipy", "matplotlib"} & set(sys.modules), "slow libraries were loaded"
        sys.exit(code)
    """
    subprocess.run([sys.executable, "-c", program, data], check=True, stdout=subprocess.DEVNULL)
    command = [sys.executable, "-m", "mynn", "smoke", "--data", str(data / "nowhere")]
    run = subprocess.run(command, capture_output=True)
    assert run.returncode == 2
    assert run.stderr.count(b"\n") == 1
