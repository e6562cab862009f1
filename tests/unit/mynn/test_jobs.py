"""Jobs give the same results wherever they run, and whatever happens to the workers."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Executor, Future
from contextlib import suppress
from pathlib import Path
from typing import Any

import dask
import pytest
from distributed import LocalCluster

from mynn import DataError
from mynn.cli import main
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


def processes(cluster: LocalCluster) -> list[int]:
    """Return the workers' process ids."""
    return [nanny.process.pid for nanny in cluster.workers.values()]


def no_progress(_done: int, _total: int) -> None:
    """Show no progress."""


SMALL = runs([Setting(5, 0.1), Setting(8, 0.2, 10, "gradient")], 2, 2)


def accuracies(path: Path, wanted: list[Run], digits: Digits, executor: Executor | None = None) -> dict[str, Any]:
    """Return a sweep's accuracies, by setting."""
    results = Results(path, digits.sizes(executor)[0])
    sweep(wanted, digits, results, no_progress, executor)
    return {str(run.setting): results.of(run.setting, run.epochs).tolist() for run in wanted}


def test_workers_give_the_results_of_threads(small_mnist: Path, cluster: LocalCluster, tmp_path: Path) -> None:
    digits = Digits(small_mnist, 400)
    here = accuracies(tmp_path / "here.csv", SMALL, digits)
    with connected(cluster.scheduler_address) as executor:
        assert workers(executor) == 3
        there = accuracies(tmp_path / "there.csv", SMALL, digits, executor)
        recipes, ours, theirs = dict.fromkeys(range(2), record.Recipe(60, 2)), tmp_path / "ours", tmp_path / "theirs"
        for folder in (ours, theirs):
            folder.mkdir()
        trained = record.train(recipes, digits, ours, no_progress)
        sent = record.train(recipes, digits, theirs, no_progress, executor)
    assert here == there
    assert sorted((tmp_path / "here.csv").read_text()) == sorted((tmp_path / "there.csv").read_text())
    for seed in recipes:
        assert trained[seed].accuracy() == sent[seed].accuracy()
        assert (ours / f"seed-{seed}-epoch-2.npz").read_bytes() == (theirs / f"seed-{seed}-epoch-2.npz").read_bytes()


@pytest.mark.slow
def test_a_killed_and_a_frozen_worker_cost_only_time(mnist: Path, cluster: LocalCluster, tmp_path: Path) -> None:
    digits, wanted = Digits(mnist, 20_000), runs([Setting(200, 0.1)], 3, 9)
    here = accuracies(tmp_path / "here.csv", wanted, digits)
    killed, frozen, _ = processes(cluster)

    def disturb() -> None:
        os.kill(killed, signal.SIGKILL)
        os.kill(frozen, signal.SIGSTOP)

    timer = threading.Timer(1.0, disturb)
    try:
        with connected(cluster.scheduler_address) as executor:
            timer.start()
            assert accuracies(tmp_path / "there.csv", wanted, digits, executor) == here
            timer.join()
    finally:
        with suppress(ProcessLookupError):  # Dask has given it up, and started another
            os.kill(frozen, signal.SIGKILL)


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


def test_without_dask_the_error_names_the_package(small_mnist: Path, tmp_path: Path) -> None:
    code = f"""
        import sys
        sys.modules["distributed"] = None
        from mynn.cli import main
        sys.exit(main(["experiment", "sweep", "--scheduler", "tcp://127.0.0.1:9", "--out", {str(tmp_path)!r}]))"""
    lines = "\n".join(line.strip() for line in code.splitlines())
    done = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == (
        "mynn experiment: Dask is not installed here; install the package distributed, or leave out --scheduler\n"
    )


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


# --- the command


def test_a_sweep_on_a_scheduler_reads_the_workers_own_mnist(
    small_mnist: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MNIST_DIR", str(small_mnist))
    options = ["--hidden", "5", "--seeds", "2", "--json"]
    sweeping = ["experiment", "sweep", *options]
    assert main([*sweeping, "--data", str(small_mnist), "--out", str(tmp_path / "here")]) == 0
    here = capsys.readouterr().out
    with (
        dask.config.set(SETTINGS),
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50) as cluster,
    ):
        monkeypatch.setenv("MNIST_DIR", "/nowhere")  # here; the workers have it as it was
        assert main([*sweeping, "--scheduler", cluster.scheduler_address, "--out", str(tmp_path / "there")]) == 0
    assert capsys.readouterr().out == here
    assert (tmp_path / "there/epochs.png").exists()
