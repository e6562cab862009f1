"""A virtual machine: what containers cannot show, as they have no kernel, clock and swap of their own."""

from __future__ import annotations

import contextlib
import re
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.provisioned.notebook_server import NotebookServer
from tests.support.classroom import ROOT, Classroom, recap
from tests.virtual import Fleet

# Without KVM this takes both processors for twenty minutes.
pytestmark = pytest.mark.long
# No answer comes from there (RFC 5737), so nothing but a playbook sets the clock.
NO_NTP = "sudo mkdir -p /etc/systemd/timesyncd.conf.d && printf '[Time]\\nNTP=192.0.2.1\\n' | sudo tee {} >/dev/null"
TIMESYNCD = "/etc/systemd/timesyncd.conf.d/none.conf"
# Blocks that zram packs well: there have to be more of them than RAM and swap together.
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


@dataclass(frozen=True)
class FirstRun:
    """The machine, how wrong its clock was (seconds), and what the run said by which it was provisioned."""

    room: Classroom
    clock_was_off: float
    done: subprocess.CompletedProcess[str]


def asked(room: Classroom, command: str, timeout: float = 300) -> str:
    """Return what a command on the machine prints; AssertionError: it failed."""
    done = room.ssh(command, timeout=timeout)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout.strip()


def clock_off(room: Classroom) -> float:
    return abs(float(asked(room, "date +%s")) - time.time())


def boot_of(room: Classroom) -> str:
    return asked(room, "cat /proc/sys/kernel/random/boot_id")


@pytest.fixture(scope="module")
def fresh() -> Iterator[Classroom]:
    """Switch on a machine whose clock is wrong, like that of a Pi."""
    fleet = Fleet(ROOT / "build/virtual-vm", address="127.77.12.0")
    fleet.down()
    fleet.up(1, kind="vm", clock="2020-01-01")
    yield Classroom(fleet)
    fleet.down()


@pytest.fixture(scope="module")
def first_run(fresh: Classroom) -> FirstRun:
    """Provision it."""
    asked(fresh, f"{NO_NTP.format(TIMESYNCD)}; sudo systemctl restart systemd-timesyncd")
    was_off = clock_off(fresh)
    return FirstRun(fresh, was_off, fresh.playbook("site", timeout=3000))


@pytest.fixture
def room(first_run: FirstRun) -> Classroom:
    """Return the machine, provisioned."""
    assert first_run.done.returncode == 0, first_run.done.stdout[-3000:]
    return first_run.room


# Before the others, so that there is one machine at a time.
def test_it_keeps_its_disk_until_it_is_reset_and_down_leaves_nothing(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path / "a state", address="127.77.13.0")
    room = Classroom(fleet)
    fleet.up(1, kind="vm")
    try:
        asked(room, "touch kept; sync")
        fleet.kill(room.host)
        assert fleet.status(room.host) == "stopped"
        fleet.start(room.host)
        asked(room, "test -e kept")
        fleet.reset(room.host)
        asked(room, "test ! -e kept")
        assert processes_with(str(fleet.state.folder))
    finally:
        fleet.down()
    assert not processes_with(str(fleet.state.folder / "pis"))
    assert not fleet.state.folder.exists()


def processes_with(text: str) -> list[str]:
    """Return the command lines that have a text in them."""
    lines = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            lines.append(file.read_text(errors="replace"))
    return [line for line in lines if text in line]


def test_it_boots_with_a_kernel_and_a_clock_of_its_own(fresh: Classroom) -> None:
    assert asked(fresh, "systemctl is-system-running --wait || systemctl --failed --no-legend") == "running"
    assert asked(fresh, "systemd-detect-virt") in ("kvm", "qemu")
    assert asked(fresh, "date +%Y") == "2020"


def test_the_first_run_sets_the_clock_and_is_finished(first_run: FirstRun) -> None:
    assert first_run.clock_was_off > 86400
    assert first_run.done.returncode == 0, first_run.done.stdout[-3000:]
    assert recap(first_run.done.stdout)["pi-01"].failed == 0
    assert clock_off(first_run.room) < 10


def test_after_a_reboot_a_run_changes_nothing(room: Classroom) -> None:
    boot = boot_of(room)
    room.fleet.up(1, kind="vm")  # the clock is right this time, as where NTP answers
    assert boot_of(room) != boot
    done = room.playbook("site")
    assert done.returncode == 0
    assert recap(done.stdout)["pi-01"].changed == 0


def test_it_is_verified(room: Classroom) -> None:
    assert room.playbook("verify").returncode == 0


def test_it_swaps_into_compressed_ram(room: Classroom) -> None:
    assert_swap_is_as_large_as_ram(room)
    assert "[lz4]" in asked(room, "cat /sys/block/zram0/comp_algorithm")


def test_other_settings_of_the_swap_take_effect_at_once(room: Classroom) -> None:
    file = "/etc/systemd/zram-generator.conf"
    asked(room, f"sudo sed -i 's/^zram-size.*/zram-size = 64/' {file}")
    done = room.playbook("site")
    assert done.returncode == 0
    assert_swap_is_as_large_as_ram(room)
    assert asked(room, "systemctl is-system-running; systemctl --failed --no-legend") == "running"


def assert_swap_is_as_large_as_ram(room: Classroom) -> None:
    name, _, size, *_ = asked(room, "tail -n 1 /proc/swaps").split()
    memory = int(asked(room, "sed -n 's/^MemTotal: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo"))
    assert name == "/dev/zram0"
    assert int(size) == pytest.approx(memory, rel=0.02)


def test_a_kernels_installation_asks_for_a_reboot_and_gets_it(room: Classroom) -> None:
    boot = boot_of(room)
    asked(room, "sudo dpkg-reconfigure linux-image-$(uname -r)", timeout=900)  # its hooks run as with a new one
    asked(room, "test -e /run/reboot-required")
    done = room.playbook("site")
    assert done.returncode == 0
    assert boot_of(room) != boot
    asked(room, "test ! -e /run/reboot-required")


def test_a_program_that_takes_all_memory_ends_and_the_pi_goes_on(room: Classroom) -> None:
    main = asked(room, "systemctl show --property=MainPID --value jupyter")
    boot = boot_of(room)
    server = NotebookServer(f"http://{room.address}:8888")
    assert server.sign_in(room.password)
    with server.kernel() as kernel:
        process = int(kernel.run("import os; print(os.getppid(), os.getpid())").text.split()[-1])
        kernel.socket.settimeout(5)
        with contextlib.suppress(TimeoutError):
            kernel.run(TAKE_ALL_MEMORY, seconds=20)
        wait_for_the_killer(room)
    assert asked(room, "systemctl show --property=MainPID --value jupyter") == main
    assert boot_of(room) == boot
    with server.kernel() as kernel:
        assert int(kernel.run("import os; print(os.getpid())").text) != process


def test_a_program_that_starts_others_without_end_leaves_the_pi_some(room: Classroom) -> None:
    server = NotebookServer(f"http://{room.address}:8888")
    assert server.sign_in(room.password)
    with server.kernel() as kernel:
        started = int(kernel.run(TAKE_ALL_PROCESSES, seconds=120).text.split()[-1])
    most = int(asked(room, "systemctl show --property=TasksMax --value jupyter"))
    assert most / 2 < started < most


def wait_for_the_killer(room: Classroom, patience: float = 300) -> None:
    """Return when Linux has ended a program for want of memory; it has to be one of the student's."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        with contextlib.suppress(subprocess.TimeoutExpired):
            log = room.ssh("sudo journalctl -b -k", timeout=60).stdout
            killed = re.findall(r"oom-kill:constraint=(\w+),.*task_memcg=(\S+),task=", log)
            if killed:
                # The service's own limit (MemoryMax) was reached before the machine's memory was used up.
                assert all(limit == "CONSTRAINT_MEMCG" for limit, _ in killed), killed
                assert all(group.startswith("/system.slice/jupyter") for _, group in killed), killed
                return
        time.sleep(1)
    pytest.fail(f"Nothing was ended for want of memory within {patience:.0f} s.")


def test_it_is_brought_up_to_date(room: Classroom) -> None:
    assert room.playbook("update", timeout=3000).returncode == 0


@pytest.mark.parametrize(("hurt", "heal"), [("freeze", "thaw"), ("unplug", "plug")])
def test_a_silent_machine_hangs_and_comes_back(room: Classroom, hurt: str, heal: str) -> None:
    boot = boot_of(room)
    getattr(room.fleet, hurt)(room.host)
    with pytest.raises(subprocess.TimeoutExpired):
        room.ssh("true", timeout=5)
    getattr(room.fleet, heal)(room.host)
    assert boot_of(room) == boot
