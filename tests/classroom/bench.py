"""`make bench`: how long site.yml takes, how that grows with the fleet, and what mitogen brings over stock Ansible.

    python -m tests.classroom.bench [--fleets 1,2,4,8] [--delay-ms 50]

All in one run, on one machine, so the ratios can be trusted where the seconds cannot. The baseline is stock Ansible
(its strategy `linear`, with pipelining). Cold runs start from fresh disks with the control node's cache filled; of
no-op runs the median of three is shown. A ratio of 2.00 says that mitogen takes half as long.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass

from tests.classroom.classroom import ROOT, Classroom, Room
from tests.classroom.sent import sent_tasks
from tests.virtual import Fleet

STRATEGIES = {"stock": "linear", "mitogen": "classroom"}
NO_OPS = 3


@dataclass(frozen=True)
class Run:
    """One run of site.yml: its seconds, what it changed on all Pis, and the tasks sent to one."""

    seconds: float
    changed: int
    tasks: int


def say(line: str) -> None:
    """Show how it goes."""
    print(line, file=sys.stderr, flush=True)


def site(room: Room, strategy: str) -> Run:
    """Run site.yml and measure; a run that fails ends the benchmark."""
    environment = {
        **os.environ,
        "ANSIBLE_STRATEGY": STRATEGIES[strategy],
        "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
    }
    began = time.monotonic()
    done = subprocess.run(room.command("site"), cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    seconds = time.monotonic() - began
    if done.returncode:
        sys.exit(f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}\nThe benchmark ended here: site.yml failed.")
    said = json.loads(done.stdout)
    return Run(
        seconds, sum(host["changed"] for host in said["stats"].values()), len(sent_tasks(said["plays"], room.host))
    )


def fresh(fleet: Fleet, size: int, delay_ms: float) -> None:
    """Have `size` Pis with fresh disks."""
    fleet.up(size, delay_ms=delay_ms)
    for number in range(1, size + 1):
        fleet.reset(f"pi-{number:02}")


def measure(classroom: Classroom, size: int, delay_ms: float, cold: bool) -> list[str]:
    """Measure one size of fleet, and return the table's rows. Without `cold`, the Pis are provisioned already."""
    runs: dict[tuple[str, str], list[Run]] = {}
    for strategy in STRATEGIES if cold else ():
        say(f".. {size} fresh, {delay_ms:.0f} ms: cold, {strategy}")
        fresh(classroom.fleet, size, delay_ms)
        runs["cold", strategy] = [site(classroom, strategy)]
    classroom.fleet.up(size, delay_ms=delay_ms)
    for number in range(NO_OPS):
        for strategy in STRATEGIES:  # by turns: what else the machine does befalls both
            say(f".. {size}, {delay_ms:.0f} ms: no-op {number + 1} of {NO_OPS}, {strategy}")
            run = site(classroom, strategy)
            if run.changed:
                sys.exit("The benchmark ended here: a run over provisioned Pis changed something.")
            runs.setdefault(("no-op", strategy), []).append(run)
    rows = []
    for kind in ("cold", "no-op") if cold else ("no-op",):
        stock, mitogen = (statistics.median(run.seconds for run in runs[kind, strategy]) for strategy in STRATEGIES)
        rows.append(
            f"{size:5}  {delay_ms:5.0f}  {kind:5}  {runs[kind, 'stock'][0].tasks:5}  {stock:9.1f}  {mitogen:11.1f}"
            f"  {stock / mitogen:13.2f}  {stock / size:11.1f}  {mitogen / size:13.1f}"
        )
        say(rows[-1])
    return rows


def main() -> None:
    """Measure, print the table, and keep it in dist/bench.txt."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fleets", default="1,2,4,8", help="how many Pis, with commas between")
    parser.add_argument("--delay-ms", type=float, default=50, help="added to each round trip, for the last rows")
    options = parser.parse_args()
    sizes = sorted(int(size) for size in options.fleets.split(","))
    fleet = Fleet(ROOT / "build/virtual-bench", address="127.77.30.0")
    classroom = Classroom(fleet)
    rows = ["fleet  delay  run    tasks    stock, s   mitogen, s  stock/mitogen  stock, s/Pi  mitogen, s/Pi"]
    say(rows[0])
    try:
        fresh(fleet, 1, 0)
        site(classroom, "mitogen")  # fills the control node's caches, which every later run finds
        for size in sizes:
            rows += measure(classroom, size, 0, cold=True)
        rows += measure(classroom, sizes[-1], options.delay_ms, cold=False)
        fleet.down()
        rows += measure(classroom, 1, options.delay_ms, cold=True)
    finally:
        fleet.down()
    table = "\n".join(rows)
    print(f"\n{table}")
    (ROOT / "dist").mkdir(exist_ok=True)
    (ROOT / "dist/bench.txt").write_text(table + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
