"""Jobs give the same results wherever they run, and whatever happens to the workers."""

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import closing, suppress
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
from tests.support.terminal import restore_ctrl_c

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


SMALL = runs([Setting(5, 0.1), Setting(8, 0.2, 10, "gradient"), Setting(200, 0.05)], 2, 3)


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
        recipe, ours, theirs = record.Recipe(60, 3), tmp_path / "ours", tmp_path / "theirs"
        for folder in (ours, theirs):
            folder.mkdir()
        trained = record.train(recipe, range(4), digits, ours, no_progress)
        sent = record.train(recipe, range(4), digits, theirs, no_progress, executor)
    assert here == there
    assert sorted((tmp_path / "here.csv").read_text()) == sorted((tmp_path / "there.csv").read_text())
    for seed in range(4):
        for name in ("wih", "who"):
            assert getattr(trained[seed][0], name).tobytes() == getattr(sent[seed][0], name).tobytes()
        assert trained[seed][1] == sent[seed][1]
        assert (ours / f"seed-{seed}-epoch-3.npz").read_bytes() == (theirs / f"seed-{seed}-epoch-3.npz").read_bytes()


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
    nothing = pytest.raises(DataError, match="there is no address; start the cluster with make cluster")
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


def test_dask_is_imported_only_for_a_scheduler() -> None:
    code = "import sys, mynn, mynn.cli, mynn.experiments.sweep, mynn.experiments.cluster; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "mynn.experiments.jobs" in loaded
    assert not {"dask", "distributed", "tornado", "msgpack"} & {name.partition(".")[0] for name in loaded}


def test_only_names_and_numbers_are_sent(small_mnist: Path) -> None:
    """So that no Python's own code travels, and workers may have another Python: plain pickle can name things only."""
    from mynn.experiments.sweep import _accuracies

    sent = pickle.dumps((_accuracies, (SMALL[0], Digits(None, 400))))
    assert len(sent) < 400
    assert pickle.loads(sent)[1][0] == SMALL[0]


# --- tries, on executors that misbehave


def slowly(job: float, go_on: GoOn) -> float:
    time.sleep(job)
    return job


class Misbehaving(Executor):
    """Threads, of which the first so many jobs fail, are cancelled, or never end."""

    def __init__(self, how: str, first: int) -> None:
        self.how, self.first = how, first
        self.submitted = 0
        self.hanging: list[Future[Any]] = []
        self.threads = ThreadPoolExecutor(2)

    def submit(self, work: Any, /, *arguments: Any, **options: Any) -> Future[Any]:
        self.submitted += 1
        if self.submitted > self.first:
            return self.threads.submit(work, *arguments, **options)
        future: Future[Any] = Future()
        if self.how == "fails":
            future.set_exception(OSError("the card is broken"))
        elif self.how == "is cancelled":
            future.cancel()
            future.set_running_or_notify_cancel()
        else:
            self.hanging.append(future)
        return future


def test_a_job_that_fails_is_tried_three_times() -> None:
    executor = Misbehaving("fails", 2)
    assert [result for _, result in side_by_side(slowly, [0.01], executor)] == [0.01]
    assert executor.submitted == jobs.TRIES == 3
    with pytest.raises(OSError, match="the card is broken"):
        list(side_by_side(slowly, [0.01], Misbehaving("fails", 3)))


def test_a_late_job_is_tried_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "_SOONEST", 0.3)
    executor = Misbehaving("hangs", 1)
    begun = time.monotonic()
    assert sorted(side_by_side(slowly, [0.02, 0.03, 0.01], executor)) == [(0.01, 0.01), (0.02, 0.02), (0.03, 0.03)]
    assert 0.3 < time.monotonic() - begun < 5
    assert executor.submitted == 4
    assert all(future.cancelled() for future in executor.hanging)


def test_lost_workers_are_an_error() -> None:
    with pytest.raises(DataError, match="the workers were lost before all jobs were done; run this again to resume"):
        list(side_by_side(slowly, [0.01], Misbehaving("is cancelled", 9)))


def test_jobs_may_be_added_meanwhile() -> None:
    wanted, seen = [0.03, 0.01], []
    for job, _ in side_by_side(slowly, wanted):
        seen.append(job)
        if job == 0.01:
            wanted.append(0.02)
    assert sorted(seen) == [0.01, 0.02, 0.03]


def test_running_jobs_are_cancelled_when_the_user_gives_up() -> None:
    executor = Misbehaving("hangs", 2)
    results = side_by_side(slowly, [1.0, 2.0, 0.01], executor)
    with closing(results):  # type: ignore[type-var]
        assert next(results) == (0.01, 0.01)
    assert all(future.cancelled() for future in executor.hanging)


def test_workers_that_do_not_answer_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "_ANSWER", 0.1)
    with pytest.raises(DataError, match="no worker answered within 0 s"):
        Digits().sizes(Misbehaving("hangs", 1))


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


@pytest.mark.slow
def test_ctrl_c_ends_a_sweep_on_a_scheduler_and_the_next_run_resumes(cluster: LocalCluster, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mynn", "experiment", "sweep", "--out", str(tmp_path), "--examples", "20000"]
    command += ["--scheduler", cluster.scheduler_address, "--hidden", "10", "400", "--epochs", "10", "--seeds", "3"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=restore_ctrl_c)
    deadline = time.monotonic() + 60
    while len((tmp_path / "runs.csv").read_text().splitlines() if (tmp_path / "runs.csv").exists() else "") < 2:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    asked = time.monotonic()
    _, output = process.communicate(timeout=60)
    assert time.monotonic() - asked < 10
    assert process.returncode == 130
    assert output == "\nmynn experiment: stopped; run it again to resume\n"
    kept = (tmp_path / "runs.csv").read_text()
    assert subprocess.run(command, check=False, capture_output=True).returncode == 0
    assert (tmp_path / "runs.csv").read_text().startswith(kept)
    assert len((tmp_path / "runs.csv").read_text().splitlines()) == 1 + 2 * 3 * 10
