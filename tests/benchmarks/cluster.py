"""How much faster a sweep is on more Pis: 64 jobs on 8, 4, 2 and 1 virtual Pis, and on 8 of which two are disturbed.

    python -m tests.benchmarks.cluster [--workers 8,4,2,1]

It needs root. Each virtual Pi has 427 MB. They share this computer's processors, so each gets a tenth of one: like
this, eight can be eight times as fast as one. Every sweep must give the results of this computer's
threads, or the benchmark fails. On the way of the disturbed one, a worker is killed and a Pi frozen.

    seconds      of the whole command
    efficiency   the seconds of one Pi, divided by the number of Pis and by these seconds
"""

import argparse
import sys
import tempfile
import threading
import time
from pathlib import Path

from mynn.experiments.cluster import connected, workers
from tests.benchmarks.site import save, say
from tests.classroom.conftest import Shared
from tests.support.classroom import ROOT, Classroom, on, root
from tests.support.cluster import ClassCluster, sweep
from tests.support.digits import mnist_folder
from tests.virtual import Fleet
from tests.virtual.podman import podman

JOBS = ("--hidden", "50", "100", "--rate", "0.1", "0.2", "0.3", "0.4", "--seeds", "8", "--epochs", "2")  # 64
JOIN = 300.0  # seconds in which workers join, or leave
SHARE = 0.1  # of a processor, for each Pi
DISTURB = 7.0  # seconds into a sweep


def ready(cluster: ClassCluster, one: Shared) -> None:
    """Start the Pis, as copies of one, and their cluster; then each has so much of a processor."""
    fleet = cluster.classroom.fleet
    Shared(fleet, len(cluster.names), template=one).provisioned()
    one.fleet.down()
    if cluster.playbook("cluster").returncode:
        sys.exit("The benchmark was stopped: cluster.yml failed.")
    for name in cluster.names:
        podman("update", f"--cpus={SHARE}", f"{fleet.state.prefix}-{name}")


def limit(cluster: ClassCluster, count: int) -> None:
    """Leave only the first so many workers, and wait until they are there and the others are gone."""
    for name in cluster.names[count:]:
        root(on(cluster.classroom, name), "systemctl stop mynn-cluster")
    deadline = time.monotonic() + JOIN
    with connected(str(cluster.folder)) as executor:
        while workers(executor) != count:
            if time.monotonic() > deadline:
                sys.exit(f"The benchmark was stopped: there are {workers(executor)} workers, not {count}.")
            time.sleep(1)


def measure(cluster: ClassCluster, counts: list[int]) -> list[str]:
    """Measure each number of workers, the largest first, and the disturbed cluster before. Return the table."""
    expected, _ = sweep("--data", str(mnist_folder()), jobs=JOBS)

    def seconds_of_a_sweep() -> float:
        results, seconds = cluster.sweep(jobs=JOBS)
        if results != expected:
            sys.exit("The benchmark was stopped: the cluster's results are not those of threads.")
        return seconds

    timer = threading.Timer(DISTURB, cluster.disturb)
    timer.start()
    try:
        disturbed = seconds_of_a_sweep()
    finally:
        timer.join()
        cluster.recover()
    seconds = {}
    for count in counts:
        limit(cluster, count)
        seconds[count] = seconds_of_a_sweep()
        say(f"{count}: {seconds[count]:.0f} s")
    one = min(seconds) * seconds[min(seconds)]
    rows = [f"{count:7}  {taken:7.0f}  {one / count / taken:10.0%}" for count, taken in sorted(seconds.items())]
    last = f"{len(cluster.names):7}  {disturbed:7.0f}  (with one killed and one frozen)"
    return ["workers  seconds  efficiency", *rows, last]


def main() -> None:
    """Measure, print the table, and save it in dist/cluster.txt."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", default="8,4,2,1", help="how many, comma-separated (default: %(default)s)")
    counts = sorted(map(int, parser.parse_args().workers.split(",")), reverse=True)
    one = Shared(Fleet(ROOT / "build/virtual-cluster-one", address="127.77.22.0"), 1)
    fleet = Fleet(ROOT / "build/virtual-cluster", address="127.77.20.0")
    names = [f"pi-{number:02}" for number in range(1, counts[0] + 1)]
    with tempfile.TemporaryDirectory() as folder:
        cluster = ClassCluster(Classroom(fleet), names, Path(folder, "cluster"))
        try:
            ready(cluster, one)
            rows = measure(cluster, counts)
        finally:
            cluster.playbook("cluster_stop")
            fleet.down()
            one.fleet.down()
    print(*rows, sep="\n")
    save("cluster.txt", rows)


if __name__ == "__main__":
    main()
