"""A virtual machine: tests that need a Pi with its own kernel, clock and swap, which containers lack."""

from __future__ import annotations

import contextlib
import re
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.provisioned.notebook_server import NotebookServer
from tests.support.classroom import ROOT, Classroom, recap
from tests.virtual import Fleet

# Reserved for documentation (RFC 5737) and never answers, so that only a playbook sets the clock.
NO_NTP = "sudo mkdir -p /etc/systemd/timesyncd.conf.d && printf '[Time]\\nNTP=192.0.2.1\\n' | sudo tee {} >/dev/null"
TIMESYNCD = "/etc/systemd/timesyncd.conf.d/none.conf"
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


@dataclass(frozen=True)
class FirstRun:
    """The machine, how wrong its clock was in seconds, and the run that provisioned it."""

    classroom: Classroom
    clock_was_off: float
    done: subprocess.CompletedProcess[str]


def output_of(classroom: Classroom, command: str, timeout: float = 300) -> str:
    """Return the output of a command on the machine, which must succeed."""
    done = classroom.ssh(command, timeout=timeout)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout.strip()


def clock_off(classroom: Classroom) -> float:
    return abs(float(output_of(classroom, "date +%s")) - time.time())


def boot_of(classroom: Classroom) -> str:
    return output_of(classroom, "cat /proc/sys/kernel/random/boot_id")


@pytest.fixture(scope="module")
def fresh() -> Iterator[Classroom]:
    """Start a machine whose clock is wrong, like a Pi's."""
    fleet = Fleet(ROOT / "build/virtual-vm", address="127.77.12.0")
    fleet.down()
    fleet.up(1, kind="vm", clock="2020-01-01")
    yield Classroom(fleet)
    fleet.down()
    assert not fleet.state.folder.exists()
    processes = subprocess.run(["ps", "-ef"], capture_output=True, text=True, check=True).stdout
    assert str(fleet.state.folder) not in processes


@pytest.fixture(scope="module")
def first_run(fresh: Classroom) -> FirstRun:
    """Provision the machine, after a power cut."""
    output_of(fresh, "sudo systemctl is-system-running --wait && touch kept && sync")
    fresh.fleet.kill(fresh.host)
    fresh.fleet.start(fresh.host)
    output_of(fresh, f"test -e kept; {NO_NTP.format(TIMESYNCD)}; sudo systemctl restart systemd-timesyncd")
    was_off = clock_off(fresh)
    return FirstRun(fresh, was_off, fresh.playbook("site", timeout=3000))


@pytest.fixture
def classroom(first_run: FirstRun) -> Classroom:
    """Return the provisioned machine."""
    assert first_run.done.returncode == 0, first_run.done.stdout[-3000:]
    return first_run.classroom


def test_the_first_run_sets_the_clock_and_succeeds(first_run: FirstRun) -> None:
    assert first_run.clock_was_off > 86400  # systemd sets a clock that is older than itself to its own date
    assert first_run.done.returncode == 0, first_run.done.stdout[-3000:]
    assert recap(first_run.done.stdout)["pi-01"].failed == 0
    assert clock_off(first_run.classroom) < 10


def test_after_a_reboot_a_run_changes_nothing(classroom: Classroom) -> None:
    boot = boot_of(classroom)
    classroom.fleet.stop(classroom.host)
    classroom.fleet.up(1, kind="vm")  # with a correct clock, as if NTP answered
    assert boot_of(classroom) != boot
    done = classroom.playbook("site")
    assert done.returncode == 0
    assert recap(done.stdout)["pi-01"].changed == 0


def test_it_is_verified(classroom: Classroom) -> None:
    assert classroom.playbook("verify").returncode == 0


def test_it_swaps_into_compressed_ram(classroom: Classroom) -> None:
    assert_swap_is_as_large_as_ram(classroom)
    assert "[lz4]" in output_of(classroom, "cat /sys/block/zram0/comp_algorithm")


def test_changed_swap_settings_take_effect_at_once(classroom: Classroom) -> None:
    file = "/etc/systemd/zram-generator.conf"
    output_of(classroom, f"sudo sed -i 's/^zram-size.*/zram-size = 64/' {file}")
    done = classroom.playbook("site")
    assert done.returncode == 0
    assert_swap_is_as_large_as_ram(classroom)
    assert output_of(classroom, "systemctl is-system-running; systemctl --failed --no-legend") == "running"


def assert_swap_is_as_large_as_ram(classroom: Classroom) -> None:
    name, _, size, *_ = output_of(classroom, "tail -n 1 /proc/swaps").split()
    memory = int(output_of(classroom, "sed -n 's/^MemTotal: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo"))
    assert name == "/dev/zram0"
    assert int(size) == pytest.approx(memory, rel=0.02)


def test_installing_a_kernel_leads_to_a_reboot(classroom: Classroom) -> None:
    boot = boot_of(classroom)
    output_of(classroom, "sudo dpkg-reconfigure linux-image-$(uname -r)", timeout=900)  # runs the hooks of a new kernel
    output_of(classroom, "test -e /run/reboot-required")
    done = classroom.playbook("site")
    assert done.returncode == 0
    assert boot_of(classroom) != boot
    output_of(classroom, "test ! -e /run/reboot-required")


def test_a_program_that_takes_all_memory_is_killed(classroom: Classroom) -> None:
    main = output_of(classroom, "systemctl show --property=MainPID --value jupyter")
    boot = boot_of(classroom)
    server = NotebookServer(f"http://{classroom.address}:8888")
    assert server.sign_in(classroom.password)
    with server.kernel() as kernel:
        process = int(kernel.run("import os; print(os.getppid(), os.getpid())").text.split()[-1])
        kernel.socket.settimeout(5)
        with contextlib.suppress(TimeoutError):
            kernel.run(TAKE_ALL_MEMORY, seconds=20)
        wait_for_oom_kill(classroom)
    assert output_of(classroom, "systemctl show --property=MainPID --value jupyter") == main
    assert boot_of(classroom) == boot
    with server.kernel() as kernel:
        assert int(kernel.run("import os; print(os.getpid())").text) != process


def test_a_fork_bomb_is_limited(classroom: Classroom) -> None:
    server = NotebookServer(f"http://{classroom.address}:8888")
    assert server.sign_in(classroom.password)
    with server.kernel() as kernel:
        started = int(kernel.run(TAKE_ALL_PROCESSES, seconds=120).text.split()[-1])
    most = int(output_of(classroom, "systemctl show --property=TasksMax --value jupyter"))
    assert most / 2 < started < most


def wait_for_oom_kill(classroom: Classroom, patience: float = 300) -> None:
    """Wait until Linux has killed a program for lack of memory, which must be one of the student's."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        with contextlib.suppress(subprocess.TimeoutExpired):
            log = classroom.ssh("sudo journalctl -b -k", timeout=60).stdout
            killed = re.findall(r"oom-kill:constraint=(\w+),.*task_memcg=(\S+),task=", log)
            if killed:
                # The service's limit (MemoryMax) was reached before the machine ran out of memory.
                assert all(limit == "CONSTRAINT_MEMCG" for limit, _ in killed), killed
                assert all(group.startswith("/system.slice/jupyter") for _, group in killed), killed
                return
        time.sleep(1)
    pytest.fail(f"No program was killed for lack of memory within {patience:.0f} s.")


def test_it_is_updated(classroom: Classroom) -> None:
    assert classroom.playbook("update", timeout=3000).returncode == 0


@pytest.mark.parametrize(("fault", "repair"), [("freeze", "thaw"), ("unplug", "plug")])
def test_an_unresponsive_machine_recovers(classroom: Classroom, fault: str, repair: str) -> None:
    boot = boot_of(classroom)
    getattr(classroom.fleet, fault)(classroom.host)
    with pytest.raises(subprocess.TimeoutExpired):
        classroom.ssh("true", timeout=5)
    getattr(classroom.fleet, repair)(classroom.host)
    assert boot_of(classroom) == boot
