"""Measure boot times, memory, lessons and playbook runs on a board that boots an image.

    python -m tests.benchmarks.board [--image IMAGE] [--idle-minutes 10] [--no-ops 3] [PART ...]

The parts are boots, rest, network, overnight, programs, watch, lessons, no-op, cluster and counted; the default is all
of them.

There are two kinds of seconds. "Host" seconds are this computer's, and depend on its load; "board" seconds are by the
board's clock, which follows the host's. "Counted" seconds are the board's while each instruction takes one nanosecond
(QEMU's -icount shift=0): they do not depend on the load, but do not predict a real Pi's seconds, whose instructions
wait for memory. Ratios are reliable in both.

The table is also written to dist/board-bench.txt. A full run takes about three hours.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import statistics
import sys
import tempfile
import time
from argparse import Namespace
from pathlib import Path

from tests.benchmarks.board_measure import (
    memory,
    run_lesson,
    settle,
    time_to_page,
    time_to_splash,
    wait_for_page,
    watched_memory,
    written,
)
from tests.benchmarks.kernels import waits
from tests.benchmarks.site import STRATEGIES, Run, say, site
from tests.provisioned.notebook_server import NotebookServer
from tests.support.browser import url_of
from tests.support.classroom import (
    HOST_SEEN_FROM_BOARD,
    PATIENTLY,
    ROOT,
    BoardClassroom,
    newest_image,
    use_apt_sources,
)
from tests.support.cluster import ClassCluster
from tests.support.live_page import kept, processor_shares
from tests.unit.lessons.lesson_run import MEMORY_MIB
from tests.virtual import Board

MYNN = "/opt/mynn/venv/bin/mynn"
WATCHED = 120  # seconds
WAYS = ("the book's loop", "the book's loop, inputs parsed", "mynn, compiled", "mynn, compiled, float32")
# Estimate the hours that a network of `mynn experiment overnight` takes, from a tenth of an epoch; the second one
# includes a test.
NIGHT = """
import dataclasses, pathlib, tempfile, time
from mynn.experiments.jobs import Digits
from mynn.experiments.record import OVERNIGHT, train
some, times = Digits(count=6_000), []
folder = pathlib.Path(tempfile.mkdtemp())
two = dataclasses.replace(OVERNIGHT, epochs=2)
train({0: two}, some, folder, lambda done, total: times.append(time.perf_counter()))
print((times[1] - times[0]) * 10 * OVERNIGHT.epochs / 3600)
"""


class Table:
    """The table of results, which prints each row as it is added."""

    def __init__(self) -> None:
        self.rows: list[str] = []

    def add(self, what: str, figure: str, wanted: str = "") -> None:
        """Add a row, with the host's load."""
        self.rows.append(f"{what:<66}  {figure:>18}  {wanted:<12}  load {os.getloadavg()[0]:.1f}")
        say(self.rows[-1])


def as_student(classroom: BoardClassroom, command: str) -> str:
    """Run a command as the student, and return its output."""
    return classroom.output_of(f"sudo -H -u student sh -c {shlex.quote(command)}", timeout=7200)


def boots(classroom: BoardClassroom, table: Table, _: Namespace) -> None:
    """Measure the first boots of a fresh card, from power-on to the notebook page, and to what is there before."""
    for which in ("first", "second"):
        classroom.board.stop()
        boot = time_to_page(classroom.board)
        table.add(f"power-on to notebook page, {which} boot: host", f"{boot.wall:.0f} s", "<= 60 s")
    classroom.board.stop()
    table.add("  to the page that says that it is starting", f"{time_to_splash(classroom.board):.0f} s", "<= 30 s")
    wait_for_page(classroom)
    classroom.board.stop()  # the next part's boot is without a browser


def at_rest(classroom: BoardClassroom, table: Table, options: Namespace) -> None:
    """Measure an idle board's memory use, one minute after the boot and later, and its writes to its card."""
    settle(classroom)  # for a minute
    before, now = written(classroom), 1.0
    for minutes in sorted({1.0, 5.0, max(5.0, options.idle_minutes)}):
        time.sleep((minutes - now) * 60)
        found, now = memory(classroom), minutes
        what = f"RAM in use, idle, {now:.0f} min after the boot (MemTotal - MemAvailable)"
        table.add(what, f"{found.used:.1f} MiB", "<= 90 MiB")
        table.add("  as in older versions of `free`", f"{found.taken:.1f} MiB")
    hour = (written(classroom) - before) * 60 / (now - 1)
    table.add(f"written to the card in an idle hour (from {now - 1:.0f} minutes)", f"{hour / 1e6:.2f} MB")


def programs(classroom: BoardClassroom, table: Table, _: Namespace) -> None:
    """Measure how long a student waits for a lesson's first picture, two minutes after opening the start page."""
    for when, what in waits(NotebookServer(url_of(classroom)), classroom.password, warm_up=120):
        table.add(f"{when}: host", what)


def watched(classroom: BoardClassroom, table: Table, _: Namespace) -> None:
    """Measure what `make watch` costs a board with a lesson open, in processor time: with it, and without it."""
    server = NotebookServer(url_of(classroom))
    assert server.sign_in(classroom.password), "The password was refused."
    session = server.open_notebook("part2_neural_network.ipynb")
    time.sleep(90)  # until its kernel has started
    alone = processor_shares(classroom, WATCHED)[1]
    with tempfile.TemporaryDirectory() as folder, kept(classroom, "watch", Path(folder)):
        time.sleep(90)  # until it has connected
        asking, asked = processor_shares(classroom, WATCHED)
    server.delete(f"/api/sessions/{session['id']}")
    table.add("processor time for `make watch`, what asks", f"{asking:.2%}")
    table.add("  the notebook server, and without it", f"{asked:.2%}, {alone:.2%}")
    table.add("  together", f"{asking + asked - alone:.2%}", "<= 1 %")


def lessons(classroom: BoardClassroom, table: Table, _: Namespace) -> None:
    """Run every lesson as distributed, and compare with the time that its first cell promises."""
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        with watched_memory(classroom) as peaks:
            lesson = run_lesson(classroom, path.name)
        table.add(f"{path.stem}: host", f"{lesson.seconds / 60:.1f} min", lesson.promise)
        table.add("  peak of its kernel", f"{lesson.peak:.0f} MiB", f"<= {MEMORY_MIB} MiB")
        swap = f"swap {peaks.swapped:.0f} MiB, swapped out {peaks.swapped_out:.0f}"
        table.add(f"  peak of RAM in use ({swap})", f"{peaks.used:.0f} MiB")


def no_op_runs(classroom: BoardClassroom, table: Table, options: Namespace) -> None:
    """Measure runs of site.yml that change nothing, alternating between both strategies."""
    use_apt_sources(classroom)
    site(classroom, "mitogen")  # the first run sets the password
    wait_for_page(classroom)
    runs: dict[str, list[Run]] = {strategy: [] for strategy in STRATEGIES}
    for _ in range(options.no_ops):
        for strategy, done in runs.items():
            done.append(site(classroom, strategy))
            say(f".. {strategy}: {done[-1].seconds:.0f} s")
    if any(run.changed for done in runs.values() for run in done):
        sys.exit("The benchmark was stopped: a second site.yml changed something.")
    stock, mitogen = (statistics.median(run.seconds for run in runs[strategy]) for strategy in ("stock", "mitogen"))
    of = f"median of {options.no_ops}"
    table.add(f"site.yml that changes nothing ({of}): host", f"{mitogen:.0f} s", "<= 50 s")
    table.add("the same under stock Ansible: host", f"{stock:.0f} s", "<= 200 s")
    table.add("ratio", f"{stock / mitogen:.1f}")


def cluster(classroom: BoardClassroom, table: Table, _: Namespace) -> None:
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


def the_network(classroom: BoardClassroom, table: Table, _: Namespace, clock: str = "board") -> None:
    """Measure the book's loop and ours per example, then a whole training: first run, second run, CSV parsed."""
    program = shlex.quote((ROOT / "tests/benchmarks/training.py").read_text(encoding="utf-8"))
    books = 0.0
    for way in WAYS:
        options = f"--way {shlex.quote(way)} --examples 1000 --hidden 50"
        row = json.loads(as_student(classroom, f"/opt/mynn/venv/bin/python -c {program} {options}"))
        books = books or row["us"]
        wanted = ">= 100 times" if way == "mynn, compiled" else ""
        figure = f"{row['us']:.0f} us, {books / row['us']:.0f} times"
        table.add(f"one example, 50 hidden, {way}: {clock}", figure, wanted)
    parsed = "/srv/mynn/mnist/*.npy"
    for run, most, before, after in (
        ("first run", "< 60 s", "true", "true"),
        ("second run", "< 40 s", "true", "true"),
        ("CSV parsed", "", f"sudo mv {parsed} /srv/mynn", f"sudo mv /srv/mynn/*.npy {Path(parsed).parent}"),
    ):
        classroom.output_of(before)
        command = f"{MYNN} train --hidden 50 --epochs 1 --json 2>/dev/null"
        began = time.monotonic()
        facts = json.loads(as_student(classroom, command))
        host = time.monotonic() - began
        classroom.output_of(after)
        parts = ", ".join(f"{part} {seconds:.1f}" for part, seconds in facts["seconds"].items())
        total = sum(facts["seconds"].values())
        table.add(f"one epoch, 50 hidden, {run} ({parts}): {clock}", f"{total:.1f} s", most)
        table.add(f"  host, including Python's start and SSH; accuracy {facts['accuracy']:.2%}", f"{host:.1f} s")


def overnight(classroom: BoardClassroom, table: Table, _: Namespace) -> None:
    """Estimate the duration of a network of `mynn experiment overnight`."""
    hours = float(as_student(classroom, f"/opt/mynn/venv/bin/python -c {shlex.quote(NIGHT)}"))
    table.add("a network of `overnight`, estimated from 6,000 digits: board", f"{hours:.1f} h", "a night")


def counted(classroom: BoardClassroom, table: Table, options: Namespace) -> None:
    """Measure a later boot and the network in counted seconds."""
    classroom.board.stop()
    boot = time_to_page(classroom.board, icount=True)
    table.add("power-on to notebook page, later boot: counted", f"{boot.guest:.1f} s")
    table.add("  host", f"{boot.wall:.0f} s")
    the_network(classroom, table, options, "counted")


PARTS = {
    "boots": boots,
    "rest": at_rest,
    "network": the_network,
    "overnight": overnight,
    "programs": programs,
    "watch": watched,
    "lessons": lessons,
    "no-op": no_op_runs,
    "cluster": cluster,
    "counted": counted,
}


def main() -> None:
    """Measure, and print and save the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--image", type=Path, default=None, help="the image to boot (default: the newest in dist)")
    parser.add_argument(
        "--idle-minutes",
        type=float,
        default=10,
        help="the last look at an idle board's memory, in minutes after its boot (default: %(default)s)",
    )
    parser.add_argument(
        "--no-ops", type=int, default=3, help="runs of site.yml with each strategy (default: %(default)s)"
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"only these: {', '.join(PARTS)}")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}; the parts are {', '.join(PARTS)}")
    os.environ.update(PATIENTLY)
    image, table = options.image or newest_image(), Table()
    board = Board(ROOT / "build/board-bench", address="127.77.90.2")
    classroom = BoardClassroom(board)
    board.down()
    try:
        board.insert(image)
        for name, part in PARTS.items():
            if name in (options.parts or PARTS):
                if part is not boots and board.status() != "running":
                    time_to_page(board)
                part(classroom, table, options)
        board.stop()
    finally:
        board.down()
        text = "\n".join([f"{image.name}, on QEMU's raspi0", *table.rows])
        print(f"\n{text}")
        (ROOT / "dist").mkdir(exist_ok=True)
        (ROOT / "dist/board-bench.txt").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
