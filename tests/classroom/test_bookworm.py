"""Debian 12 works too: its Python is older, and two compiled packages come as wheels."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.classroom import ROOT, Classroom, recap
from tests.support.cluster import WORKER_PORT, ClassCluster, mnist_here, sweep
from tests.virtual import Fleet


@pytest.fixture(scope="module")
def bookworm() -> Iterator[Classroom]:
    fleet = Fleet(ROOT / "build/virtual-bookworm", address="127.77.6.0")
    fleet.down()
    fleet.up(1, suite="bookworm", publish=(8888, WORKER_PORT))
    yield Classroom(fleet)
    fleet.down()


def test_debian_12_is_provisioned_and_verified(bookworm: Classroom) -> None:
    assert "VERSION_CODENAME=bookworm" in bookworm.ssh("cat /etc/os-release").stdout
    assert bookworm.playbook("site").returncode == 0
    again = bookworm.playbook("site")
    assert recap(again.stdout)["pi-01"].changed == 0
    report = ROOT / "dist/report-bookworm"
    assert bookworm.playbook("verify", "-e", f"report_folder={report}").returncode == 0
    assert (report / "index.html").is_file()


def test_a_cluster_may_have_two_pythons(bookworm: Classroom, tmp_path: Path) -> None:
    """The Pi's is 3.11, and this computer's, where the scheduler and the experiment run, may be another."""
    cluster = ClassCluster(bookworm, ["pi-01"], tmp_path / "cluster")
    print(f"Python {sys.version} here, {bookworm.ssh('/opt/mynn/venv/bin/python --version').stdout} there")
    try:
        assert "1 of 1 Pis work together" in cluster.playbook("cluster").stdout
        assert cluster.sweep()[0] == sweep("--data", str(mnist_here()))[0]
    finally:
        assert cluster.playbook("cluster_stop").returncode == 0
