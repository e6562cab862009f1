"""What site.yml costs, how that grows with the fleet, and how mitogen compares with stock Ansible.

    python -m tests.benchmarks.site [--fleets 1,3,10,30] [--no-ops 3] [--compare stock]

All runs are on the same machine, so their ratios are reliable even if the seconds are not. Cold runs start from fresh
disks and an empty cache. The no-op runs use what the last one left; their median is shown. The columns are:

    s/Pi         seconds, divided by the number of Pis
    CPU, s       CPU seconds of all of Ansible's processes on the control node
    fetched, MB  growth of the control node's cache: packages, wheels, and MNIST as sent to the Pis (27 MB)
    to Pi, MB    received by each Pi, on average
    stock/this   ratio of stock Ansible's seconds (its strategy `linear`, with pipelining) to this run's
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

from tests.support.classroom import ROOT, BaseClassroom, Classroom, recap
from tests.virtual import Fleet

STRATEGIES = {"stock": "linear", "mitogen": "classroom"}
MB = 1e6
HEADER = "fleet  run    by          seconds    s/Pi  CPU, s  CPU/Pi  fetched, MB  to Pi, MB  stock/this"


@dataclass(frozen=True)
class Run:
    """A run of site.yml: its output, the changes on all Pis, its cost, and the bytes that it and the Pis fetched."""

    output: str
    changed: int
    seconds: float
    cpu_seconds: float
    fetched: int = 0
    received: int = 0


def say(line: str) -> None:
    """Print progress to the standard error."""
    print(line, file=sys.stderr, flush=True)


def cache_bytes(cache: Path) -> int:
    """Return the size of a cache in bytes."""
    return sum(path.stat().st_size for path in cache.rglob("*") if path.is_file())


def site(classroom: BaseClassroom, strategy: str, cache: Path | None = None) -> Run:
    """Run site.yml, with another cache if given. A failure stops the benchmark."""
    env = {**os.environ, "ANSIBLE_STRATEGY": STRATEGIES[strategy]}
    if cache:
        env |= {"MYNN_CACHE": str(cache), "PIP_NO_CACHE_DIR": "1"}
    before = cache_bytes(cache) if cache else 0
    began, used = time.monotonic(), cpu_seconds()
    done = subprocess.run(classroom.command("site"), cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    seconds, used = time.monotonic() - began, cpu_seconds() - used
    if done.returncode:
        sys.exit(f"{done.stdout}{done.stderr}\nThe benchmark was stopped: site.yml failed.")
    changed = sum(host.changed for host in recap(done.stdout).values())
    return Run(done.stdout, changed, seconds, used, cache_bytes(cache) - before if cache else 0)


def cpu_seconds() -> float:
    """Return the CPU seconds of all processes that were started here and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def received(classroom: Classroom, names: list[str]) -> int:
    """Return the bytes that Pis have received since they booted."""
    devices = [classroom.fleet.ssh(name, "cat /proc/net/dev").stdout for name in names]
    return sum(int(line.split()[1]) for text in devices for line in text.splitlines() if "eth0:" in line)


class Bench:
    """A benchmark of a fleet, and the rows of its table."""

    def __init__(self, fleet: Fleet, strategies: list[str], no_ops: int, cache: Path) -> None:
        self.classroom, self.strategies, self.no_ops = Classroom(fleet), strategies, no_ops
        self.cache = cache  # of the last cold run; its no-op runs use it, too
        self.rows = [HEADER]
        say(HEADER)

    def measure(self, size: int) -> None:
        """Measure one fleet size."""
        fleet = self.classroom.fleet
        names = [f"pi-{number:02}" for number in range(1, size + 1)]
        runs: dict[str, list[Run]] = {}
        for strategy in self.strategies:
            say(f".. {size} fresh: cold, {strategy}")
            fleet.down()
            fleet.up(size)
            shutil.rmtree(self.cache, ignore_errors=True)
            self.cache.mkdir()
            runs[strategy] = [self.run(names, strategy)]
        self.show(size, "cold", runs)
        runs = {}
        for number in range(self.no_ops):
            for strategy in self.strategies:  # alternate, so that other load affects both
                say(f".. {size}: no-op {number + 1} of {self.no_ops}, {strategy}")
                run = self.run(names, strategy)
                if run.changed:
                    sys.exit(f"{run.output}\nThe benchmark was stopped: a run over provisioned Pis changed something.")
                runs.setdefault(strategy, []).append(run)
        self.show(size, "no-op", runs)

    def run(self, names: list[str], strategy: str) -> Run:
        """Run site.yml once, and count the bytes that the Pis received."""
        before = received(self.classroom, names)
        run = site(self.classroom, strategy, self.cache)
        return replace(run, received=received(self.classroom, names) - before)

    def show(self, size: int, kind: str, runs: dict[str, list[Run]]) -> None:
        """Add a row for each strategy, with its run of median duration."""
        middle = {
            strategy: sorted(done, key=lambda run: run.seconds)[len(done) // 2] for strategy, done in runs.items()
        }
        for strategy, run in middle.items():
            ratio = f"{middle['stock'].seconds / run.seconds:10.2f}" if "stock" in middle else ""
            self.rows.append(
                f"{size:5}  {kind:5}  {strategy:7}  {run.seconds:10.1f}  {run.seconds / size:6.1f}"
                f"  {run.cpu_seconds:6.1f}  {run.cpu_seconds / size:6.1f}"
                f"  {run.fetched / MB:11.1f}  {run.received / size / MB:9.1f}  {ratio}".rstrip()
            )
            say(self.rows[-1])


def main() -> None:
    """Measure, print the table, and save it in dist/bench.txt."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fleets", default="1,3,10", help="comma-separated fleet sizes (default: %(default)s)")
    parser.add_argument("--no-ops", type=int, default=3, help="runs over provisioned Pis (default: %(default)s)")
    parser.add_argument(
        "--compare", default="stock", help="compare mitogen with: stock (the default), or '' for nothing"
    )
    parser.add_argument("--address", default="127.77.30.0", help="the fleet's address block")
    options = parser.parse_args()
    sizes = sorted(int(size) for size in options.fleets.split(","))
    fleet = Fleet(ROOT / "build/virtual-bench", address=options.address)
    (ROOT / "dist").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(fleet, [*filter(None, [options.compare]), "mitogen"], options.no_ops, Path(folder) / "cache")
        try:
            fleet.down()
            for size in sizes:
                bench.measure(size)
        finally:
            fleet.down()
            (ROOT / "dist/bench.txt").write_text("\n".join(bench.rows) + "\n", encoding="utf-8")
    print("\n" + "\n".join(bench.rows))


if __name__ == "__main__":
    main()
