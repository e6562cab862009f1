"""A virtual machine: a fresh system with a kernel and swap of its own, which containers lack.

Without KVM it takes 20 minutes. In every run of `make test-all` the board shows the same of a Pi made from our image.
"""

import subprocess
from collections.abc import Iterator

import pytest

from tests.support.classroom import ROOT, Classroom, root
from tests.virtual import Fleet

pytestmark = pytest.mark.long

BOOT = "cat /proc/sys/kernel/random/boot_id"


@pytest.fixture(scope="module")
def classroom() -> Iterator[Classroom]:
    """Provision a machine, after a power cut."""
    fleet = Fleet(ROOT / "build/virtual-vm", address="127.77.12.0")
    fleet.down()
    fleet.up(1, kind="vm")
    classroom = Classroom(fleet)
    root(classroom, "systemctl is-system-running --wait && touch /var/kept && sync")
    fleet.kill("pi-01")
    fleet.start("pi-01")
    root(classroom, "test -e /var/kept")
    classroom.run("site", timeout=3000)
    yield classroom
    fleet.down()
    assert not fleet.state.folder.exists()
    processes = subprocess.run(["ps", "-ef"], capture_output=True, text=True, check=True).stdout
    assert str(fleet.state.folder) not in processes


def test_new_swap_settings_and_a_new_kernel_take_effect(classroom: Classroom) -> None:
    """By a reboot. Then nothing is left to change."""
    boot = root(classroom, BOOT)
    root(classroom, "sed -i 's/^zram-size.*/zram-size = 64/' /etc/systemd/zram-generator.conf")
    root(classroom, "dpkg-reconfigure linux-image-$(uname -r)", timeout=900)  # runs the hooks of a new kernel
    classroom.run("site")
    assert root(classroom, BOOT) != boot
    assert root(classroom, "systemctl is-system-running --wait || systemctl --failed --no-legend") == "running"
    name, _, size, *_ = root(classroom, "tail -n 1 /proc/swaps").split()
    memory = int(root(classroom, "sed -n 's/^MemTotal: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo"))
    assert name == "/dev/zram0"
    assert int(size) == pytest.approx(memory, rel=0.02)
    assert "[lz4]" in root(classroom, "cat /sys/block/zram0/comp_algorithm")
    assert classroom.changes("site") == {"pi-01": 0}
