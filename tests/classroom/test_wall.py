"""`make wall`: what students show on real Pis is on the projector's page, and off it at once."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import expect

from tests.support.browser import open_browser
from tests.support.classroom import Classroom
from tests.support.live_page import LOAD, kept
from tests.support.playbook_run import descendants

FOLDER = "/home/student/notebooks"
SHOW = """
from mynn import NeuralNetwork, read_csv, wall
digits = read_csv("/srv/mynn/mnist/mnist_test.csv", 10)
wall.show(name="{name}", score=0.953, backquery=NeuralNetwork(784, 20, 10, 0.1, seed=1), digits=digits)
"""
TAKE_DOWN = "from mynn import wall; wall.take_down()"
BEGIN = 60  # seconds until the first answers are there
FOLLOW = 15  # seconds until what a student does is seen


@dataclass
class Screen:
    """The wall while it is on."""

    url: str
    page: Path
    process: subprocess.Popen[str]

    def names(self) -> list[str]:
        """Return whose cards are on it."""
        return re.findall(r"<h2><bdi>(.*?)</bdi>", self.page.read_text(encoding="utf-8"))

    def seconds_until(self, done: Callable[[], bool], patience: float) -> float:
        """Return how long it takes until something is so."""
        began = time.monotonic()
        while not done():
            assert time.monotonic() - began < patience, self.names()
            time.sleep(0.1)
        return time.monotonic() - began


@contextmanager
def turned_on(classroom: Classroom, folder: Path) -> Iterator[Screen]:
    """The wall, until Ctrl-C."""
    with kept(classroom, "wall", folder) as (url, process):
        yield Screen(url, folder / "index.html", process)


def student(classroom: Classroom, script: str, name: str = "pi-01") -> None:
    """Run Python as the student does in a notebook."""
    python = f'/opt/mynn/venv/bin/python -c "exec(bytes.fromhex(\\"{script.encode().hex()}\\"))"'
    done = classroom.fleet.ssh(name, f"sudo -u student sh -c 'cd {FOLDER} && {python}'")
    assert done.returncode == 0, done.stderr


def test_a_student_is_on_the_wall_and_off_it(classroom: Classroom, tmp_path: Path) -> None:
    with turned_on(classroom, tmp_path / "wall") as screen, open_browser() as browser:
        page = browser.pages[0]
        page.goto(screen.url)
        expect(page.locator("h1")).to_have_text("The wall is empty")
        expect(page.locator("footer")).to_contain_text("1 of 1 Pis answer")
        student(classroom, SHOW.format(name="Ada"))
        expect(page.locator("article h2")).to_have_text(re.compile("Ada *95.3"), timeout=FOLLOW * 1000)
        expect(page.locator("article img")).to_have_count(20)
        expect(page.locator(".tiles img")).to_have_count(10)
        student(classroom, TAKE_DOWN)
        expect(page.locator("article")).to_have_count(0, timeout=FOLLOW * 1000)
        # A link to what only root can read: nothing of it leaves the Pi.
        student(classroom, "import os; os.symlink('/etc/shadow', 'on_the_wall.json')")
        time.sleep(5)
        expect(page.locator("h1")).to_have_text("The wall is empty")
        student(classroom, "import os; os.unlink('on_the_wall.json')")
        student(classroom, SHOW.format(name="Bo"))
        page.get_by_role("button", name="Take Bo off the wall").click()
        expect(page.locator("article")).to_have_count(0)
    student(classroom, TAKE_DOWN)
    # What ran on the Pi has ended, too.
    deadline = time.monotonic() + 30
    while classroom.ssh("pgrep -f '[p]ython3.mitogen'").returncode == 0:
        assert time.monotonic() < deadline
        time.sleep(1)


def test_ten_pis_of_which_one_is_off(ten: Classroom, tmp_path: Path) -> None:
    """It holds up no other, and is there once it is on; and one that falls silent keeps its card."""
    names = [f"pi-{number:02}" for number in range(1, 11)]
    words = ["Ada", "Bo", "Cleo", "Dina", "Emil", "Finn", "Grace", "Hugo", "Ivy", "Juno"]
    with ThreadPoolExecutor(10) as pool:
        list(pool.map(lambda number: student(ten, SHOW.format(name=words[number]), names[number]), range(10)))
    figures: dict[str, object] = {}
    try:
        ten.fleet.stop("pi-10")
        with turned_on(ten, tmp_path / "wall") as screen:
            figures["s until nine Pis' cards"] = screen.seconds_until(lambda: len(screen.names()) == 9, BEGIN)
            ten.fleet.start("pi-10")
            figures["s from its start until the tenth"] = screen.seconds_until(lambda: "Juno" in screen.names(), BEGIN)
            before = loads(ten, screen)
            time.sleep(60)
            after = loads(ten, screen)
            figures["control node, s of processor time a minute"] = after[0] - before[0]
            figures["control node, MiB"] = after[1]
            figures["a Pi, processes"] = after[2][0]
            figures["a Pi, s of processor time a minute"] = (after[2][1] - before[2][1]) / 100
            figures["a Pi, MiB"] = after[2][2] / 1024
            ten.fleet.freeze("pi-04")
            student(ten, TAKE_DOWN, "pi-05")
            figures["s until one is off, beside a silent Pi"] = screen.seconds_until(
                lambda: "Emil" not in screen.names(), FOLLOW
            )
            student(ten, SHOW.format(name="Emil"), "pi-05")
            figures["s until one is on, beside a silent Pi"] = screen.seconds_until(
                lambda: "Emil" in screen.names(), FOLLOW
            )
            figures["s until a silent Pi is named"] = screen.seconds_until(
                lambda: "9 of 10 Pis answer" in screen.page.read_text(encoding="utf-8"), 120
            )
            assert len(screen.names()) == 10
    finally:
        print(*(f"{name}: {figure}" for name, figure in figures.items()), sep="\n")
        ten.fleet.up(10)
        for name in names:
            ten.fleet.ssh(name, f"sudo rm -f {FOLDER}/on_the_wall.json")


def loads(ten: Classroom, screen: Screen) -> tuple[float, float, list[int]]:
    """Return the control node's processor time in seconds and memory in MiB, and what LOAD says of a Pi."""
    seconds, kib = 0.0, 0
    for process in descendants(screen.process.pid):
        fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        seconds += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        rollup = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="utf-8")
        kib += int(re.findall(r"^Pss: +(\d+)", rollup, re.M)[0])
    on_pi = [int(word) for word in ten.fleet.ssh("pi-02", LOAD).stdout.split()]
    return seconds, kib / 1024, on_pi
