"""`make cluster`: Pis run an experiment together, with one computer's results, whatever happens to some of them."""

import json
from collections.abc import Iterator
from threading import Timer

import pytest

from tests.support.classroom import Classroom, on, root
from tests.support.cluster import ClassCluster, sweep
from tests.support.digits import mnist_folder
from tests.support.programs import build_kernel

NAMES = [f"pi-{number:02}" for number in range(1, 4)]
# Connect to the worker without a certificate, and wait for its greeting.
KNOCK = """
import socket, ssl
context = ssl._create_unverified_context()
context.wrap_socket(socket.create_connection(("127.0.0.1", 8785), 10)).recv(1)
"""


@pytest.fixture(scope="module")
def running(three: Classroom, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClassCluster]:
    """Start the cluster; once it has stopped, nothing of it is left on the Pis."""
    running = ClassCluster(three, NAMES, tmp_path_factory.mktemp("cluster") / "cluster")
    assert "3 of 3 Pis work together" in running.run("cluster")
    yield running
    running.run("cluster_stop")
    left = "systemctl is-active mynn-cluster; ls /run/mynn-cluster /run/systemd/system/mynn-cluster.service; true"
    assert [root(on(three, name), left) for name in NAMES] == ["inactive"] * 3


@pytest.fixture(scope="module")
def here() -> str:
    """Return what the sweep prints on this computer's threads, with the kernel that the workers have, too."""
    build_kernel()
    return sweep("--data", str(mnist_folder()))[0]


def test_a_sweep_has_the_results_of_one_computer(running: ClassCluster, here: str) -> None:
    there, seconds = running.sweep()
    print(f"64 jobs on three virtual Pis of this computer: {seconds:.0f} s")
    assert there == here


def test_a_student_reaches_neither_the_keys_nor_the_worker(running: ClassCluster) -> None:
    pi = on(running.classroom, "pi-01")
    for path in ("/run/mynn-cluster", "/run/mynn-cluster/cluster.key", "/run/mynn-cluster/cluster.crt"):
        assert root(pi, f"sudo -u student cat {path} 2>&1 || true").endswith("Permission denied")
    assert root(pi, "stat -c '%U %G %a' /run/mynn-cluster/cluster.key") == "root mynn-cluster 640"
    assert "alert certificate required" in root(pi, f"sudo -u student python3 -c '{KNOCK}' 2>&1 || true")
    kill = "kill $(systemctl show --property=MainPID --value mynn-cluster)"
    assert "not permitted" in root(pi, f'sudo -u student sh -c "{kill}" 2>&1 || true')


@pytest.mark.long
def test_one_killed_and_one_frozen_cost_only_time(running: ClassCluster, here: str) -> None:
    timer = Timer(5, running.disturb)
    timer.start()
    try:
        there, seconds = running.sweep("--epochs", "3")
        print(f"64 longer jobs, with one Pi killed and one frozen: {seconds:.0f} s")
    finally:
        timer.join()
        running.recover()
    firsts = {setting: [seed[:1] for seed in scores] for setting, scores in json.loads(there).items()}
    assert firsts == json.loads(here)
    running.run("cluster")  # all are back
