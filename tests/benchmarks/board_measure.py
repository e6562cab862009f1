"""Measure a board: its boot time, its memory, what it writes to its card, and lessons."""

import re
import shlex
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import requests

from tests.provisioned.notebook_server import NotebookServer
from tests.support.browser import signed_in_server, url_of
from tests.support.classroom import BoardClassroom
from tests.support.lesson_claims import PEAK
from tests.virtual import Board
from tests.virtual.pi import ssh_command

PATIENCE = 900  # seconds for a boot


def first_answer(url: str, statuses: set[int], every: float = 2, **headers: str) -> float:
    """Wait for an answer with one of these statuses, and return when it came, by time.monotonic().

    A new request starts every so many seconds, in parallel with pending ones: QEMU accepts connections before the board
    is on the network and retries at growing intervals, so an early request may be answered up to 20 seconds late.
    """
    deadline, there, answered = time.monotonic() + PATIENCE, threading.Event(), []

    def ask() -> None:
        with suppress(requests.RequestException):
            if requests.get(url, headers=headers, timeout=20).status_code in statuses:
                answered.append(time.monotonic())
                there.set()

    while not there.is_set():
        assert time.monotonic() < deadline, f"There was no page at {url} within {PATIENCE} s."
        threading.Thread(target=ask, daemon=True).start()
        there.wait(every)
    return min(answered)


def wait_for_page(classroom: BoardClassroom) -> NotebookServer:
    """Wait for the login page, and return the notebook server, not signed in."""
    server = NotebookServer(url_of(classroom))
    first_answer(f"{server.url}/login", {200})
    return server


@dataclass(frozen=True)
class BootTime:
    """Seconds of a boot: by the board's clock to the first page, which says that it is starting, and to the login page.

    The board's begin with its kernel; ``host`` are this computer's from power-on to the login page.
    """

    starting: float
    page: float
    host: float


def time_to_page(board: Board) -> BootTime:
    """Switch a board on, and wait for its pages. There is no login before, which would slow the boot down."""
    classroom, began = BoardClassroom(board), time.monotonic()
    board.switch_on()
    server = NotebookServer(url_of(classroom))
    # Not as a browser: that would also make the server get ready for a kernel. Rarely: the board answers them all.
    first_answer(f"{server.url}/try/", {200}, every=5)
    server.ask("GET", "/login", timeout=PATIENCE).raise_for_status()  # it waits until the server has started
    host = time.monotonic() - began
    server.ask("GET", "/?mark")
    board.start()
    # The server logs the first request while it starts, and each redirected one; the journal has the board's time.
    page = logged_at(classroom, "302 GET /.mark")
    return BootTime(logged_at(classroom, "The first request has come") or page, page, host)


def logged_at(classroom: BoardClassroom, said: str) -> float:
    """Return when the notebook server first logged something, in seconds since the start of the kernel; 0 if never."""
    words = f"sudo journalctl --boot --unit=jupyter --output=short-monotonic --grep={shlex.quote(said)} --lines=+1"
    moment = re.search(r"^\[ *([0-9.]+)\]", classroom.output_of(f"{words} || true"), re.M)
    return float(moment[1]) if moment else 0.0


@contextmanager
def clock_of(classroom: BoardClassroom) -> Iterator[Callable[[], float]]:
    """Give a function that reads the board's clock: the seconds since its start. It costs the board milliseconds."""
    command = ssh_command(classroom.board.state, classroom.address, "while read -r _; do cat /proc/uptime; done")
    command.remove("-n")  # it would close what the loop reads
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as reading:
        asked, answered = reading.stdin, reading.stdout
        assert asked and answered

        def now() -> float:
            asked.write("\n")
            return float(answered.readline().split()[0])

        now()  # once it has signed in
        yield now
        asked.close()


def memory_used(classroom: BoardClassroom) -> float:
    """Return the board's MemTotal - MemAvailable in MiB, as in the column "used" of `free`."""
    meminfo = classroom.output_of("cat /proc/meminfo")
    kib = {name: int(value) for name, value in re.findall(r"^(\w+): +(\d+) kB", meminfo, re.M)}
    return (kib["MemTotal"] - kib["MemAvailable"]) / 1024


def written(classroom: BoardClassroom) -> int:
    """Return the bytes written to the card since the boot."""
    return int(classroom.output_of("cat /sys/block/mmcblk0/stat").split()[6]) * 512


def run_lesson(classroom: BoardClassroom, name: str, now: Callable[[], float]) -> tuple[float, float]:
    """Run all cells of a lesson in the student's folder, without a browser, from the start of its kernel.

    Returns its minutes and the kernel's peak in MiB.
    """
    server = signed_in_server(classroom)
    cells = server.get(f"/api/contents/{name}")["content"]["cells"]
    began = now()
    with server.kernel() as kernel:
        for cell in cells:
            if cell["cell_type"] == "code":
                output = kernel.run(cell["source"], 7200)
                assert not output.error, f"{name}: {output.error}"
        minutes = (now() - began) / 60
        peak = float(kernel.run(PEAK).text)
    return minutes, peak
