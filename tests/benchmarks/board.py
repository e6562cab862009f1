"""Measure boot times, memory, training and lessons on a board that boots an image.

    python -m tests.benchmarks.board [--image IMAGE] [PART ...]

The parts are boots, rest, network, programs, try, desk, site, lessons and cluster; the default is all of them.

All seconds are by the board's clock, unless called the host's. It advances by two nanoseconds per instruction (QEMU's
-icount shift=1), so they do not depend on this computer's load and repeat within 2 %; a real Pi's instructions wait for
memory and for its card, and its firmware comes first.

The table is also written to dist/board-bench.txt. A full run takes about two hours.
"""

import argparse
import json
import os
import re
import shlex
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import requests

from mynn.outline import outline
from mynn_control.card_image import newest_image
from tests.benchmarks.board_measure import (
    clock_of,
    first_answer,
    memory_used,
    run_lesson,
    time_to_page,
    wait_for_page,
    written,
)
from tests.benchmarks.kernels import waits
from tests.benchmarks.site import save, say
from tests.provisioned.notebook_server import Kernel, NotebookServer
from tests.support.browser import signed_in_server, url_of
from tests.support.classroom import HOST_SEEN_FROM_BOARD, PATIENTLY, ROOT, BoardClassroom, use_apt_sources
from tests.support.cluster import ClassCluster
from tests.support.desk import open_desk, processor_shares
from tests.support.lesson_claims import MEMORY_MIB
from tests.virtual import Board

MYNN = "/opt/mynn/venv/bin/mynn"
WATCHED = 120  # seconds
CLASS = 30  # browsers
WAYS = ("the book's loop", "the book's loop, inputs parsed", "mynn, compiled", "mynn, compiled, float32")


class Table:
    """The table of results, which prints each row as it is added."""

    def __init__(self) -> None:
        self.rows: list[str] = []

    def add(self, what: str, figure: str, wanted: str = "") -> None:
        """Add a row."""
        self.rows.append(f"{what:<66}  {figure:>18}  {wanted}".rstrip())
        say(self.rows[-1])


def as_student(classroom: BoardClassroom, command: str) -> str:
    """Run a command as the student, and return its output."""
    return classroom.output_of(f"sudo -H -u student sh -c {shlex.quote(command)}", timeout=7200)


def boots(classroom: BoardClassroom, table: Table) -> None:
    """Measure the first boots of a fresh card: to the first page, which says that it is starting, and to the login."""
    for which, wanted in (("first", "<= 30 s"), ("second", "<= 12 s")):
        boot = time_to_page(classroom.board)
        table.add(f"power to the login page, {which} boot (host {boot.host:.0f} s)", f"{boot.page:.1f} s", wanted)
        table.add('  to the page that says "starting"', f"{boot.starting:.1f} s", "<= 8 s")
        classroom.board.stop()
    time_to_page(classroom.board)
    server = signed_in_server(classroom)
    with clock_of(classroom) as now:
        began = now()
        with server.kernel() as kernel:
            kernel.run("1 + 1")
        took = now() - began
    table.add("a kernel, asked for as soon as the page is there: its first answer", f"{took:.1f} s", "<= 6 s")
    classroom.board.stop()


def at_rest(classroom: BoardClassroom, table: Table) -> None:
    """Measure an idle board's memory use, one and ten minutes after the boot, and its writes to its card."""
    classroom.output_of("systemctl is-system-running --wait || true", timeout=900)
    time.sleep(60)
    before = written(classroom)
    for minutes in (1, 10):
        what = f"RAM in use, idle, {minutes} min after the boot (MemTotal - MemAvailable)"
        table.add(what, f"{memory_used(classroom):.1f} MiB", "<= 90 MiB")
        if minutes == 1:
            time.sleep(540)
    hour = (written(classroom) - before) * 60 / 9
    table.add("written to the card in an idle hour (from nine minutes)", f"{hour / 1e6:.2f} MB")


def programs(classroom: BoardClassroom, table: Table) -> None:
    """Measure how long a student waits for a lesson's first picture, two minutes after opening the start page."""
    with clock_of(classroom) as now:
        for when, what in waits(NotebookServer(url_of(classroom)), classroom.password, 120, now):
            table.add(when, what)
        table.add("lesson 1's first picture, after its kernel", f"{first_picture(classroom, now):.1f} s", "<= 3 s")


def first_picture(classroom: BoardClassroom, now: Callable[[], float]) -> float:
    """Return the seconds from the first lesson's kernel to its first picture."""
    server, name = signed_in_server(classroom), next(iter(outline(ROOT / "notebooks")))
    cells = server.get(f"/api/contents/{name}.ipynb")["content"]["cells"]
    with server.kernel() as kernel:
        kernel.run("1 + 1")
        began = now()
        for cell in cells:
            if cell["cell_type"] == "code" and kernel.run(cell["source"]).pictures:
                return now() - began
    raise AssertionError(f"{name} has no picture.")


def try_page(classroom: BoardClassroom, table: Table) -> None:
    """Measure the page /try/: its first screen, and a class that fetches all digits beside a lesson."""
    page, server = f"{url_of(classroom)}/try/", NotebookServer(url_of(classroom))
    with clock_of(classroom) as now:
        classroom.output_of("sudo systemctl restart --no-block jupyter")
        began = now()
        first_answer(page, {200})
        table.add("/try/ opens after a start of the notebook server", f"{now() - began:.1f} s")
        table.add("  its first screen meanwhile", f"{timed(now, first_screen, page):.1f} s")
        assert server.ask("GET", "/login", headers={"Accept": "text/html"}).status_code == 503, (
            "It has started already."
        )
        wait_for_page(classroom)
        table.add("  the notebook server answers", f"{now() - began:.0f} s")
        time.sleep(90)
        table.add("its first screen, from an idle server", f"{timed(now, first_screen, page):.2f} s", "<= 1.5 s")
        assert server.sign_in(classroom.password), "The password was refused."
        with server.kernel() as kernel:
            kernel.run("import mynn, mynn.plotting; alive = 1 + 1", 600)
            with ThreadPoolExecutor(CLASS) as browsers:
                took = timed(now, lambda url: list(browsers.map(fetch, [f"{url}digits.bin"] * CLASS)), page)
            # Nobody answered the server's pings meanwhile, so this connection is closed.
            again = Kernel(kernel.identity, server.connect(kernel.identity))
            assert again.run("alive", 600).text == "2", "The program did not survive it."
    peak = int(classroom.output_of("systemctl show --value --property MemoryPeak jupyter")) / 2**20
    table.add(f"{CLASS} browsers fetch 10,000 digits, beside a program", f"{took:.0f} s")
    table.add("  most memory of the server and its programs", f"{peak:.0f} MiB")


def fetch(url: str) -> bytes:
    """Return a file of the page's."""
    answer = requests.get(url, timeout=900)
    answer.raise_for_status()
    return answer.content


def first_screen(url: str) -> int:
    """Fetch what a browser needs until the page can be used, six files at once; return how many bytes that is."""
    names = re.findall(r'(?:href|src)="([a-z]+\.(?:css|js))"', fetch(url).decode())
    with ThreadPoolExecutor(6) as connections:
        return sum(map(len, connections.map(fetch, [url + name for name in (*names, "network.bin")])))


def timed(now: Callable[[], float], do: Callable[[str], object], url: str) -> float:
    """Return how many seconds of the board's something takes."""
    began = now()
    do(url)
    return now() - began


def watched(classroom: BoardClassroom, table: Table) -> None:
    """Measure what `make desk` costs a board with a lesson open, in processor time: with it, and without it."""
    server = signed_in_server(classroom)
    session = server.open_notebook("part2_neural_network.ipynb")
    time.sleep(90)  # until its kernel has started
    alone = processor_shares(classroom, WATCHED)[1]
    with tempfile.TemporaryDirectory() as folder, open_desk(classroom.inventory, Path(folder)):
        time.sleep(90)  # until it has connected
        asking, asked = processor_shares(classroom, WATCHED)
    server.delete(f"/api/sessions/{session['id']}")
    table.add("processor time for `make desk`, what asks", f"{asking:.2%}")
    table.add("  the notebook server, and without it", f"{asked:.2%}, {alone:.2%}")
    table.add("  together", f"{asking + asked - alone:.2%}", "<= 1 %")


def lessons(classroom: BoardClassroom, table: Table) -> None:
    """Run every lesson as distributed, and compare with the time that it promises."""
    with clock_of(classroom) as now:
        for stem, lesson in outline(ROOT / "notebooks").items():
            minutes, peak = run_lesson(classroom, f"{stem}.ipynb", now)
            table.add(f"{lesson.lesson} {stem}", f"{minutes:.1f} min", f"<= {lesson.minutes} min")
            table.add("  peak of its kernel", f"{peak:.0f} MiB", f"<= {MEMORY_MIB} MiB")


def site(classroom: BoardClassroom, table: Table) -> None:
    """Measure a run of site.yml that changes nothing."""
    use_apt_sources(classroom)
    classroom.run("site")
    with clock_of(classroom) as now:
        table.add("site.yml with nothing to change", f"{timed(now, lambda _: classroom.run('site'), ''):.1f} s")


def cluster(classroom: BoardClassroom, table: Table) -> None:
    """Measure how a board takes part in a cluster: seconds to join, memory, and a job's time."""
    use_apt_sources(classroom)
    with tempfile.TemporaryDirectory() as folder:
        of_one = ClassCluster(classroom, [classroom.host], Path(folder) / "cluster")  # type: ignore[arg-type]
        for which in "first time, with Dask's installation", "again", "after a stop":
            if which == "after a stop":
                classroom.output_of("sudo systemctl stop mynn-cluster")
            began = time.monotonic()
            settings = f"cluster_address={HOST_SEEN_FROM_BOARD} __cluster_join_seconds=900"
            done = of_one.playbook("cluster", "-e", settings)
            assert done.returncode == 0, done.stdout[-2000:]
            table.add(f"make cluster, {which}: host", f"{time.monotonic() - began:.0f} s")
        time.sleep(30)
        table.add("  memory of the idle worker", f"{of_worker(classroom, 'MemoryCurrent'):.0f} MiB")
        began = time.monotonic()
        said, seconds = of_one.sweep(jobs=("--hidden", "50", "--rate", "0.1", "--seeds", "3", "--epochs", "1"))
        table.add("a sweep of three jobs, 60,000 digits and 50 hidden nodes each: host", f"{seconds:.0f} s")
        say(said)
        table.add("  most memory of the worker", f"{of_worker(classroom, 'MemoryPeak'):.0f} MiB", "<= 220 MB")
        assert of_one.playbook("cluster_stop").returncode == 0


def of_worker(classroom: BoardClassroom, what: str) -> float:
    """Return what systemd says of the worker's memory, in MiB."""
    return int(classroom.output_of(f"systemctl show --value --property {what} mynn-cluster")) / 2**20


def the_network(classroom: BoardClassroom, table: Table) -> None:
    """Measure the book's loop and ours per example, then a whole training, twice."""
    program = shlex.quote((ROOT / "tests/benchmarks/training.py").read_text(encoding="utf-8"))
    books = 0.0
    for way in WAYS:
        options = f"--way {shlex.quote(way)} --examples 1000 --hidden 50"
        row = json.loads(as_student(classroom, f"/opt/mynn/venv/bin/python -c {program} {options}"))
        books = books or row["us"]
        wanted = ">= 100 times" if way == "mynn, compiled" else ""
        figure = f"{row['us']:.0f} us, {books / row['us']:.0f} times"
        table.add(f"one example, 50 hidden, {way}", figure, wanted)
    for run, most in (("first run", "< 60 s"), ("second run", "< 40 s")):
        began = time.monotonic()
        facts = json.loads(as_student(classroom, f"{MYNN} train --hidden 50 --epochs 1 --json 2>/dev/null"))
        host = time.monotonic() - began
        parts = ", ".join(f"{part} {seconds:.1f}" for part, seconds in facts["seconds"].items())
        total = sum(facts["seconds"].values())
        table.add(f"one epoch, 50 hidden, {run} ({parts})", f"{total:.1f} s", most)
        table.add(f"  host, including Python's start and SSH; accuracy {facts['accuracy']:.2%}", f"{host:.1f} s")


PARTS = {
    "boots": boots,
    "rest": at_rest,
    "network": the_network,
    "programs": programs,
    "try": try_page,
    "desk": watched,
    "site": site,
    "lessons": lessons,
    "cluster": cluster,
}


def main() -> None:
    """Measure, and print and save the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--image", type=Path, default=None, help="the image to boot (default: the newest in dist)")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"only these: {', '.join(PARTS)}")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}; the parts are {', '.join(PARTS)}")
    os.environ.update(PATIENTLY)
    image, table = options.image or newest_image(f"{ROOT}/dist/*.img.xz", "", {}), Table()
    board = Board(ROOT / "build/board-bench", address="127.77.90.2")
    classroom = BoardClassroom(board)
    board.down()
    try:
        board.insert(image)
        for name, part in PARTS.items():
            if name in (options.parts or PARTS):
                if part is not boots and board.status() != "running":
                    time_to_page(board)
                part(classroom, table)
        board.stop()
    finally:
        board.down()
        rows = [f"{image.name}, on QEMU's raspi0", *table.rows]
        print("", *rows, sep="\n")
        save("board-bench.txt", rows)


if __name__ == "__main__":
    main()
