"""The control node caches what apt downloads. A Pi uses the cache if it can, and otherwise fetches for itself."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.airgap import Airgap, Attempt, airgap
from tests.support.classroom import ANSIBLE, ROOT, Classroom, recap
from tests.support.ports import free_port, free_server
from tests.virtual import Fleet


def served(folder: Path) -> tuple[int, int]:
    """Return the bytes that apt-cacher-ng fetched and served, from its log, which is complete once it has exited."""
    lines = [line.split("|") for line in (folder / "log/apt-cacher.log").read_text(encoding="utf-8").splitlines()]
    fetched, given = (sum(int(line[2]) for line in lines if line[1] == way) for way in "IO")
    return fetched, given


def settings(folder: Path, port: int, **others: str) -> list[str]:
    """Return command-line options for the cache, which also make the playbook refresh apt's lists."""
    pairs = {"apt_cache_folder": folder, "apt_cache_port": port, "__system_apt_cache_seconds": 0, **others}
    return [word for name, value in pairs.items() for word in ("-e", f"{name}={value}")]


def test_a_pi_uses_the_control_nodes_cache(classroom: Classroom, tmp_path: Path) -> None:
    port = free_port()
    # Debian may have published an update since the Pi was provisioned.
    assert classroom.playbook("site", "-e", "__system_apt_cache_seconds=0").returncode == 0
    done = classroom.playbook("site", *settings(tmp_path, port))
    assert done.returncode == 0
    assert recap(done.stdout)["pi-01"].changed == 0
    assert "fetches its own packages" not in done.stdout
    assert list(tmp_path.glob("kept/*/**/InRelease"))
    # No trace of the cache stays on the Pi.
    assert "127.0.0.1" not in classroom.ssh("apt-config dump; cat /etc/environment").stdout
    time.sleep(3)
    with pytest.raises(ConnectionRefusedError):  # the cache exits with the playbook
        socket.create_connection(("127.0.0.1", port))


def test_a_pi_fetches_for_itself_without_a_cache(classroom: Classroom, tmp_path: Path) -> None:
    lists = "/var/lib/apt/lists/*_InRelease"
    classroom.ssh(f"sudo rm {lists}")
    with free_server() as other:  # it holds the port, and does not answer
        done = classroom.playbook("site", *settings(tmp_path, int(other.getsockname()[1])))
    assert done.returncode == 0
    assert "Each Pi fetches its own packages, because port" in " ".join(done.stdout.split())
    assert recap(done.stdout)["pi-01"].changed == 0
    assert not list(tmp_path.glob("kept/*/**/InRelease"))
    assert classroom.ssh(f"ls {lists}").returncode == 0  # apt has asked a mirror


@pytest.fixture
def isolated(tmp_path: Path) -> Iterator[Airgap]:
    if os.geteuid() != 0:
        pytest.skip("only root can isolate a network")
    with airgap(tmp_path) as network:
        yield network


def fetched(folder: Path, inventory: Path) -> None:
    """Fill a cache as `make fetch` does, for Pis that it has never contacted."""
    kinds = '{"apt_cache_platforms": ["trixie-amd64-x86_64"], "fetch_cluster": true}'
    command = [str(ANSIBLE), "-i", str(inventory), str(ROOT / "playbooks/fetch.yml")]
    done = subprocess.run(
        [*command, "-e", kinds, *settings(folder, free_port())],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    print(done.stdout, done.stderr)
    assert done.returncode == 0
    assert "Fetched for trixie-amd64-x86_64. Kept on this computer:" in done.stdout


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a cache that was filled with an empty inventory."""
    folder = tmp_path_factory.mktemp("kept")
    (folder / "inventory.ini").write_text("[pis]\n", encoding="utf-8")
    fetched(folder / "apt", folder / "inventory.ini")
    return folder / "apt"


@pytest.mark.long
def test_a_classroom_without_the_internet_is_provisioned_and_updated(
    kept: Path, isolated: Airgap, tmp_path: Path
) -> None:
    """Two fresh Pis and their control node, in an isolated network."""
    bytes_before, given_before = served(kept)
    assert bytes_before > 50_000_000
    only_kept = settings(kept, free_port(), apt_cache_offline="true")
    fleet = Fleet(ROOT / "build/virtual-offline", address="127.77.24.0")
    fleet.down()
    try:
        fleet.up(2, publish=(8888, 8785))
        classroom = Classroom(fleet)
        noticed = len(isolated.attempts)
        assert classroom.playbook("site", *only_kept).returncode == 0
        print(*isolated.attempts[noticed:], sep="\n")
        assert isolated.attempts[noticed:] == []

        # An update: make apt believe that an installed package is older than the cached one.
        older = "sudo sed -i '/^Package: netbase$/,/^Version:/s/^Version: .*/Version: 1.0/' /var/lib/dpkg/status"
        assert classroom.ssh(older).returncode == 0
        update = classroom.playbook("site", *only_kept)
        assert update.returncode == 0
        assert recap(update.stdout)["pi-01"].changed == 1
        assert classroom.ssh("dpkg-query --show --showformat='${Version}' netbase").stdout != "1.0"
        again = classroom.playbook("site", *only_kept)
        assert {counts.changed for counts in recap(again.stdout).values()} == {0}

        its_own = ["-e", json.dumps({"cluster_folder": str(tmp_path / "cluster")})]
        try:
            assert "2 of 2 Pis work together" in classroom.playbook("cluster", *only_kept, *its_own).stdout
        finally:
            assert classroom.playbook("cluster_stop", *its_own).returncode == 0
        print(*isolated.attempts[noticed:], sep="\n")
        assert isolated.attempts[noticed:] == []

        # An attempt to reach the Internet must be recorded.
        classroom.ssh("timeout 1 bash -c '</dev/tcp/198.51.100.7/80'")
        assert Attempt("tcp", "198.51.100.7", 80) in isolated.attempts[noticed:]
    finally:
        fleet.down()
    time.sleep(3)  # until apt-cacher-ng has exited and its log is complete
    bytes_after, given = served(kept)
    assert bytes_after == bytes_before  # nothing more was fetched
    assert given - given_before > 2 * 90_000_000
