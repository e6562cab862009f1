"""A virtual machine: what needs a Pi with its own kernel, clock and swap, which containers lack."""

from __future__ import annotations

import contextlib
import re
import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.provisioned.notebook_server import NotebookServer
from tests.support.classroom import ROOT, Classroom, root, until
from tests.virtual import Fleet

# Reserved for documentation (RFC 5737) and never answers, so that only a playbook sets the clock.
NO_NTP = r"""
mkdir -p /etc/systemd/timesyncd.conf.d
printf '[Time]\nNTP=192.0.2.1\n' >/etc/systemd/timesyncd.conf.d/none.conf
systemctl restart systemd-timesyncd
"""
# Allocate blocks without end. zram compresses them well, so that takes more than RAM and swap together.
TAKE_ALL_MEMORY = "blocks = []\nwhile True: blocks.append(bytes(range(256)) * (1 << 16))"
TAKE_ALL_PROCESSES = """
import os, signal
children = []
try:
    while len(children) < 1000:
        child = os.fork()
        if not child:
            signal.pause()
        children.append(child)
except BlockingIOError:
    pass
for child in children:
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
print(len(children))
"""
BOOT = "cat /proc/sys/kernel/random/boot_id"
OOM = r"oom-kill:constraint=(\w+),.*task_memcg=(\S+),task="


def clock_off(classroom: Classroom) -> float:
    """Return how wrong the machine's clock is, in seconds."""
    return abs(float(root(classroom, "date +%s")) - time.time())


@pytest.fixture(scope="module")
def classroom() -> Iterator[Classroom]:
    """Provision a machine whose clock is wrong, like a Pi's, after a power cut."""
    fleet = Fleet(ROOT / "build/virtual-vm", address="127.77.12.0")
    fleet.down()
    fleet.up(1, kind="vm", clock="2020-01-01")
    classroom = Classroom(fleet)
    root(classroom, "systemctl is-system-running --wait && touch /var/kept && sync")
    fleet.kill("pi-01")
    fleet.start("pi-01")
    root(classroom, f"test -e /var/kept; {NO_NTP}")
    assert clock_off(classroom) > 86400  # systemd sets a clock that is older than itself to its own date
    classroom.run("site", timeout=3000)
    assert clock_off(classroom) < 10
    yield classroom
    fleet.down()
    assert not fleet.state.folder.exists()
    processes = subprocess.run(["ps", "-ef"], capture_output=True, text=True, check=True).stdout
    assert str(fleet.state.folder) not in processes


def test_new_swap_settings_and_a_new_kernel_take_effect_at_once(classroom: Classroom) -> None:
    """The kernel, by a reboot. Then nothing is left to change."""
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


def test_a_program_that_takes_all_memory_is_killed(classroom: Classroom) -> None:
    """By the limit of its service, before the machine runs out of memory; the server goes on."""
    state = f"systemctl show --property=MainPID --value jupyter; {BOOT}"
    before = root(classroom, state)
    server = NotebookServer(f"http://{classroom.address}:8888")
    assert server.sign_in(classroom.password)

    def killed() -> list[tuple[str, str]]:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return re.findall(OOM, classroom.ssh("sudo journalctl -b -k", timeout=60).stdout)
        return []

    with server.kernel() as kernel:
        kernel.socket.settimeout(5)
        with contextlib.suppress(TimeoutError):
            kernel.run(TAKE_ALL_MEMORY, seconds=20)
        until(lambda: bool(killed()), 300)
    for limit, group in killed():
        assert limit == "CONSTRAINT_MEMCG"
        assert group.startswith("/system.slice/jupyter")
    assert root(classroom, state) == before
    with server.kernel() as kernel:
        assert kernel.run("print(1)").text == "1\n"


def test_a_fork_bomb_is_limited(classroom: Classroom) -> None:
    server = NotebookServer(f"http://{classroom.address}:8888")
    assert server.sign_in(classroom.password)
    with server.kernel() as kernel:
        started = int(kernel.run(TAKE_ALL_PROCESSES, seconds=120).text.split()[-1])
    most = int(root(classroom, "systemctl show --property=TasksMax --value jupyter"))
    assert most / 2 < started < most
