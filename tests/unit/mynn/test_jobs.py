"""Jobs give the same results wherever they run, and whatever happens to the workers."""

import time
from collections.abc import Iterator
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from distributed import LocalCluster

from mynn import DataError
from mynn.experiments import record
from mynn.experiments.cluster import connected
from mynn.experiments.jobs import Digits, go_on, side_by_side
from mynn.experiments.sweep import Results, Setting, runs, sweep
from tests.support.classroom import until


@pytest.fixture
def cluster(mnist: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalCluster]:
    """Three workers with the whole of MNIST, each in a process of its own, of one thread."""
    monkeypatch.setenv("MNIST_DIR", str(mnist))
    with LocalCluster(n_workers=3, threads_per_worker=1, dashboard_address=None, silence_logs=50) as cluster:
        yield cluster


SMALL = runs([Setting(5, 0.1), Setting(8, 0.2, 10, "gradient")], 2, 2)


def accuracies(folder: Path, digits: Digits, executor: Executor | None = None) -> list[Any]:
    """Return a sweep's accuracies."""
    results = Results(folder / "runs.json", digits)
    sweep(SMALL, digits, results, Mock(), executor)
    return [results.of(run.setting, run.epochs).tolist() for run in SMALL]


@pytest.mark.slow
def test_workers_give_the_results_of_threads_with_their_own_mnist(
    mnist: Path, cluster: LocalCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MNIST_DIR", "/nowhere")  # here; the workers have it as it was
    here, there = Digits(mnist, 400), Digits(count=400)
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    scores, recipes = accuracies(ours, here), dict.fromkeys(range(2), record.Recipe(60, 2))
    trained = record.train(recipes, here, ours, Mock())
    with connected(cluster.scheduler_address) as (executor, workers):
        assert workers == 3
        assert accuracies(theirs, there, executor) == scores
        sent = record.train(recipes, there, theirs, Mock(), executor)
    for seed in recipes:
        assert trained[seed].accuracy() == sent[seed].accuracy()
        assert (ours / f"seed-{seed}-epoch-2.npz").read_bytes() == (theirs / f"seed-{seed}-epoch-2.npz").read_bytes()


@pytest.mark.slow
def test_without_workers_a_sweep_ends_with_an_error(small_mnist: Path, cluster: LocalCluster, tmp_path: Path) -> None:
    left = pytest.raises(DataError, match="no worker is left; turn on the Pis, then run this again to resume")
    with left, connected(cluster.scheduler_address) as (executor, _workers):
        cluster.scale(0)
        until(lambda: not cluster.scheduler.workers)
        cluster.scheduler.no_workers_timeout = 1
        accuracies(tmp_path, Digits(small_mnist), executor)


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("tcp://127.0.0.1:9", r"tcp://127\.0\.0\.1:9: no scheduler answers there; start it with make cluster"),
        (".", r"there is no scheduler\.json; start the cluster with make cluster"),
    ],
)
def test_an_address_without_a_scheduler_is_an_error(where: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mynn.experiments.cluster._ANSWER", 1)
    with pytest.raises(DataError, match=message), connected(where):
        pass


def test_jobs_may_be_added_meanwhile_and_a_failure_ends_the_others() -> None:
    def work(job: float) -> float:
        for _ in range(round(job * 100)):
            time.sleep(0.01)
            go_on()
        if not job:
            raise OSError("the card is broken")
        done.append(job)
        return job

    wanted, seen, done = [0.03, 0.01], [], list[float]()
    for job, result in side_by_side(work, wanted):
        seen.append(result)
        if job == 0.01:
            wanted.append(0.02)
    assert sorted(seen) == [0.01, 0.02, 0.03]
    with pytest.raises(OSError, match="the card is broken"):
        list(side_by_side(work, [600.0, 0.0]))
    assert 600.0 not in done


def test_lost_workers_are_an_error() -> None:
    lost = Future[Any]()
    lost.cancel()
    lost.set_running_or_notify_cancel()
    with pytest.raises(DataError, match="the workers were lost before all jobs were done; run this again to resume"):
        list(side_by_side(float, [0.01], Mock(submit=lambda *_: lost)))
