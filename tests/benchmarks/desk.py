"""How soon the desk's tab Class follows a class of virtual Pis, and what that costs the teacher's computer.

    python -m tests.benchmarks.desk [--pis 30] [--times 10]

The Pis are copies of one that site.yml has set up. Each has a lesson open. Then a program is ended on one Pi after the
other, and started again: the time is that from the server's answer until the card in Chromium has changed. What the
desk costs is the processor time and the memory (PSS) of its processes, at rest and meanwhile; each of them, and of an
idle Pi, is a share of one processor.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psutil
from playwright.sync_api import Locator, expect

from tests.provisioned.notebook_server import NotebookServer
from tests.support.browser import MINUTES, open_browser
from tests.support.classroom import ROOT, Classroom
from tests.support.desk import open_desk, processor_shares
from tests.support.playbook_run import descendants
from tests.support.pupil import FIRST
from tests.virtual import Fleet

REST = 60  # seconds


def class_of(count: int, one: Fleet, many: Fleet) -> Classroom:
    """Return copies of one Pi that site.yml has set up."""
    one.up(1)
    Classroom(one).run("site")
    one.container("pi-01").stop()
    many.up(count, base=one.container("pi-01").save())
    return Classroom(many)


def cost(desk: int) -> tuple[float, float]:
    """Return the processor time, in seconds, and the memory, in MiB, of the desk's processes."""
    seconds, pss = 0.0, 0
    for pid in descendants(desk):
        with suppress(psutil.Error):  # it has just ended
            process = psutil.Process(pid)
            used = process.cpu_times()
            seconds += used.user + used.system
            pss += process.memory_full_info().pss
    return seconds, pss / 2**20


def start(server: NotebookServer) -> str:
    """Open the first lesson's program, and return its session."""
    return str(server.open_notebook(f"{FIRST}.ipynb")["id"])


def measure(classroom: Classroom, times: int) -> None:
    """Print the figures."""
    servers = {pi.name: NotebookServer(f"http://{pi.address}:8888") for pi in classroom.fleet.members}
    sessions = {}
    for name, server in servers.items():
        assert server.sign_in(classroom.password), f"{name} has another password."
        sessions[name] = start(server)
    with (
        tempfile.TemporaryDirectory() as folder,
        open_browser(2 * MINUTES) as browser,
        open_desk(classroom.inventory, Path(folder) / "desk") as (url, desk),
    ):
        page = browser.pages[0]
        began = time.monotonic()
        page.goto(url)
        expect(page.locator("article", has_text="Lesson 1")).to_have_count(len(servers), timeout=10 * MINUTES)
        print(f"all {len(servers)} Pis are shown after {time.monotonic() - began:.1f} s", flush=True)
        time.sleep(REST)
        before = cost(desk.pid)
        own, served = processor_shares(classroom, REST)
        after = cost(desk.pid)
        print(f"at rest: {(after[0] - before[0]) / REST:.1%} of a processor, {after[1]:.0f} MiB; of a Pi:", end=" ")
        print(f"{own:.2%} for being asked, {served:.2%} for its server", flush=True)
        waits = []
        before, began = cost(desk.pid), time.monotonic()
        for name in [*servers][:times]:
            card = page.locator("article").filter(has_text=name)
            servers[name].delete(f"/api/sessions/{sessions[name]}")
            waits.append(seconds_until(card, "Nothing open"))
            start(servers[name])
            waits.append(seconds_until(card, "Lesson 1"))
        shares = (cost(desk.pid)[0] - before[0]) / (time.monotonic() - began)
        print(f"{len(waits)} changes are shown after {statistics.median(waits):.2f} s in the median,", end=" ")
        print(f"{max(waits):.2f} s at most; {shares:.1%} of a processor meanwhile", flush=True)


def seconds_until(card: Locator, words: str) -> float:
    """Return how many seconds passed until a card had these words."""
    began = time.monotonic()
    expect(card).to_contain_text(words)
    return time.monotonic() - began


def main() -> None:
    """Make the class, measure, and remove it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pis", type=int, default=30, help="how many (%(default)s)")
    parser.add_argument("--times", type=int, default=10, help="how many of them change (%(default)s)")
    options = parser.parse_args()
    one, many = (Fleet(ROOT / f"build/virtual-desk-{name}") for name in ("one", "many"))
    try:
        measure(class_of(options.pis, one, many), options.times)
    finally:
        many.down()
        one.down()


if __name__ == "__main__":
    main()
