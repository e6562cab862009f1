"""Jobs give the same results wherever they run, and whatever happens to the workers."""

import sys
import time
from collections.abc import Iterator
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import dask
import pytest
from distributed import LocalCluster

from mynn import DataError
from mynn.experiments import jobs, record
from mynn.experiments.cluster import connected, workers
from mynn.experiments.jobs import Digits, GoOn, side_by_side
from mynn.experiments.sweep import Results, Run, Setting, runs, sweep

SETTINGS = {
    "distributed.scheduler.worker-ttl": "10s",
    "distributed.scheduler.allowed-failures": 20,
    "distributed.scheduler.no-workers-timeout": "4s",
    "distributed.scheduler.worker-saturation": 1.0,
    "distributed.admin.log-format": "",
}


@pytest.fixture
def cluster(mnist: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalCluster]:
    """Three workers with the whole of MNIST, each in a process of its own, of one thread."""
    monkeypatch.setenv("MNIST_DIR", str(mnist))
    with (
        dask.config.set(SETTINGS),
        LocalCluster(n_workers=3, threads_per_worker=1, dashboard_address=None, silence_logs=50) as cluster,
    ):
        yield cluster


def no_progress(_done: int, _total: int) -> None:
    """Show no progress."""


SMALL = runs([Setting(5, 0.1), Setting(8, 0.2, 10, "gradient")], 2, 2)


def accuracies(path: Path, wanted: list[Run], digits: Digits, executor: Executor | None = None) -> dict[str, Any]:
    """Return a sweep's accuracies, by setting."""
    results = Results(path, digits.sizes(executor)[0])
    sweep(wanted, digits, results, no_progress, executor)
    return {str(run.setting): results.of(run.setting, run.epochs).tolist() for run in wanted}


def test_workers_give_the_results_of_threads_with_their_own_mnist(
    mnist: Path, cluster: LocalCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MNIST_DIR", "/nowhere")  # here; the workers have it as it was
    here, there = Digits(mnist, 400), Digits(count=400)
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    scores, recipes = accuracies(ours / "runs.csv", SMALL, here), dict.fromkeys(range(2), record.Recipe(60, 2))
    trained = record.train(recipes, here, ours, no_progress)
    with connected(cluster.scheduler_address) as executor:
        assert workers(executor) == 3
        assert accuracies(theirs / "runs.csv", SMALL, there, executor) == scores
        sent = record.train(recipes, there, theirs, no_progress, executor)
    for seed in recipes:
        assert trained[seed].accuracy() == sent[seed].accuracy()
        assert (ours / f"seed-{seed}-epoch-2.npz").read_bytes() == (theirs / f"seed-{seed}-epoch-2.npz").read_bytes()


@pytest.mark.slow
def test_without_workers_a_sweep_ends_with_an_error(small_mnist: Path, cluster: LocalCluster, tmp_path: Path) -> None:
    left = pytest.raises(DataError, match="no worker is left; turn on the Pis, then run this again to resume")
    with left, connected(cluster.scheduler_address) as executor:
        cluster.scale(0)
        deadline = time.monotonic() + 20
        while workers(executor):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        sweep(SMALL, Digits(small_mnist), Results(tmp_path / "runs.csv", 500), no_progress, executor)


def test_an_address_without_a_scheduler_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mynn.experiments.cluster._ANSWER", 1)
    nobody = pytest.raises(DataError, match=r"tcp://127\.0\.0\.1:9: no scheduler answers there; start it with make cl")
    with nobody, connected("tcp://127.0.0.1:9"):
        pass
    nothing = pytest.raises(DataError, match=r"there is no scheduler\.json; start the cluster with make cluster")
    with nothing, connected(str(tmp_path)):
        pass
    monkeypatch.setitem(sys.modules, "distributed", None)
    missing = pytest.raises(DataError, match="Dask is not installed here; install the package distributed")
    with missing, connected("tcp://127.0.0.1:9"):
        pass


def test_jobs_may_be_added_meanwhile_and_a_failure_ends_the_others() -> None:
    def work(job: float, go_on: GoOn) -> float:
        for _ in range(round(job * 100)):
            time.sleep(0.01)
            go_on()
        if not job:
            raise OSError("the card is broken")
        return job

    wanted, seen = [0.03, 0.01], []
    for job, result in side_by_side(work, wanted):
        seen.append(result)
        if job == 0.01:
            wanted.append(0.02)
    assert sorted(seen) == [0.01, 0.02, 0.03]
    begun = time.monotonic()
    with pytest.raises(OSError, match="the card is broken"):
        list(side_by_side(work, [600.0, 0.0]))
    assert time.monotonic() - begun < 60


def test_workers_that_are_lost_or_silent_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Lost(Executor):
        def __init__(self, *, silent: bool) -> None:
            self.silent = silent

        def submit(self, *_: Any, **__: Any) -> Future[Any]:
            future: Future[Any] = Future()
            if not self.silent:
                future.cancel()
                future.set_running_or_notify_cancel()
            return future

    with pytest.raises(DataError, match="the workers were lost before all jobs were done; run this again to resume"):
        list(side_by_side(lambda job, go_on: job, [0.01], Lost(silent=False)))
    monkeypatch.setattr(jobs, "_ANSWER", 0.1)
    with pytest.raises(DataError, match="no worker answered within 0 s"):
        Digits().sizes(Lost(silent=True))
