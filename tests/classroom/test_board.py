"""The image on a board, QEMU's Pi Zero: what a school does with a new card, in that order.

A board is slow (a first boot takes minutes), so these tests share one card. Durations in the host's seconds are printed
and not asserted.

The images for later Pis pass the same tests on QEMU's Pi 2 and 3, with `pytest -m long`; those for a Pi 3 alone with
`pytest -m long tests/classroom/test_board.py -k 3-zero2w-4`. So does one made from a card of Raspberry Pi OS
(`-k raspios`).
"""

import contextlib
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from _pytest.mark import ParameterSet

from tests.benchmarks.board_measure import memory_used, time_to_page, wait_for_page
from tests.support.classroom import ROOT, BoardClassroom, changed_tasks, until, use_apt_sources
from tests.support.image import TABLE, Image, faults, unpack
from tests.support.image_build import build_for
from tests.support.power_cut import TRAIN, Recording, check_all, table, tear
from tests.support.raspberry_card import raspberry_card
from tests.virtual import Board
from tests.virtual.writes import Cut

# MiB in use after a boot, with the notebook server idle, by the image's architecture.
MOST_MEMORY = {"armel": 90, "armhf": 150, "arm64": 220}
# The tasks of the first site.yml that may change a Pi booted from the image, to set the control node's password.
FIRST_RUN = {
    # A Pi has no battery-backed clock, and without Internet only the control node knows the time.
    "system : Set the clock from the control node's",
    "jupyter : Write the passwords' hashes and the certificate",
    "jupyter : Start the server, now and at each boot",
    # From now on, other desks leave it alone.
    "jupyter : Announce the server on the network",
    # An image that an earlier run of the tests has built may have an older manual.
    "manual : Push the manual",
}
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


def images() -> Iterator[ParameterSet]:
    """Yield the rows of the table of images; the long tests run with all of them."""
    for row in TABLE:
        yield pytest.param(row, id="-".join(row["boards"]), marks=[] if "zero" in row["boards"] else pytest.mark.long)
        if "2" in row["boards"]:
            yield pytest.param(row | {"raspios": True}, id="raspios", marks=pytest.mark.long)


@pytest.fixture(scope="module", params=images())
def image(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Return a row of the table of images."""
    return dict(request.param)


@pytest.fixture(scope="module")
def disk(image: dict[str, Any], request: pytest.FixtureRequest) -> Path:
    """Build the image, and return it uncompressed."""
    if "zero" in image["boards"]:
        return Path(request.getfixturevalue("image_build").disk)
    disk = build_for(image["boards"][0], raspberry_card() if "raspios" in image else None)
    assert faults(unpack(disk)) == []
    return disk


@pytest.fixture(scope="module")
def classroom(disk: Path) -> Iterator[BoardClassroom]:
    """Boot a board with a fresh card, up to its notebook page."""
    board = Board(ROOT / "build/board-tests", address="127.77.91.1", records=True)
    board.down()
    board.insert(disk, '[system]\nhostname = "pi_07"')
    print("The first boot to the page took", time_to_page(board))
    yield BoardClassroom(board)
    board.down()


def test_it_boots_with_its_own_identity(classroom: BoardClassroom) -> None:
    """The name is from the serial number, the root fills the card, swap is in RAM, and no unit has failed.

    Nor is its clock behind the image, so that nothing seems older than the lessons. A mistake in the card's settings is
    named.
    """
    name = f"mynn-{classroom.board.serial[-6:]}"
    assert classroom.output_of("hostname").strip() == classroom.board.facts()["name"] == name
    assert "[system] hostname: a name has at most" in classroom.board.card.read("rpi-preseed-error.txt").decode()
    classroom.output_of("systemctl is-system-running --wait || true", timeout=900)
    assert classroom.output_of("systemctl list-units --failed --no-legend --plain") == ""
    size = int(classroom.output_of("df --output=size --block-size=1M /").split()[1])
    assert size > 3500  # the card has 4 GiB
    device, _, swap, *_ = classroom.output_of("tail -n 1 /proc/swaps").split()
    memory_kib = int(classroom.output_of("sed -n 's/^MemTotal: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo"))
    assert device == "/dev/zram0"
    assert int(swap) == pytest.approx(memory_kib, rel=0.02)
    assert "[lz4]" in classroom.output_of("cat /sys/block/zram0/comp_algorithm")
    built, now = map(int, classroom.output_of("stat --format=%Y /usr/lib/clock-epoch; date +%s").split())
    assert built < now


def test_the_server_leaves_memory_for_programs(
    classroom: BoardClassroom, image: dict[str, Any], record_property: Callable[[str, object], None]
) -> None:
    used = memory_used(classroom)
    record_property("used_mib", used)
    assert used <= MOST_MEMORY[image["architecture"]]


def test_image_and_playbooks_agree(classroom: BoardClassroom) -> None:
    """The first site.yml changes only what the control node decides, and what was edited on the Pi."""
    # Debian's lists would take minutes, and what it has updated since the image was built is no difference of ours.
    classroom.output_of("sudo mkdir /srv/no-updates && sudo touch /srv/no-updates/Packages")
    use_apt_sources(classroom, "deb [trusted=yes] copy:/srv/no-updates ./")
    # Once the clock is right, it would begin its daily upgrade, for which the playbook waits a quarter of an hour.
    classroom.output_of("sudo systemctl mask --runtime --now apt-daily.service apt-daily-upgrade.service")
    classroom.output_of("sudo sed -i 's/^zram-size.*/zram-size = 64/' /etc/systemd/zram-generator.conf")
    changed = changed_tasks(classroom.run("site"))
    edited = {"system : Write the zram settings"}
    assert edited <= changed <= edited | FIRST_RUN
    # It was months behind. A busy board's clock is slow: it counts instructions.
    assert abs(float(classroom.output_of("date +%s")) - time.time()) < 3600


def test_a_power_cut_at_any_write_loses_nothing(classroom: BoardClassroom) -> None:
    """From the first boot on: whatever the card keeps, it is repaired unaided, and has all acknowledged saves."""
    recording = Recording.of(classroom.board, "first boot, site.yml")
    recording.save(classroom, 20)
    recording.begin("training")
    for _ in range(2):
        classroom.output_of(TRAIN)
    outcomes = check_all(recording, recording.log.cuts(300, seed=2016))
    print(table(recording, outcomes))
    assert not [outcome for outcome in outcomes if outcome[1]]
    # A server that said so before a file is on the card would be found.
    hasty = replace(recording, saved=[0, *recording.saved[:-1]])
    answers = [Cut(number, number) for number in map(recording.log.written, recording.saved[:3])]
    assert all(faults for _, faults in check_all(hasty, answers))


def test_a_fork_bomb_and_a_program_that_takes_all_memory_are_stopped(classroom: BoardClassroom) -> None:
    """By the limits of the server's service, before the Pi runs out of memory; the server goes on."""
    state = f"systemctl show --property=MainPID --value jupyter; {BOOT}"
    before = classroom.output_of(state)
    most = int(classroom.output_of("systemctl show --property=TasksMax --value jupyter"))
    server = wait_for_page(classroom)
    assert server.sign_in(classroom.password)

    def killed() -> list[tuple[str, str]]:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return re.findall(OOM, classroom.ssh("sudo dmesg", timeout=60).stdout)
        return []

    with server.kernel() as kernel:
        started = int(kernel.run(TAKE_ALL_PROCESSES, seconds=300).text.split()[-1])
        assert most / 2 < started < most
        kernel.socket.settimeout(5)
        with contextlib.suppress(TimeoutError):
            kernel.run(TAKE_ALL_MEMORY, seconds=20)
        until(lambda: bool(killed()), 3600)
    for limit, group in killed():
        assert limit == "CONSTRAINT_MEMCG"
        assert group.startswith("/system.slice/jupyter")
    assert classroom.output_of(state) == before
    with server.kernel() as kernel:
        assert kernel.run("print(1)").text == "1\n"


@pytest.mark.long
def test_it_boots_again_with_its_superblock_and_the_copy_torn(classroom: BoardClassroom) -> None:
    """As after a power cut while the root grew: by the copy in the boot block, in the initramfs."""
    classroom.board.stop()
    card = classroom.board.card.path
    tear(card, Image(card).root, 32768)
    classroom.board.start()
    assert "EXT4-fs error" not in classroom.output_of("sudo dmesg")
    wait_for_page(classroom)


@pytest.mark.long
def test_every_check_holds(classroom: BoardClassroom) -> None:
    classroom.run("verify", timeout=3600)
