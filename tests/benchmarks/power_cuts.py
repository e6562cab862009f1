"""Record what a board writes to its card, and check what power cuts would leave on it.

    python -m tests.benchmarks.power_cuts [--cuts 1000] [--boots 50] [--seed 2016] [--image IMAGE]

There are two recordings: one of a first boot, twenty saves of a notebook, and a training; and one of a later boot, a
site.yml that changes the passwords, and apt. Each is cut at 1,000 moments, and its card is checked here (see
tests/support/power_cut.py), which takes minutes. ``--boots`` boots so many of the cards as well, minutes each. Without
any manual repair,

- the login page must appear, and the last version of the notebook that was acknowledged must be there;
- site.yml must succeed, after a cut of that or of apt;
- after a clean shutdown, e2fsck must find no errors on the card.

The board and the recordings stay in build/board-cuts.
"""

import argparse
import random
import shutil
import sys
from dataclasses import replace
from pathlib import Path

from mynn_control.card_image import newest_image
from tests.benchmarks.board_measure import wait_for_page
from tests.benchmarks.site import say
from tests.support.classroom import ROOT, BoardClassroom, use_apt_sources
from tests.support.power_cut import SAVED, TRAIN, Recording, check_all, table, version_of
from tests.virtual import Board
from tests.virtual.writes import Cut, Replay

# Reinstall packages: they are unpacked and configured, as in an upgrade.
PACKAGES = ["python3-numpy", "python3-pil", "tzdata", "sudo"]
APT = f"sudo apt-get update; sudo DEBIAN_FRONTEND=noninteractive apt-get --yes --reinstall install {' '.join(PACKAGES)}"


def boot(board: Board) -> BoardClassroom:
    """Switch the board on, wait for the login page, and sign in."""
    classroom = BoardClassroom(board)
    board.switch_on()
    wait_for_page(classroom)
    board.start()
    return classroom


def first_day(board: Board) -> Recording:
    """Record a first boot, saves and trainings. The board stays on."""
    classroom, recording = boot(board), Recording.of(board, "first boot")
    recording.save(classroom, 20)
    recording.begin("training")
    for _ in range(2):
        classroom.output_of(TRAIN)
    return recording


def later_day(board: Board, saved: int) -> Recording:
    """Record a later boot, a site.yml and apt, after so many saves of the notebook. The board stays on."""
    classroom, recording = boot(board), Recording.of(board, "later boot")
    recording.saved = [0] * saved
    use_apt_sources(classroom)
    recording.begin("site.yml")
    classroom.run("site", "-e", "jupyter_new_passwords=true")
    recording.begin("apt")
    said = classroom.output_of(APT, timeout=3600)
    assert f" {len(PACKAGES)} reinstalled" in said, f"apt reinstalled nothing: {said}"
    return recording


def keep(board: Board, recording: Recording, name: str) -> Recording:
    """Shut the board down, and move its recording to a folder, as its next start begins another."""
    board.stop()
    folder = board.folder / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    before, writes = (path.rename(folder / path.name) for path in (recording.before, recording.writes))
    return replace(recording, before=before, writes=writes)


def come_back(board: Board, recording: Recording, cut: Cut) -> list[str]:
    """Boot a card after a cut, and return what is wrong."""
    log, replay = recording.log, Replay(recording.log, recording.before, {0: board.card.path})
    with replay.at(cut):
        board.state.known_hosts.unlink(missing_ok=True)  # the first boot may make its key again
        classroom = boot(board)
        faults = [line for line in classroom.output_of("sudo dmesg").splitlines() if "EXT4-fs error" in line]
        saved = sum(log.written(size) <= cut.written for size in recording.saved)
        if saved and version_of(classroom.output_of(f"sudo cat {SAVED}").encode()) < saved:
            faults.append(f"version {saved} of the notebook is lost")
        if "apt" in recording.activities:
            use_apt_sources(classroom)
            if classroom.playbook("site").returncode:
                faults.append("site.yml failed")
        board.stop()
        faults += filter(None, [board.card.faults()])
    replay.close()
    return faults


def main() -> None:
    """Run the benchmark, and print its tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cuts", type=int, default=1000, help="cuts of each recording (default: %(default)s)")
    parser.add_argument("--boots", type=int, default=0, help="how many of them to boot (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=2016, help="random seed (default: %(default)s)")
    parser.add_argument("--image", type=Path, default=None, help="the image to boot (default: the newest in dist)")
    options = parser.parse_args()
    board = Board(ROOT / "build/board-cuts", address="127.77.90.3", records=True)
    board.down()
    board.insert(options.image or newest_image(f"{ROOT}/dist/*.img.xz", "", {}))
    first = keep(board, first_day(board), "first-day")
    recordings = [first, keep(board, later_day(board, len(first.saved)), "later-day")]
    tried, failed = [], False
    for recording in recordings:
        outcomes = check_all(recording, recording.log.cuts(options.cuts, options.seed))
        say(table(recording, outcomes))
        failed |= any(faults for _, faults in outcomes)
        tried += [(recording, cut) for cut, _ in outcomes]
    for recording, cut in random.Random(options.seed).sample(tried, options.boots):
        faults = come_back(board, recording, cut)
        say(f"{cut}: {faults}")
        failed |= bool(faults)
    if failed:
        sys.exit("Some of these cuts did harm.")
    board.down()


if __name__ == "__main__":
    main()
