"""The virtual Pis themselves: a smoke test of what the other tests rely on."""

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.classroom import ROOT, until
from tests.virtual import Fleet, VirtualError
from tests.virtual.fleet import free_block
from tests.virtual.state import SSH_PORT, address_at

ADDRESS = "127.77.9.0"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    fleet = Fleet(tmp_path_factory.mktemp("virtual") / "a state", address=ADDRESS)
    fleet.up(2)
    yield fleet
    fleet.down()


def test_its_root_cannot_reach_the_host(fleet: Fleet) -> None:
    assert fleet.member("pi-01").ssh("sudo date -s 2020-01-01").returncode != 0
    assert fleet.member("pi-01").ssh("sudo test -w /proc/sys/vm/swappiness").returncode != 0
    assert fleet.member("pi-01").ssh("ls /dev/[hsv]da /dev/nvme0n1").stdout == ""


def test_its_memory_is_limited(fleet: Fleet) -> None:
    take = "python3 -c 'bytearray({} << 20)'; echo $?"
    assert fleet.member("pi-01").ssh(take.format(300)).stdout == "0\n"
    assert fleet.member("pi-01").ssh(take.format(600)).stdout == f"{128 + signal.SIGKILL}\n"


def test_two_checkouts_do_not_disturb_each_other(fleet: Fleet, tmp_path: Path) -> None:
    """At the same addresses, the second start fails, and leaves nothing; it would take others by itself."""
    other = Fleet(tmp_path / "state", address=ADDRESS)
    with pytest.raises(VirtualError, match="another fleet uses it"):
        other.up(1)
    assert not other.state.folder.exists()
    assert [pi.status() for pi in fleet.members] == ["running", "running"]
    for kind in ("container", "vm"):
        block = free_block(kind)
        with socket.create_server((address_at(block, 1), SSH_PORT)):
            assert free_block(kind) not in (block, ADDRESS)


@pytest.mark.parametrize("seen", ["fleet.json", "pis/pi-01/log"])
def test_down_after_a_killed_up_leaves_nothing(tmp_path: Path, seen: str) -> None:
    """Killed when it has just begun, and when its first Pi boots."""
    fleet = Fleet(tmp_path / "state")
    words = ["up", "--fleet", "3", "--state", str(fleet.state.folder)]
    with subprocess.Popen([sys.executable, "-m", "tests.virtual", *words], cwd=ROOT) as up:
        until((fleet.state.folder / seen).exists)
        up.kill()
    fleet.down()
    assert not fleet.state.folder.exists()
    for what in ("ps --all", "network ls", "images"):
        assert (
            fleet.state.prefix not in subprocess.run(["podman", *what.split()], capture_output=True, text=True).stdout
        )
    assert fleet.state.prefix not in subprocess.run(["ps", "-ef"], capture_output=True, text=True, check=True).stdout
