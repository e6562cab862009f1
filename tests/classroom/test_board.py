"""The image on a Pi Zero, which is a board of QEMU's: what a school does with a new card, in that order.

A board is slow (a first boot takes minutes), so all tests here share one card. Its time is its own: what is measured in
the host's seconds is printed and not tested.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator

import pytest

from tests.benchmarks.board_measure import memory, time_to_page, wait_for_page
from tests.benchmarks.power_cuts import Student, come_back, cut
from tests.support.browser import TURNING, copied_lessons, open_browser, run_all, signed_in, take_screenshot, url_of
from tests.support.classroom import ROOT, BoardRoom, recap, use_apt_sources
from tests.support.image_build import ImageBuild
from tests.virtual import Board, VirtualError

MOST_MEMORY = 90  # MiB that may be in use after a boot, with the notebook server idle
# What the first run of site.yml changes on a Pi that came up from the image: the password is the control node's then.
FIRST_RUN = {
    # No Pi has a clock that goes on while it is off, and where there is no Internet only the control node has the time.
    "system : Set the clock from the control node's",
    "jupyter : Write the passwords' hashes and the certificate",
    "jupyter : Start the server, now and at each boot",
}
PATIENCE = 20 * 60_000  # in Playwright's milliseconds


# What makes a Pi one of its own; a student can read all of it.
IDENTITY = "cat /etc/machine-id /etc/hostname /etc/ssh/ssh_host_ed25519_key.pub"


@pytest.fixture(scope="module")
def room(image_build: ImageBuild) -> Iterator[BoardRoom]:
    """A board with a fresh card, once its page is there."""
    board = Board(ROOT / "build/board-tests", address="127.77.91.1")
    board.down()
    board.insert(image_build.disk)
    print("The first boot to the page took", time_to_page(board))
    yield BoardRoom(board)
    board.down()


@pytest.fixture(scope="module")
def identity(room: BoardRoom) -> list[str]:
    """Machine id, name, host key and passwords of that card's Pi, as it made them."""
    return [*room.asked(IDENTITY).splitlines(), *passwords(room.board.facts())]


def passwords(facts: dict[str, str]) -> list[str]:
    """The two passwords that the Pi made for itself."""
    return [facts["password"], facts["account password"]]


def on_the_card(board: Board, name: str) -> bytes:
    """A file of the FAT partition, as far as it is there; nobody can log in yet to ask for it."""
    try:
        return board.card.read(name)
    except (FileNotFoundError, VirtualError):
        return b""


def test_it_comes_up_as_a_pi_of_its_own(room: BoardRoom, identity: list[str]) -> None:
    """It has the name that its serial number gives it, the whole card, swap in RAM, and no unit that failed."""
    name = f"mynn-{room.board.serial[-6:]}"
    assert identity[1] == room.asked("hostname").strip() == name
    assert room.board.facts()["name"] == name
    room.asked("systemctl is-system-running --wait || true", timeout=900)
    assert room.asked("systemctl list-units --failed --no-legend --plain") == ""
    size = int(room.asked("df --output=size --block-size=1M /").split()[1])
    assert size > 3500  # of a card of 4 GiB
    assert "/dev/zram0" in room.asked("cat /proc/swaps")


def test_the_server_leaves_room_for_programs(room: BoardRoom, record_property: Callable[[str, object], None]) -> None:
    used = memory(room)
    print(used)
    record_property("used_mib", used.used)
    assert used.used <= MOST_MEMORY


@pytest.mark.long
def test_the_lesson_runs_in_a_browser(room: BoardRoom) -> None:
    """With a tenth of the lesson's digits: the emulated board trains ten times as slowly as a Pi Zero."""
    with copied_lessons(room, [TURNING], {"examples": 300}) as folder, open_browser(PATIENCE) as browser:
        page = signed_in(browser, room)
        cells = run_all(page, url_of(room), f"{folder}/{TURNING}", PATIENCE)
        turned = cells.locator(".jp-RenderedImage img").last
        take_screenshot(page, room, "board", turned)
        assert cells.locator(".jp-RenderedImage img").count() >= 3


@pytest.mark.long
def test_image_and_playbook_agree(room: BoardRoom, record_property: Callable[[str, object], None]) -> None:
    """The first site.yml changes nothing but what is the control node's to choose; the second changes nothing."""
    use_apt_sources(room)
    first = room.playbook("site")
    assert first.returncode == 0, first.stdout[-3000:]
    changed = set()
    for task, said in re.findall(
        r"^(?:TASK|RUNNING HANDLER) \[(.*)\] \*+\n((?:(?!TASK|RUNNING).*\n)*)", first.stdout, re.M
    ):
        if re.search(r"^changed: ", said, re.M):
            changed.add(task)
    assert changed <= FIRST_RUN
    began = time.monotonic()
    second = room.playbook("site")
    print(f"A run that changes nothing took {time.monotonic() - began:.0f} s.")
    record_property("noop_seconds", time.monotonic() - began)
    assert second.returncode == 0
    assert recap(second.stdout)[room.host].changed == 0


@pytest.mark.long
def test_verify_finds_nothing_wrong(room: BoardRoom) -> None:
    assert room.playbook("verify", timeout=3600).returncode == 0


@pytest.mark.long
def test_a_power_cut_while_a_notebook_is_saved_loses_nothing(room: BoardRoom) -> None:
    """It comes back by itself, with what was acknowledged, and site.yml converges. `make power-cuts` does twenty."""
    student = Student(room)
    cut(room, room.board.card.path, student, "saving", 7.5)
    outcome = come_back(room, student)
    print(outcome)
    assert outcome.faults == []


@pytest.mark.long
def test_a_second_card_shares_nothing_and_comes_up_on_defaults(image_build: ImageBuild, identity: list[str]) -> None:
    """Its classroom.yml has a mistake, and its first boot is cut off just when it has found its passwords."""
    board = Board(ROOT / "build/board-second", address="127.77.92.1")
    board.down()
    try:
        board.insert(image_build.disk, "hostname: Pi 07")
        board.switch_on()
        deadline = time.monotonic() + 600
        while not on_the_card(board, "this-pi.txt"):
            assert time.monotonic() < deadline, "It writes no this-pi.txt."
            time.sleep(0.2)
        board.kill()
        board.switch_on()
        server = wait_for_page(BoardRoom(board))
        assert "hostname: a name cannot have spaces" in board.card.read("classroom-error.txt").decode()
        # Nobody is let in who could ask for it, and what lies on the card is looked at while it is written.
        while "name" not in (facts := board.facts()):
            assert time.monotonic() < deadline, "It has no this-pi.txt after its second boot."
            time.sleep(1)
        assert facts["name"] == f"mynn-{board.serial[-6:]}"
        assert server.sign_in(facts["password"])
        with server.kernel() as kernel:
            said = kernel.run(f"import subprocess; print(subprocess.getoutput({IDENTITY!r}))")
        other = [*said.text.splitlines(), *passwords(facts)]
        assert len(other) == len(identity) == 5, said
        assert not [one for one, another in zip(identity, other, strict=True) if one == another]
    finally:
        board.down()
