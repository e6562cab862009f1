"""A classroom without the Internet: `make fetch` downloads all that two Pis need, and then they are provisioned."""

import contextlib
import ctypes
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.classroom import ROOT, Classroom, root
from tests.support.ports import free_port
from tests.support.programs import run_playbook
from tests.virtual import Fleet

pytestmark = pytest.mark.long


def settings(folder: Path) -> list[str]:
    """Return options for a cache of the test's own, which also make the playbook refresh apt's lists."""
    pairs = {"apt_cache_folder": folder, "apt_cache_port": free_port(), "__system_apt_cache_seconds": 0}
    return [word for name, value in pairs.items() for word in ("-e", f"{name}={value}")]


@contextlib.contextmanager
def airgap() -> Iterator[None]:
    """Move this thread, and the programs that it starts, into a network that has the loopback only. Needs root."""
    before = os.open("/proc/self/ns/net", os.O_RDONLY)
    library = ctypes.CDLL(None, use_errno=True)  # os.unshare and os.setns need Python 3.12
    try:
        if library.unshare(0x40000000):  # CLONE_NEWNET
            raise OSError(ctypes.get_errno(), "A network namespace cannot be made")
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        yield
    finally:
        library.setns(before, 0x40000000)
        os.close(before)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fill a cache, for Pis that have never been contacted."""
    folder = tmp_path_factory.mktemp("kept")
    (folder / "inventory.ini").write_text("[pis]\n", encoding="utf-8")
    kinds = '{"apt_cache_platforms": ["trixie-amd64-x86_64"], "fetch_cluster": true}'
    arguments = ["-i", folder / "inventory.ini", "playbooks/fetch.yml", "-e", kinds, *settings(folder / "apt")]
    assert run_playbook(*arguments).returncode == 0
    return folder / "apt"


def test_a_classroom_without_the_internet_is_provisioned_and_updated(kept: Path, tmp_path: Path) -> None:
    """Two fresh Pis and their control node, in a network without a way out."""
    if os.geteuid() != 0:
        pytest.skip("only root can isolate a network")
    only_kept = settings(kept)
    fleet = Fleet(ROOT / "build/virtual-offline", address="127.77.24.0")
    fleet.down()
    with airgap():
        try:
            fleet.up(2, publish=(8888, 8785))
            classroom = Classroom(fleet)
            assert classroom.ssh("timeout 5 bash -c '</dev/tcp/deb.debian.org/80'").returncode != 0
            classroom.run("site", *only_kept)
            # An update: make apt believe that an installed package is older than the cached one.
            older = "sed -i '/^Package: netbase$/,/^Version:/s/^Version: .*/Version: 1.0/' /var/lib/dpkg/status"
            root(classroom, older)
            classroom.run("site", *only_kept)
            assert root(classroom, "dpkg-query --show --showformat='${Version}' netbase") != "1.0"
            its_own = ["-e", json.dumps({"cluster_folder": str(tmp_path / "cluster")})]
            assert "2 of 2 Pis work together" in classroom.run("cluster", *only_kept, *its_own)
            classroom.run("cluster_stop", *its_own)
        finally:
            fleet.down()
