"""What site.yml costs, and how that grows with the fleet.

    python -m tests.benchmarks.site [--fleets 1,3,10,30] [--no-ops 3]

All runs are on the same machine, so their ratios are reliable even if the seconds are not. A cold run starts from fresh
disks and an empty cache. The no-op runs use what it left; the one of median duration is shown. With
ANSIBLE_STRATEGY=linear in the environment, it measures stock Ansible instead of mitogen. The columns are:

    s/Pi         seconds, divided by the number of Pis
    CPU, s       CPU seconds of all of Ansible's processes on the control node
    fetched, MB  growth of the control node's cache: packages, wheels, and MNIST as sent to the Pis (27 MB)
    to Pi, MB    received by each Pi, on average
"""

import argparse
import os
import resource
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.support.classroom import ROOT, Classroom, recap
from tests.virtual import Fleet

MB = 1e6
HEADER = "fleet  run    seconds    s/Pi  CPU, s  CPU/Pi  fetched, MB  to Pi, MB"


@dataclass(frozen=True, order=True)
class Run:
    """A run of site.yml: its duration and cost in seconds, the bytes that it and the Pis fetched, and its changes."""

    seconds: float
    cpu_seconds: float
    fetched: int
    received: int
    changed: int


def say(line: str) -> None:
    """Print progress to the standard error."""
    print(line, file=sys.stderr, flush=True)


def save(name: str, rows: list[str]) -> None:
    """Write a table to a file in dist."""
    (ROOT / "dist").mkdir(exist_ok=True)
    (ROOT / "dist" / name).write_text("\n".join(rows) + "\n", encoding="utf-8")


def cache_bytes(cache: Path) -> int:
    """Return the size of a cache in bytes."""
    return sum(path.stat().st_size for path in cache.rglob("*") if path.is_file())


def cpu_seconds() -> float:
    """Return the CPU seconds of all processes that were started here and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def received(fleet: Fleet) -> int:
    """Return the bytes that the Pis have received since they booted."""
    devices = [pi.ssh("cat /proc/net/dev").stdout for pi in fleet.members]
    return sum(int(line.split()[1]) for text in devices for line in text.splitlines() if "eth0:" in line)


def site(fleet: Fleet, cache: Path) -> Run:
    """Run site.yml with a cache, and measure what it costs. A failure stops the benchmark."""
    env = {**os.environ, "MYNN_CACHE": str(cache), "PIP_NO_CACHE_DIR": "1"}
    cached, got, used, began = cache_bytes(cache), received(fleet), cpu_seconds(), time.monotonic()
    output = Classroom(fleet).run("site", env=env, timeout=7200)
    seconds, used = time.monotonic() - began, cpu_seconds() - used
    changed = sum(host.changed for host in recap(output).values())
    return Run(seconds, used, cache_bytes(cache) - cached, received(fleet) - got, changed)


def row(size: int, kind: str, run: Run) -> str:
    """Return a row of the table."""
    return (
        f"{size:5}  {kind:5}  {run.seconds:7.1f}  {run.seconds / size:6.1f}  {run.cpu_seconds:6.1f}"
        f"  {run.cpu_seconds / size:6.1f}  {run.fetched / MB:11.1f}  {run.received / size / MB:9.1f}"
    )


def measure(fleet: Fleet, size: int, no_ops: int) -> list[str]:
    """Measure one fleet size, and return its rows."""
    fleet.down()
    fleet.up(size)
    with tempfile.TemporaryDirectory() as folder:
        cold, *again = (site(fleet, Path(folder)) for _ in range(1 + no_ops))
    if any(run.changed for run in again):
        sys.exit("The benchmark was stopped: a run over provisioned Pis changed something.")
    return [row(size, "cold", cold), row(size, "no-op", sorted(again)[no_ops // 2])]


def main() -> None:
    """Measure, print the table, and save it in dist/bench.txt."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fleets", default="1,3,10", help="comma-separated fleet sizes (default: %(default)s)")
    parser.add_argument("--no-ops", type=int, default=3, help="runs over provisioned Pis (default: %(default)s)")
    options = parser.parse_args()
    fleet = Fleet(ROOT / "build/virtual-bench", address="127.77.30.0")
    rows = [HEADER]
    try:
        for size in sorted(map(int, options.fleets.split(","))):
            rows += measure(fleet, size, options.no_ops)
            save("bench.txt", rows)
    finally:
        fleet.down()
    print("\n" + "\n".join(rows))


if __name__ == "__main__":
    main()
