"""`make cluster`: Pis run an experiment together, with one computer's results, whatever happens to some of them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Timer

import pytest

from tests.support.classroom import ROOT, Classroom, on, recap, root
from tests.support.ports import free_port

NAMES = [f"pi-{number:02}" for number in range(1, 5)]
SWEEP = ["--hidden", "10", "30", "--rate", "0.1", "0.2", "0.3", "0.4", "--seeds", "8"]  # 64 jobs


@dataclass
class Running:
    """A cluster of four Pis, and how to start it."""

    ten: Classroom
    folder: Path
    settings: str

    def playbook(self, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.ten.playbook(name, "--limit", ",".join(["localhost", *NAMES]), "-e", self.settings, *arguments)

    def sweep(self, out: Path, *arguments: str) -> tuple[str, float]:
        """Return what a sweep prints, and how many seconds it takes."""
        began = time.monotonic()
        command = [sys.executable, "-m", "mynn", "experiment", "sweep", "--json", "--out", str(out), *SWEEP, *arguments]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout, time.monotonic() - began


@pytest.fixture(scope="module")
def running(ten: Classroom, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("cluster") / "cluster"
    settings = {"cluster_folder": str(folder), "cluster_port": free_port(), "cluster_dashboard_port": free_port()}
    running = Running(ten, folder, json.dumps(settings))
    fresh = running.playbook("cluster", "--check", "--diff")
    assert fresh.returncode == 0
    assert recap(fresh.stdout)["pi-01"].changed > 3
    assert not folder.exists()
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
    ten.fleet.up(10)


@pytest.fixture(scope="module")
def here(running: Running, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return what the sweep prints on this computer's threads."""
    subprocess.run(["make", "mnist"], cwd=ROOT, check=True, capture_output=True)
    return running.sweep(tmp_path_factory.mktemp("here"), "--data", str(ROOT / "build/mnist"))[0]


def test_a_second_run_changes_nothing(running: Running) -> None:
    for arguments in ((), ("--check", "--diff")):
        again = running.playbook("cluster", *arguments)
        assert again.returncode == 0
        assert {name: counts.changed for name, counts in recap(again.stdout).items()} == dict.fromkeys(NAMES, 0)


def test_a_sweep_has_the_results_of_one_computer(running: Running, here: str, tmp_path: Path) -> None:
    there, seconds = running.sweep(tmp_path, "--scheduler", str(running.folder))
    print(f"64 jobs on four virtual Pis of this computer: {seconds:.0f} s")
    assert there == here


def test_one_killed_one_frozen_and_one_unplugged_cost_only_time(running: Running, here: str, tmp_path: Path) -> None:
    def disturb() -> None:
        root(on(running.ten, "pi-02"), "systemctl kill --signal=KILL mynn-cluster")
        running.ten.fleet.freeze("pi-03")
        running.ten.fleet.unplug("pi-04")

    timer = Timer(5, disturb)
    timer.start()
    try:
        there, seconds = running.sweep(tmp_path, "--scheduler", str(running.folder), "--epochs", "3")
        print(f"64 longer jobs, with one Pi killed, one frozen and one unplugged: {seconds:.0f} s")
    finally:
        timer.join()
        running.ten.fleet.thaw("pi-03")
        running.ten.fleet.plug("pi-04")
    firsts = {setting: [seed[:1] for seed in scores] for setting, scores in json.loads(there).items()}
    assert firsts == json.loads(here)
    assert running.playbook("cluster").returncode == 0  # all are back


def test_a_student_reaches_neither_the_keys_nor_the_worker(running: Running) -> None:
    pi = on(running.ten, "pi-01")
    for path in ("/run/mynn-cluster", "/run/mynn-cluster/worker.key", "/run/mynn-cluster/ca.crt"):
        assert root(pi, f"sudo -u student cat {path} 2>&1 || true").endswith("Permission denied")
    assert root(pi, "stat -c '%U %G %a' /run/mynn-cluster/worker.key") == "root mynn-cluster 640"
    script = "timeout 10 openssl s_client -ign_eof -connect 127.0.0.1:8785 2>&1 </dev/null || true"
    if root(pi, "command -v openssl || true"):
        assert "certificate required" in root(pi, f"sudo -u student sh -c '{script}'")
    kill = "kill $(systemctl show --property=MainPID --value mynn-cluster)"
    assert "not permitted" in root(pi, f'sudo -u student sh -c "{kill}" 2>&1 || true')


def until(done: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline
        time.sleep(1)


def test_a_worker_waits_for_memory_and_says_so(running: Running) -> None:
    pi = on(running.ten, "pi-01")
    short = json.loads(running.settings) | {"cluster_start_mb": 10_000_000, "cluster_join_seconds": 30}
    waiting = running.ten.playbook("cluster", "--limit", "pi-01", "-e", json.dumps(short))
    assert waiting.returncode == 0
    assert "pi-01 does not work yet. Waiting until" in waiting.stdout
    assert running.playbook("cluster").returncode == 0
    until(lambda: "At work" in root(pi, "systemctl show --property=StatusText --value mynn-cluster"))


def test_a_restarted_pi_has_neither_a_worker_nor_a_key(running: Running) -> None:
    pi = on(running.ten, "pi-01")
    running.ten.fleet.stop("pi-01")
    running.ten.fleet.start("pi-01")
    assert root(pi, "ls /run/mynn-cluster /run/systemd/system/mynn-cluster.service; true") == ""
    assert running.playbook("cluster").returncode == 0
