"""`make cluster`: Pis run an experiment together, with one computer's results, whatever happens to some of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Timer

import pytest

from tests.benchmarks.board_measure import run_lesson
from tests.support.classroom import Classroom, on, recap, root, until
from tests.support.cluster import ClassCluster, mnist_here, sweep

NAMES = [f"pi-{number:02}" for number in range(1, 5)]
# Connect to the worker without a certificate, and wait for its greeting.
KNOCK = """
import socket, ssl
context = ssl._create_unverified_context()
context.wrap_socket(socket.create_connection(("127.0.0.1", 8785), 10)).recv(1)
"""


@pytest.fixture(scope="module")
def running(ten: Classroom, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClassCluster]:
    running = ClassCluster(ten, NAMES, tmp_path_factory.mktemp("cluster") / "cluster")
    fresh = running.playbook("cluster", "--check", "--diff")
    assert fresh.returncode == 0
    assert recap(fresh.stdout)["pi-01"].changed > 3
    assert not running.folder.exists()
    assert root(on(ten, "pi-01"), "ls -d /run/mynn-cluster /opt/mynn/cluster /run/systemd/system/mynn-* || true") == ""
    first = running.playbook("cluster")
    assert first.returncode == 0
    assert "4 of 4 Pis work together" in first.stdout
    yield running
    stopped = running.playbook("cluster_stop")
    assert stopped.returncode == 0
    for name in NAMES:
        left = "systemctl is-active mynn-cluster; ls /run/mynn-cluster /run/systemd/system/mynn-cluster.service; true"
        assert root(on(ten, name), left) == "inactive"
    again = running.playbook("cluster_stop")
    assert {counts.changed for counts in recap(again.stdout).values()} == {0}


@pytest.fixture(scope="module")
def here() -> str:
    """Return what the sweep prints on this computer's threads."""
    return sweep("--data", str(mnist_here()))[0]


def test_a_second_run_changes_nothing(running: ClassCluster) -> None:
    again = running.playbook("cluster")
    assert again.returncode == 0
    assert {name: counts.changed for name, counts in recap(again.stdout).items()} == dict.fromkeys(NAMES, 0)


def test_a_sweep_has_the_results_of_one_computer(running: ClassCluster, here: str) -> None:
    there, seconds = running.sweep()
    print(f"64 jobs on four virtual Pis of this computer: {seconds:.0f} s")
    assert there == here


@pytest.mark.long
def test_the_lesson_runs_on_a_pi_that_works_for_the_class(running: ClassCluster, here: str) -> None:
    """*The class is one computer*: the Pi's own jobs are measured while it does the class's."""
    with ThreadPoolExecutor() as threads:
        sweeping = threads.submit(running.sweep)
        lesson = run_lesson(on(running.classroom, "pi-01"), "part3_class_computer.ipynb")
        there, seconds = sweeping.result()
    print(f"The lesson took {lesson.seconds:.0f} s and {lesson.peak:.0f} MiB, the sweep {seconds:.0f} s.")
    assert there == here


@pytest.mark.long
def test_one_killed_one_frozen_and_one_unplugged_cost_only_time(running: ClassCluster, here: str) -> None:
    timer = Timer(5, running.disturb)
    timer.start()
    try:
        there, seconds = running.sweep("--epochs", "3")
        print(f"64 longer jobs, with one Pi killed, one frozen and one unplugged: {seconds:.0f} s")
    finally:
        timer.join()
        running.recover()
    firsts = {setting: [seed[:1] for seed in scores] for setting, scores in json.loads(there).items()}
    assert firsts == json.loads(here)
    assert running.playbook("cluster").returncode == 0  # all are back


def test_a_student_reaches_neither_the_keys_nor_the_worker(running: ClassCluster) -> None:
    pi = on(running.classroom, "pi-01")
    for path in ("/run/mynn-cluster", "/run/mynn-cluster/worker.key", "/run/mynn-cluster/ca.crt"):
        assert root(pi, f"sudo -u student cat {path} 2>&1 || true").endswith("Permission denied")
    assert root(pi, "stat -c '%U %G %a' /run/mynn-cluster/worker.key") == "root mynn-cluster 640"
    assert "alert certificate required" in root(pi, f"sudo -u student python3 -c '{KNOCK}' 2>&1 || true")
    kill = "kill $(systemctl show --property=MainPID --value mynn-cluster)"
    assert "not permitted" in root(pi, f'sudo -u student sh -c "{kill}" 2>&1 || true')


@pytest.mark.long
def test_a_worker_waits_for_memory_and_says_so(running: ClassCluster) -> None:
    pi = on(running.classroom, "pi-01")
    short = json.loads(running.settings) | {"cluster_start_mb": 10_000_000, "cluster_join_seconds": 30}
    waiting = running.classroom.playbook("cluster", "--limit", "pi-01", "-e", json.dumps(short))
    assert waiting.returncode == 0
    assert "pi-01 does not work yet. Waiting until" in waiting.stdout
    assert running.playbook("cluster").returncode == 0
    until(lambda: "At work" in root(pi, "systemctl show --property=StatusText --value mynn-cluster"))


@pytest.mark.long
def test_a_restarted_pi_has_neither_a_worker_nor_a_key(running: ClassCluster) -> None:
    pi = on(running.classroom, "pi-01")
    running.classroom.fleet.stop("pi-01")
    running.classroom.fleet.start("pi-01")
    assert root(pi, "ls /run/mynn-cluster /run/systemd/system/mynn-cluster.service; true") == ""
    assert running.playbook("cluster").returncode == 0
