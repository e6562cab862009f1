"""Measure a board: its boot time, its memory, what it writes to its card, and lessons."""

import re
import threading
import time
from contextlib import suppress
from dataclasses import dataclass

import requests

from tests.provisioned.notebook_server import NotebookServer
from tests.support.browser import url_of
from tests.support.classroom import BoardClassroom
from tests.support.lesson_claims import PEAK
from tests.virtual import Board

PATIENCE = 900  # seconds for a boot


def first_answer(url: str, statuses: set[int], **headers: str) -> float:
    """Wait for an answer with one of these statuses, and return when it came, by time.monotonic().

    A new request starts every two seconds, in parallel with pending ones: QEMU accepts connections before the board is
    on the network and retries at growing intervals, so an early request may be answered up to 20 seconds late.
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
        there.wait(2)
    return min(answered)


def wait_for_page(classroom: BoardClassroom) -> NotebookServer:
    """Wait for the login page, and return the notebook server, not signed in."""
    server = NotebookServer(url_of(classroom))
    first_answer(f"{server.url}/login", {200})
    return server


@dataclass(frozen=True)
class BootTime:
    """Seconds to the notebook page: by the host's clock from power-on, by the board's from the start of its kernel."""

    wall: float
    guest: float


def time_to_page(board: Board) -> BootTime:
    """Switch a board on, and wait for the page. There is no login before, which would slow the boot down."""
    classroom, began = BoardClassroom(board), time.monotonic()
    board.switch_on()
    server = wait_for_page(classroom)
    wall = time.monotonic() - began
    # The server logs each redirected request, and the journal has its time by the board's clock.
    server.ask("GET", "/?mark")
    board.start()
    line = classroom.output_of(
        "sudo journalctl --unit=jupyter --output=short-monotonic --grep='302 GET /.mark' --lines=1"
    )
    moment = re.search(r"^\[ *([0-9.]+)\]", line, re.M)
    assert moment, f"The time of the request is not in the notebook server's log: {line}"
    return BootTime(wall, float(moment[1]))


def time_to_splash(board: Board) -> float:
    """Switch a board on, and return the seconds by the host's clock until it says that its notebook server is starting.

    Not in the same boot as time_to_page(): the server gets ready for a lesson once a browser has asked it for a page.
    """
    began = time.monotonic()
    board.switch_on()
    return first_answer(f"{url_of(BoardClassroom(board))}/login", {200, 503}, Accept="text/html") - began


def memory_used(classroom: BoardClassroom) -> float:
    """Return the board's MemTotal - MemAvailable in MiB, as in the column "used" of `free`."""
    meminfo = classroom.output_of("cat /proc/meminfo")
    kib = {name: int(value) for name, value in re.findall(r"^(\w+): +(\d+) kB", meminfo, re.M)}
    return (kib["MemTotal"] - kib["MemAvailable"]) / 1024


def written(classroom: BoardClassroom) -> int:
    """Return the bytes written to the card since the boot."""
    return int(classroom.output_of("cat /sys/block/mmcblk0/stat").split()[6]) * 512


def run_lesson(classroom: BoardClassroom, name: str) -> tuple[float, float, float]:
    """Run all cells of a lesson in the student's folder, without a browser, from the start of its kernel.

    Returns its minutes on this computer and by the board's own clock, and the kernel's peak in MiB.
    """
    server = NotebookServer(url_of(classroom))
    assert server.sign_in(classroom.password), "The password was refused."
    cells = server.get(f"/api/contents/{name}")["content"]["cells"]
    began, began_there = time.monotonic(), uptime(classroom)
    with server.kernel() as kernel:
        for cell in cells:
            if cell["cell_type"] == "code":
                output = kernel.run(cell["source"], 7200)
                assert not output.error, f"{name}: {output.error}"
        minutes, there = (time.monotonic() - began) / 60, (uptime(classroom) - began_there) / 60
        peak = float(kernel.run(PEAK).text)
    return minutes, there, peak


def uptime(classroom: BoardClassroom) -> float:
    """Return the seconds since the board's start, by its own clock."""
    return float(classroom.output_of("cat /proc/uptime").split()[0])
