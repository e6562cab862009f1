"""Cut a board's power at random moments, and check that it recovers by itself and keeps what a student saved.

    python -m tests.benchmarks.power_cuts [--count 20] [--seed 2016] [--image IMAGE]

The moments are drawn from typical activities: the first boot, a training, saving a notebook, site.yml, and apt. After
each cut, the board is switched on again. Without any manual repair,

- the login page must appear, and SSH must have the same host key;
- every version of the notebook that the server acknowledged as saved must be there, undamaged;
- site.yml must succeed, and its next run must change nothing;
- after a clean shutdown, e2fsck must find no errors on the card.

See tests/virtual/board.py for what a power cut means here. 20 cuts take hours. The first that does harm ends the
benchmark, and its card stays in build/board-cuts.
"""

import argparse
import random
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
import requests

from mynn_control.card_image import newest_image
from tests.benchmarks.board_measure import time_to_page
from tests.benchmarks.site import say
from tests.provisioned.notebook_server import NotebookServer
from tests.support.browser import url_of
from tests.support.classroom import ROOT, BoardClassroom, changed_tasks, use_apt_sources
from tests.support.playbook_run import PlaybookRun
from tests.virtual import Board
from tests.virtual.pi import ssh_command

# The activities, and the seconds of each from which the moment is drawn.
WINDOWS = {"first boot": 120.0, "training": 60.0, "saving": 30.0, "site.yml": 45.0, "apt": 90.0}
NOTEBOOK = "cut-off.ipynb"
TRAIN = "sudo -H -u student sh -c '/opt/mynn/venv/bin/mynn train --epochs 5 --save ~/cut-off.npz'"
# Reinstall packages: they are unpacked and configured, as in an upgrade.
APT = "sudo DEBIAN_FRONTEND=noninteractive apt-get --yes --reinstall install python3-numpy python3-pil tzdata sudo"


@dataclass
class Outcome:
    """The outcome of a cut: the seconds to the notebook page, what site.yml changed, and what went wrong."""

    to_page: float
    changed: int = 0
    faults: list[str] = field(default_factory=list)


def notebook(version: int) -> dict[str, object]:
    """Return a notebook of 200 kB, as large as one with pictures, with its version in every line."""
    source = f"version {version}\n" * 220
    cells = [{"cell_type": "markdown", "id": f"cell-{n}", "metadata": {}, "source": source} for n in range(70)]
    return {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}


class Student:
    """A student who keeps saving new versions of a notebook: the last one acknowledged, and the last one sent."""

    def __init__(self, classroom: BoardClassroom) -> None:
        self.classroom, self.acknowledged, self.sent = classroom, 0, 0

    def sign_in(self) -> NotebookServer:
        """Sign in, which is needed after each boot."""
        server = NotebookServer(url_of(self.classroom))
        assert server.sign_in(self.classroom.password), "The password was refused."
        return server

    def save(self, server: NotebookServer) -> bool:
        """Save the next version as a browser does, and return whether the server acknowledged it."""
        self.sent += 1
        body = {"type": "notebook", "format": "json", "content": notebook(self.sent)}
        with suppress(requests.RequestException):
            if server.ask("PUT", f"/api/contents/{NOTEBOOK}", json=body).ok:
                self.acknowledged = self.sent
                return True
        return False

    @contextmanager
    def saving(self) -> Iterator[None]:
        """Keep saving as fast as the server accepts it, until it fails."""
        server = self.sign_in()

        def go() -> None:
            while self.save(server):
                pass

        saver = threading.Thread(target=go)
        saver.start()
        try:
            yield
        finally:
            saver.join()

    def fault(self) -> str:
        """Return what is wrong with the saved notebook; empty if it is complete and no older than acknowledged."""
        text = self.classroom.ssh(f"sudo cat /home/student/notebooks/{NOTEBOOK}").stdout
        with suppress(ValueError, KeyError, IndexError):
            # In the file, a cell's source is a list of lines.
            content = nbformat.reads(text, as_version=4)  # type: ignore[no-untyped-call]
            version = int(content["cells"][0]["source"].split()[1])
            if content == notebook(version) and version >= self.acknowledged:
                return ""
        saved = f"{self.acknowledged} of {self.sent} versions were acknowledged"
        return f"the notebook is damaged or too old ({saved}): {len(text)} characters, {text[:400]}"


@contextmanager
def running(command: list[str]) -> Iterator[None]:
    """Run a command in the background, and kill it afterwards."""
    run = PlaybookRun(command, ROOT)
    try:
        yield
    finally:
        run.kill()


def activity(classroom: BoardClassroom, student: Student, kind: str) -> AbstractContextManager[None]:
    """Return the activity during which the board's power is cut."""
    if kind == "saving":
        return student.saving()
    if kind == "site.yml":
        return running(classroom.command("site"))
    return running(ssh_command(classroom.board.state, classroom.address, TRAIN if kind == "training" else APT))


def cut(classroom: BoardClassroom, image: Path, student: Student, kind: str, moment: float) -> None:
    """Start an activity, and cut the board's power after ``moment`` seconds."""
    board = classroom.board
    if kind == "first boot":
        board.down()
        board.insert(image)
        board.switch_on()
        time.sleep(moment)
        board.kill()
        student.acknowledged = student.sent = 0
        return
    assert student.save(student.sign_in()), "The notebook could not be saved."
    with activity(classroom, student, kind):
        time.sleep(moment)
        board.kill()


def come_back(classroom: BoardClassroom, student: Student) -> Outcome:
    """Switch the board on after a cut, run all checks, and shut it down."""
    outcome = Outcome(to_page=time_to_page(classroom.board).host)
    kernel_log = classroom.output_of("sudo dmesg").splitlines()
    outcome.faults += [line for line in kernel_log if "EXT4-fs error" in line or "EXT4-fs warning" in line]
    if student.acknowledged:
        outcome.faults += filter(None, [student.fault()])
    use_apt_sources(classroom)
    outcome.changed = classroom.changes("site")[classroom.host]
    # A busy board's clock is slow.
    if again := changed_tasks(classroom.run("site")) - {"system : Set the clock from the control node's"}:
        outcome.faults.append(f"the second site.yml changed {again}")
    classroom.board.stop()
    outcome.faults += filter(None, [classroom.board.card.faults()])
    return outcome


def cuts(count: int, seed: int) -> Iterator[tuple[str, float]]:
    """Draw the cuts: each activity in turn, and a random moment in it."""
    draw, kinds = random.Random(seed), list(WINDOWS)
    for number in range(count):
        kind = kinds[number % len(kinds)]
        yield kind, round(draw.uniform(1, WINDOWS[kind]), 1)


def main() -> None:
    """Run the benchmark, and print a line for each cut."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20, help="how many cuts (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=2016, help="random seed (default: %(default)s)")
    parser.add_argument("--image", type=Path, default=None, help="the image to boot (default: the newest in dist)")
    options = parser.parse_args()
    image = options.image or newest_image(f"{ROOT}/dist/*.img.xz", "", {})
    board = Board(ROOT / "build/board-cuts", address="127.77.90.3")
    classroom = BoardClassroom(board)
    student = Student(classroom)
    board.down()
    for number, (kind, moment) in enumerate(cuts(options.count, options.seed), start=1):
        if kind != "first boot":
            board.insert(image)
            time_to_page(board)
            use_apt_sources(classroom)
        cut(classroom, image, student, kind, moment)
        outcome = come_back(classroom, student)
        say(f"{number}: {kind}, after {moment} s: {outcome}")
        if outcome.faults:
            sys.exit("This cut did harm.")
    board.down()


if __name__ == "__main__":
    main()
