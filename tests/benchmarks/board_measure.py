"""What can be measured of a board: how long it takes to a page, its memory, and what it writes to its card."""

from __future__ import annotations

import json
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import requests

from tests.provisioned.notebook_server import NotebookServer
from tests.support.browser import url_of
from tests.support.classroom import BoardClassroom
from tests.unit.lessons.lesson_run import PROBE
from tests.virtual import Board
from tests.virtual.pi import ssh_command

MIB = 1024.0  # meminfo counts in KiB


def wait_for_page(classroom: BoardClassroom, patience: float = 900) -> NotebookServer:
    """Return a stranger's view of the notebook server once its page for signing in is there.

    A new try begins every two seconds, beside those that still wait: QEMU's network takes a connection before the board
    is in it, and then knocks there ever more seldom, so that a try from before tells up to twenty seconds too late.
    """
    server, deadline, there = NotebookServer(url_of(classroom)), time.monotonic() + patience, threading.Event()

    def ask() -> None:
        with suppress(requests.RequestException):
            if requests.get(f"{server.url}/login", timeout=20).status_code == 200:
                there.set()

    while not there.is_set():
        assert time.monotonic() < deadline, f"There is no page at {server.url} within {patience:.0f} s."
        threading.Thread(target=ask, daemon=True).start()
        there.wait(2)
    return server


@dataclass(frozen=True)
class BootTime:
    """How long it takes from power to a page: seconds of the host's clock, and of the board's since its kernel runs."""

    wall: float
    guest: float


def time_to_page(board: Board, *, icount: bool = False) -> BootTime:
    """Switch a board on that is off, and wait for the page. Nobody logs in before, which would slow it down."""
    classroom, began = BoardClassroom(board), time.monotonic()
    board.switch_on(icount=icount)
    server = wait_for_page(classroom)
    wall = time.monotonic() - began
    # The server writes a line for each request that it sends elsewhere; when that was by the board's clock, the journal
    # knows.
    server.ask("GET", "/?mark")
    board.start(icount=icount)
    line = classroom.output_of(
        "sudo journalctl --unit=jupyter --output=short-monotonic --grep='302 GET /.mark' --lines=1"
    )
    moment = re.search(r"^\[ *([0-9.]+)\]", line, re.M)
    assert moment, f"The notebook server's log does not say when the page was asked for: {line}"
    return BootTime(wall, float(moment[1]))


@dataclass(frozen=True)
class Memory:
    """The board's memory in MiB.

    ``used`` is what programs and kernel could not give back at once, MemTotal - MemAvailable, which is also what
    `free` calls used. ``taken`` is what older versions of `free` called so: all but free memory, buffers and caches.
    """

    total: float
    used: float
    taken: float
    swapped: float


def memory(classroom: BoardClassroom) -> Memory:
    """The board's memory now."""
    return memory_of(classroom.output_of("cat /proc/meminfo"))


def memory_of(meminfo: str) -> Memory:
    """What /proc/meminfo says."""
    kib = {name: int(value) for name, value in re.findall(r"^(\w+): +(\d+) kB", meminfo, re.M)}
    free = kib["MemFree"] + kib["Buffers"] + kib["Cached"] + kib["SReclaimable"]
    return Memory(
        total=kib["MemTotal"] / MIB,
        used=(kib["MemTotal"] - kib["MemAvailable"]) / MIB,
        taken=(kib["MemTotal"] - free) / MIB,
        swapped=(kib["SwapTotal"] - kib["SwapFree"]) / MIB,
    )


def settle(classroom: BoardClassroom, seconds: float = 60) -> None:
    """Wait until the boot is over, and then so long that what it left behind is too."""
    classroom.output_of("systemctl is-system-running --wait || true", timeout=900)
    time.sleep(seconds)


def written(classroom: BoardClassroom) -> int:
    """How many bytes the card was given to write since the boot."""
    return int(classroom.output_of("cat /sys/block/mmcblk0/stat").split()[6]) * 512


def written_in_an_hour(classroom: BoardClassroom, minutes: float) -> float:
    """How many bytes an idle board would write in an hour, from so many minutes of watching it."""
    before = written(classroom)
    time.sleep(minutes * 60)
    return (written(classroom) - before) * 60 / minutes


@dataclass
class Watched:
    """The most memory and swap that were in use, in MiB, and how much went out to swap, while somebody watched."""

    used: float = 0
    swapped: float = 0
    swapped_out: float = 0


@contextmanager
def watched_memory(classroom: BoardClassroom, seconds: int = 5) -> Iterator[Watched]:
    """Look at the board's memory every few seconds meanwhile."""
    pages = "awk '/^pswpout/ {print $2}' /proc/vmstat"
    before, result = int(classroom.output_of(pages)), Watched()
    look = f"while :; do cat /proc/meminfo; echo; sleep {seconds}; done"
    with subprocess.Popen(
        ssh_command(classroom.board.state, classroom.address, look), stdout=subprocess.PIPE, text=True
    ) as watching:
        try:
            yield result
        finally:
            watching.terminate()
            said = watching.communicate()[0]
    seen = [memory_of(block) for block in said.split("\n\n") if "Hugepagesize" in block or "SwapFree" in block]
    result.used = max((one.used for one in seen), default=0)
    result.swapped = max((one.swapped for one in seen), default=0)
    result.swapped_out = (int(classroom.output_of(pages)) - before) * 4 / MIB


def promise(first_cell: str) -> str:
    """What a lesson's first cell says that it takes a Pi Zero, such as "five minutes"."""
    said = re.search(r"On a Raspberry Pi Zero allow\s+([^.,:(]*)", first_cell)
    assert said, f"It does not say how long it takes a Pi Zero: {first_cell}"
    return " ".join(said[1].split())


@dataclass(frozen=True)
class Played:
    """A lesson that was run: seconds from asking for its kernel to its end, the kernel's peak in MiB, the promise."""

    seconds: float
    peak: float
    promise: str


def play_lesson(classroom: BoardClassroom, name: str, patience: float = 7200) -> Played:
    """Run all cells of a lesson where it lies, without a browser."""
    server = NotebookServer(url_of(classroom))
    assert server.sign_in(classroom.password), "The password is refused."
    cells = server.get(f"/api/contents/{name}")["content"]["cells"]
    began = time.monotonic()
    with server.kernel() as kernel:
        for cell in cells:
            if cell["cell_type"] == "code":
                output = kernel.run(cell["source"], patience)
                assert not output.error, f"{name}: {output.error}"
        seconds = time.monotonic() - began
        peak = json.loads(kernel.run(PROBE.replace("VALUES", "")).text)["peak"]
    return Played(seconds, peak, promise(cells[0]["source"]))
