"""The command `mynn experiment`."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

from mynn.arrays import Floats
from mynn.cli import main
from mynn.experiments import ladder, record
from mynn.experiments.committee import COMMITTEES, Committee, convene
from mynn.experiments.jobs import Digits
from mynn.experiments.sweep import Results, Run, Setting, plots
from mynn.normalise import Normalisation
from tests.support.terminal import restore_ctrl_c


@pytest.fixture
def data(small_mnist: Path) -> Path:
    return small_mnist


def experiment(data: Path, out: Path, *arguments: str) -> int:
    kind, *others = arguments
    return main(["experiment", kind, "--data", str(data), "--out", str(out), *others])


def test_a_sweep_tries_every_combination(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--hidden", "5", "8", "--rate", "0.1", "0.3", "--angle", "0", "10", "--epochs", "2", "--seeds", "2"]
    assert experiment(data, tmp_path, "sweep", *options, "--examples", "100", "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert len(printed) == 8
    assert np.array(list(printed.values())).shape == (8, 2, 2)
    assert "8 hidden nodes, learning rate 0.3, rotated by ±10°" in printed
    assert len((tmp_path / "runs.csv").read_text().splitlines()) == 1 + 8 * 2 * 2
    pictures = ["angle.png", "epochs.png", "hidden_nodes.png", "learning_rate.png"]
    assert sorted(path.name for path in tmp_path.glob("*.png")) == pictures
    for name in pictures:
        assert matplotlib.image.imread(tmp_path / name).std() > 0.05

    assert experiment(data, tmp_path, "sweep", *options, "--examples", "100") == 0
    lines = capsys.readouterr().out.splitlines()
    last = np.array(printed["5 hidden nodes, learning rate 0.1"])[:, -1]
    assert f"{last.mean():.2%} ± {100 * last.std(ddof=1):.2f} of 2: 5 hidden nodes, learning rate 0.1" in lines
    assert lines[-1].startswith("plots: ") and f"{tmp_path / 'learning_rate.png'}, " in lines[-1]


Plots = dict[str, tuple[str, dict[str, tuple[list[float], list[list[float]]]]]]


@pytest.fixture
def plotted(monkeypatch: pytest.MonkeyPatch) -> Plots:
    """The plots by file name: the label of the x axis, and the lines, {name: (x, runs)}."""
    found: Plots = {}

    def curves_to(path: Path, lines: dict[str, tuple[list[float], Floats]], *, x: str, y: str) -> Path:
        found[path.name] = (
            x,
            {name: (list(where), np.asarray(runs).tolist()) for name, (where, runs) in lines.items()},
        )
        return path

    monkeypatch.setattr("mynn.plotting.curves_to", curves_to)
    return found


def test_a_sweep_is_plotted_against_each_swept_setting(plotted: Plots) -> None:
    """Each accuracy encodes its setting, seed and epoch: nodes + rate + seed / 10 + epoch / 100."""

    def scores(nodes: int, rate: float, epochs: int = 2) -> Floats:
        return np.array([[nodes + rate + seed / 10 + epoch / 100 for epoch in range(epochs)] for seed in range(3)])

    plots({Setting(nodes, 0.5): scores(nodes, 0.5, epochs=1) for nodes in (20, 10)}, Path())
    x, lines = plotted.pop("hidden_nodes.png")
    assert (x, plotted) == ("hidden nodes (learning rate 0.5, 1 epoch)", {})
    ((where, runs),) = lines.values()
    assert where == [10, 20]
    np.testing.assert_allclose(runs, [[10.5, 20.5], [10.6, 20.6], [10.7, 20.7]])

    plots({Setting(nodes, rate): scores(nodes, rate) for nodes in (10, 20) for rate in (0.1, 0.3, 0.2)}, Path())
    x, lines = plotted["learning_rate.png"]
    assert (x, list(lines)) == ("learning rate (2 epochs)", ["10 hidden nodes", "20 hidden nodes"])
    where, runs = lines["20 hidden nodes"]
    assert where == [0.1, 0.2, 0.3]
    np.testing.assert_allclose(runs[1], [20.21, 20.31, 20.41])  # the second seed, after the last epoch
    assert list(plotted["hidden_nodes.png"][1]) == ["learning rate 0.1", "learning rate 0.3", "learning rate 0.2"]
    assert len(plotted["epochs.png"][1]) == 6

    plotted.clear()
    plots({Setting(10, 0.1): scores(10, 0.1, epochs=1)}, Path())  # nothing was swept
    assert list(plotted) == ["epochs.png"]


@pytest.mark.parametrize("wrong", [["sweep", "--hidden", "0"], ["sweep", "--epochs", "-1"], ["record", "--seeds", "0"]])
def test_unreasonable_numbers_are_refused(data: Path, tmp_path: Path, wrong: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        experiment(data, tmp_path, *wrong)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["sweep", "ladder", "overnight"])
def test_a_folder_that_cannot_be_created_is_refused(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    file = tmp_path / "file"
    file.touch()
    assert experiment(data, file, kind) == 2
    assert f"{file}: results cannot be saved here (" in capsys.readouterr().err


def test_on_a_full_disk_the_old_plot_is_kept(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["sweep", "--hidden", "5", "--seeds", "1", "--examples", "100"]
    assert experiment(data, tmp_path, *options) == 0
    old = (tmp_path / "epochs.png").read_bytes()
    (tmp_path / "epochs.png.part").symlink_to("/dev/full")
    assert experiment(data, tmp_path, *options, "--epochs", "2") == 2
    assert f"{tmp_path}: results cannot be saved here (no space left on device)" in capsys.readouterr().err
    assert (tmp_path / "epochs.png").read_bytes() == old
    assert not list(tmp_path.glob("*.part"))


def write_results(folder: Path, examples: int) -> None:
    """Write results for all runs of the ladder but one. With 500 hidden nodes they are 0.97 + seed / 100."""
    results = Results(folder / "runs.csv", examples)
    for run in ladder.ladder():
        if run != Run(Setting(5, 0.1), 5, 4):
            base = 0.97 if run.setting.hidden_nodes == 500 else 0.9
            results.add(run, [base + run.seed / 100] * run.epochs)


def test_the_ladder_is_compared_with_the_blogs_figures(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_results(tmp_path, 500)
    assert experiment(data, tmp_path, "ladder") == 0
    printed = capsys.readouterr().out
    (line,) = [line for line in printed.splitlines() if line.startswith("500 hidden nodes")]
    # seeds 0 to 9: .97 to 1.06, on average 1.015, sd .0303; the blog has .976
    assert line.split()[6:] == ["5", "epochs", "101.50%", "3.03", "10", "97.6%", "-3.90", "97.00%", "to", "106.00%"]
    assert (tmp_path / "table.txt").read_text() == printed
    with (tmp_path / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["blog"]) for row in rows] == [rung.blog for rung in ladder.RUNGS]
    assert {len(row) for row in rows} == {8}
    for name in ("learning_rate", "epochs", "hidden_nodes", "angle"):
        assert matplotlib.image.imread(tmp_path / f"{name}.png").std() > 0.05
    done = Results(tmp_path / "runs.csv", 500).of(Setting(5, 0.1), 5)
    assert done.shape == (10, 5)  # including the run that was missing


def test_the_ladder_has_all_of_the_blogs_figures() -> None:
    assert sorted({rung.blog for rung in ladder.RUNGS}) == [
        0.70, 0.947, 0.953, 0.958, 0.963, 0.967, 0.969, 0.975, 0.976, 0.979,
    ]  # fmt: skip


@pytest.mark.slow
def test_the_overnight_recipe_is_scored_at_the_end(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert experiment(data, tmp_path, "overnight", "--seeds", "2", "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    _, testing = Digits(data).read()
    again = tmp_path / "again"
    again.mkdir()
    trained = record.train(record.OVERNIGHT, range(2), Digits(data), again, lambda done, total: None)
    by_hand = [network.score(record.OVERNIGHT.normalised(testing)) for network, _ in trained.values()]
    assert printed == {"accuracies": by_hand, "mean": pytest.approx(np.mean(by_hand)), "tested": 200}

    assert experiment(data, tmp_path, "record") == 2
    assert "whole: this folder has networks of another recipe; choose another" in capsys.readouterr().err
    assert experiment(data, tmp_path, "overnight", "--held-out") == 2
    assert "5000 of 500 digits cannot be held out" in capsys.readouterr().err


def test_committees_vote_and_are_kept(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    small = Committee(record.Recipe(8, 2), (Normalisation(), Normalisation(1.0, 18.0)))
    monkeypatch.setitem(COMMITTEES, "night", small)
    assert experiment(data, tmp_path, "committee", "--seeds", "2", "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    kept = tmp_path / "night/whole"
    assert sorted(path.name for path in kept.glob("*.npz")) == [f"seed-{seed}-epoch-2.npz" for seed in range(4)]
    results = convene(small, range(2), Digits(data), kept, lambda done, total: None)
    rows = [{"together": one.together(), "members": one.accuracies()} for one in results]
    assert printed == {
        "committees": rows, "mean": pytest.approx(np.mean([one.together() for one in results])), "tested": 200,
    }  # fmt: skip

    assert experiment(data, tmp_path, "committee") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{results[0].together():.2%} together, {np.mean(results[0].accuracies()):.2%} alone (")
    assert lines[1:] == [f"{results[0].together():.2%} of 200 digits on average, 2 networks each"]
    monkeypatch.setitem(COMMITTEES, "night", Committee(record.Recipe(9, 2), small.normalisations))
    assert experiment(data, tmp_path, "committee") == 2
    assert "night/whole: this folder has networks of another recipe; choose another" in capsys.readouterr().err


@pytest.mark.slow
def test_ctrl_c_ends_a_sweep_at_once_and_says_how_to_resume(mnist: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mynn", "experiment", "sweep", "--data", str(mnist), "--out", str(tmp_path)]
    process = subprocess.Popen(
        [*command, "--hidden", "10", "400", "--epochs", "40", "--seeds", "1"],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ,
        preexec_fn=restore_ctrl_c,
    )
    while len((tmp_path / "runs.csv").read_text().splitlines() if (tmp_path / "runs.csv").exists() else "") < 2:
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    sent = time.monotonic()
    _, errors = process.communicate(timeout=60)
    assert time.monotonic() - sent < 10  # 40 epochs with 400 hidden nodes take a minute
    assert process.returncode == 130
    assert errors == "\nmynn experiment: stopped; run it again to resume\n"
