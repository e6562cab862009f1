"""The teacher's desk: with the answers of Pis that do not exist, or while its command runs."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
from playwright.sync_api import Locator, Page, expect

from mynn_control.desk import pis
from mynn_control.desk.access import NetworkSettings
from mynn_control.desk.app import Server
from mynn_control.desk.inventory import Inventory
from mynn_control.desk.pages import Desk
from mynn_control.desk.runs import SETTINGS, Fleet
from tests.support.classroom import ROOT, BaseClassroom
from tests.support.playbook_run import descendants


class ServedDesk:
    """A desk that is served. What it keeps is in a folder."""

    def __init__(self, folder: Path, desk: Desk, server: Server) -> None:
        self.folder, self.desk, self.url = folder, desk, server.url

    def answer(
        self, pi: str, students: Mapping[str, tuple[str | None, str | None]], lost: str | None = "", place: int = 0
    ) -> None:
        """Have a Pi's answer: by student, what the notebook server says, and what is on the wall; None for neither."""
        shown = {
            page: {name: texts[number] for name, texts in students.items()}
            for number, page in enumerate(("class", "wall"))
        }
        addresses = {name: f"http://{pi}:{port}" for port, name in enumerate(students, 8888)}
        self.desk.answers.queue(pi, place=place, students=addresses, shown=shown, lost=lost)
        self.desk.update()

    def ask(self, path: str, body: str | None = None, **headers: str) -> requests.Response:
        """Send a request, as the desk's own page does: by POST if it has a body."""
        method = "GET" if body is None else "POST"
        return requests.request(method, self.url + path, data=body, headers={"Origin": self.url, **headers})


@contextmanager
def served(
    folder: Path,
    inventory: Path = Path("inventory.ini"),
    settings: Path = SETTINGS,
    network: NetworkSettings | None = None,
) -> Iterator[ServedDesk]:
    """Serve a desk, whose folder this is. network: settings of a desk that is on the network."""
    desk = Desk(Fleet(inventory), folder, settings, folder if network else None)
    desk.update()
    with Server(desk, 0, network) as server:
        yield ServedDesk(folder, desk, server)
        desk.end()


def pis_page(kept: dict[str, Any], *names: str) -> str:
    """Return the tab Pis, from what the desk remembers of these Pis."""
    made = pis.rows(kept, {pi: {"student": f"http://{pi}:8888"} for pi in names})
    return pis.draw(made, Inventory(Path("inventory.ini"), lambda: None))


def start_desk(inventory: Path, folder: Path, *options: Any) -> subprocess.Popen[str]:
    """Start `make desk`."""
    return subprocess.Popen(
        [sys.executable, "-m", "mynn_control.desk", str(folder), str(inventory), *options],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def url_of(desk: subprocess.Popen[str]) -> str:
    """Wait for the address that a desk prints."""
    assert desk.stdout
    lines = iter(desk.stdout.readline, "")
    return next(found[1] for line in lines if (found := re.match(r"The desk: (http://127\.0\.0\.1:\d+) ", line)))


@contextmanager
def open_desk(inventory: Path, folder: Path, *options: Any) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run `make desk` until Ctrl-C, after which nothing of it is left; yield the page's address and the process."""
    process = start_desk(inventory, folder, *options)
    try:
        yield url_of(process), process
        started = descendants(process.pid)
        os.killpg(process.pid, signal.SIGINT)  # Ctrl-C
        output, _ = process.communicate(timeout=600)
        print(output)
        assert process.returncode == 0, output
        assert "The desk has ended." in output
        assert running(started) == []
    finally:
        for one in descendants(process.pid) if process.poll() is None else []:
            os.kill(one, signal.SIGKILL)


def running(processes: Iterable[int]) -> list[int]:
    """Return those processes that still run."""
    return [one for one in processes if Path(f"/proc/{one}").exists() and "Z (" not in status(one)]


def status(process: int) -> str:
    """Return a process's status in words; a zombie's if it has gone."""
    try:
        return Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    except OSError:
        return "Z ("


class Teacher:
    """The desk in a browser."""

    def __init__(self, page: Page) -> None:
        self.page, self.report = page, page.get_by_role("status")

    def go_to(self, tab: str) -> None:
        """Open a tab."""
        self.page.bring_to_front()
        self.page.get_by_role("navigation").get_by_role("link", name=tab, exact=True).click()
        expect(self.page.get_by_role("link", name=tab, exact=True)).to_have_attribute("aria-current", "page")

    def press(self, *buttons: str, ends: str = "Finished.") -> str:
        """Press buttons, one after the other, wait for the end of what they start, and return its report."""
        title = self.report.get_by_role("heading")
        before = title.inner_text() if title.count() else "none"
        for button in buttons:
            self.page.locator("button:visible", has_text=re.compile(f"^{button}$")).last.click()
        expect(title).not_to_have_text(before)
        expect(self.report.get_by_role("button")).to_have_text("Close")
        expect(self.report).to_contain_text(ends)
        said = self.report.inner_text()
        if "would be removed" not in said:  # a reset is offered as long as that is there
            self.report.get_by_role("button", name="Close").click()
            expect(self.report).to_be_hidden()
        return said

    def at(self, pi: str) -> Locator:
        """Return a Pi's card on the tab Class."""
        return self.page.locator("article", has_text=pi)


# What a student does to be on the wall.
SHOW = """
from mynn import NeuralNetwork, read_csv, wall
digits = read_csv("/srv/mynn/mnist/mnist_test.csv", 10)
wall.show(name="{name}", score=0.953, backquery=NeuralNetwork(784, 20, 10, 0.1, seed=1), digits=digits)
"""
SERVER = "pgrep -of '[m]ynn_server.serve 8888'"
# The processor time of what the desk has started on a Pi, in ticks of 10 ms.
LOAD = r"""
sudo sh -c '
ticks=0
for process in $(pgrep -f "[m]ynn_server.status_stream"); do
    ticks=$((ticks + $(sed "s/.*) //" /proc/$process/stat | cut -d" " -f12,13 | tr " " +)))
done
echo $ticks'
"""


def processor_shares(classroom: BaseClassroom, seconds: float) -> tuple[float, float]:
    """Return what share of the Pi's processor the desk takes, and the notebook server, over so many seconds."""
    before, began = _ticks(classroom), time.monotonic()
    time.sleep(seconds)
    after, passed = _ticks(classroom), (time.monotonic() - began) * 100
    return (after[0] - before[0]) / passed, (after[1] - before[1]) / passed


def _ticks(classroom: BaseClassroom) -> tuple[int, int]:
    """Return the processor time of the desk's processes on the Pi, and of the notebook server's, in ticks of 10 ms."""
    fields = classroom.ssh(f"cat /proc/$({SERVER})/stat").stdout.rpartition(")")[2].split()
    return int(classroom.ssh(LOAD).stdout), int(fields[11]) + int(fields[12])
