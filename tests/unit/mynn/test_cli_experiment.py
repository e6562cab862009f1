"""The command `mynn experiment`."""

import fcntl
import json
from dataclasses import replace
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

from mynn import NeuralNetwork
from mynn.cli import main
from mynn.experiments import ladder, record
from mynn.experiments.jobs import Digits
from mynn.experiments.sweep import Results, Run, Setting
from mynn.normalise import Normalisation


def experiment(data: Path, out: Path, *arguments: str) -> int:
    kind, *others = arguments
    return main(["experiment", kind, "--data", str(data), "--out", str(out), *others])


def test_a_sweep_tries_every_combination(small_mnist: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--hidden", "5", "8", "--rate", "0.1", "--angle", "0", "10", "--epochs", "2", "--seeds", "2"]
    assert experiment(small_mnist, tmp_path, "sweep", *options, "--examples", "100", "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert len(printed) == 4
    assert np.array(list(printed.values())).shape == (4, 2, 2)
    assert "8 hidden nodes, learning rate 0.1, rotated by ±10°" in printed
    for name in ("angle", "epochs", "hidden_nodes"):
        assert matplotlib.image.imread(tmp_path / f"{name}.png").std() > 0.05

    assert experiment(small_mnist, tmp_path, "sweep", *options, "--examples", "100") == 0
    lines = capsys.readouterr().out.splitlines()
    last = np.array(printed["5 hidden nodes, learning rate 0.1"])[:, -1]
    assert f"{last.mean():.2%} ± {100 * last.std(ddof=1):.2f} of 2: 5 hidden nodes, learning rate 0.1" in lines
    assert experiment(small_mnist, tmp_path, "sweep", *options, "--seeds", "1", "--examples", "100") == 0
    assert f"{last[0]:.2%}: 5 hidden nodes, learning rate 0.1" in capsys.readouterr().out.splitlines()

    with (tmp_path / ".lock").open() as other:
        fcntl.flock(other, fcntl.LOCK_SH)
        assert experiment(small_mnist, tmp_path, "sweep") == 2
    assert "results cannot be saved here (another run is still using this); choose another" in capsys.readouterr().err


@pytest.mark.slow
def test_the_ladder_is_compared_with_the_blogs_figures(
    small_mnist: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = Results(tmp_path / "runs.json", Digits())
    for run in ladder.ladder():  # with 500 hidden nodes: 0.97 + seed / 100; one run is missing
        if run != Run(Setting(5, 0.1), 5, 4):
            base = 0.97 if run.setting.hidden_nodes == 500 else 0.9
            results.add(run, [base + run.seed / 100] * run.epochs)
    assert experiment(small_mnist, tmp_path, "ladder") == 0
    printed = capsys.readouterr().out
    (line,) = [line for line in printed.splitlines() if line.startswith("500 hidden nodes")]
    # seeds 0 to 9: .97 to 1.06, on average 1.015, sd .0303; the blog has .976
    assert line.split()[6:] == ["5", "epochs", "101.50%", "3.03", "10", "97.6%", "-3.90", "97.00%", "to", "106.00%"]
    assert (tmp_path / "table.txt").read_text() == printed
    assert len(list(tmp_path.glob("*.png"))) == 4
    done = Results(tmp_path / "runs.json", Digits()).of(Setting(5, 0.1), 5)
    assert done.shape == (10, 5)  # including the run that was missing


def test_record_and_committee_train_resume_and_keep_recipes_apart(
    small_mnist: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    small, plain = record.Recipe(8, 2), record.Recipe(8, 1)
    kinds = {"committee": (small, replace(small, normalisation=Normalisation(1.0, 18.0))), "overnight": (plain,)}
    monkeypatch.setattr(record, "KINDS", record.KINDS | kinds)
    votes = tmp_path / "votes"
    assert experiment(small_mnist, votes, "committee", "--seeds", "2", "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    (whole,) = votes.glob("whole-*")
    testing, alone = Digits(small_mnist).read()[1], printed["alone"]
    for seed, score in enumerate(alone):
        network = NeuralNetwork.load(whole / f"seed-{seed}-epoch-2.npz")
        assert network.score(kinds["committee"][seed % 2].normalised(testing)) == score
    assert len(alone) == 4 and printed["tested"] == 200
    (whole / "seed-0-epoch-x.npz").touch()
    assert experiment(small_mnist, votes, "committee") == 0
    first = f"{printed['accuracies'][0]:.2%}"
    assert capsys.readouterr().out.splitlines() == [
        f"{first} of 200 digits on average: {first}",
        f"a network alone: {np.mean(alone[:2]):.2%} ({min(alone[:2]):.2%} to {max(alone[:2]):.2%})",
    ]

    assert experiment(small_mnist, votes, "overnight") == 0
    assert len([*votes.glob("whole-*")]) == 2
    for folder, arguments, message in (
        (votes, ["overnight", "--held-out"], "5000 of 500 digits cannot be held out"),
        (whole / "seed-0-epoch-2.npz", ["overnight"], "results cannot be saved here ("),
    ):
        assert experiment(small_mnist, folder, *arguments) == 2
        assert message in capsys.readouterr().err
