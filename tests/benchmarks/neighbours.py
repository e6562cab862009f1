"""What the other students of one computer notice while one of them takes all that the computer has.

    make demo KIND=vm STUDENTS=30
    python -m tests.benchmarks.neighbours [--seconds 90]

Each student has drawn a plot. One of them takes memory, processes, processors and the disk in turn, while the others
compute 2 + 2 and save a file every twenty seconds. The first line, without an attack, is the baseline of the ratios. It
needs the virtual machine: some hosts do not enforce units' limits in containers.
"""

from __future__ import annotations

import argparse
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from random import Random

from tests.provisioned.notebook_server import Kernel, NotebookServer
from tests.support.classroom import ROOT, Classroom, root
from tests.virtual import Fleet

PLOT = "import os, matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()\nmine = 42"
FORKS = """
import os, time
for _ in range(300):
    try:
        if not os.fork(): {child}
    except OSError:
        time.sleep(0.1)
"""
FILL = "import os\nwith open('{path}', 'wb') as file:\n    while True: file.write(os.urandom(1 << 20))"
WORST = {
    "nothing": "",
    "one program takes all memory": "import os\nkept = []\nwhile True: kept.append(os.urandom(4 << 20))",
    "300 processes take all memory": FORKS.format(
        child="kept = [os.urandom(1 << 20) for _ in range(99)]; time.sleep(99)"
    ),
    "300 busy processes": FORKS.format(child="exec('while True: pass')"),
    "100 busy threads": (
        "import numpy, threading\nmany = numpy.random.rand(300, 300)\ndef work():\n    while True: many @ many\n"
        "for _ in range(100): threading.Thread(target=work, daemon=True).start()"
    ),
    "temporary files": FILL.format(path="/tmp/all"),
    "the disk": FILL.format(path="all"),
}


class Pupil:
    """A student's server, and a program that has drawn a plot."""

    def __init__(self, classroom: Classroom, number: int, name: str, stack: ExitStack) -> None:
        self.name, self.random = name, Random(number)
        self.server = NotebookServer(f"http://{classroom.address}:{8888 + number}")
        assert self.server.sign_in(classroom.password_of(f"{classroom.host}-{name}"))
        self.kernel = stack.enter_context(self.server.kernel())
        assert self.kernel.run(PLOT).pictures

    def work(self, until: float) -> tuple[list[float], str]:
        """Compute and save until then; return the waits for 2 + 2, and what was lost."""
        waits: list[float] = []
        time.sleep(self.random.uniform(0, 20))
        try:
            # The server closes a connection that nobody reads.
            self.kernel = Kernel(self.kernel.identity, self.server.connect(self.kernel.identity))
            while time.monotonic() < until:
                began = time.monotonic()
                assert self.kernel.run("print(2 + 2, mine)").text == "4 42\n"
                waits.append(time.monotonic() - began)
                file = {"type": "file", "format": "text", "content": str(began)}
                self.server.ask("PUT", "/api/contents/mine.txt", json=file).raise_for_status()
                time.sleep(20)
        except Exception as error:  # of any kind: it is a figure
            return waits, f"{self.name}: {error!r}"
        return waits, ""


def measure(classroom: Classroom, seconds: float) -> None:
    """Print a line for each attack."""
    names = sorted(root(classroom, "ls /etc/jupyter | sed -n s/^password-//p").split())
    with ExitStack() as stack:
        *others, bad = [Pupil(classroom, number, name, stack) for number, name in enumerate(names)]
        print(
            f"| {bad.name} | 2 + 2 of the {len(others)} others: median | ratio | 95 % | lost |\n|---|---|---|---|---|"
        )
        usual = 0.0
        for what, code in WORST.items():
            with bad.server.kernel() as kernel, ThreadPoolExecutor(len(others) + 1) as pool:
                until = time.monotonic() + seconds
                attack = pool.submit(kernel.run, code, seconds)
                works = [pool.submit(pupil.work, until) for pupil in others]
                waits = sorted(wait for work in works for wait in work.result()[0])
                lost = [work.result()[1] for work in works if work.result()[1]]
                with suppress(Exception):  # its program was killed, or runs on
                    attack.result()
                median = statistics.median(waits)
                usual = usual or median
                slow = waits[len(waits) * 95 // 100]
                print(
                    f"| {what} | {median:.2f} s | {median / usual:.1f} | {slow:.2f} s | {lost or 'nothing'} |",
                    flush=True,
                )
                root(classroom, f"systemctl stop jupyter@{bad.name}; rm -f /home/{bad.name}/notebooks/all")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=90, help="how long each takes (%(default)s)")
    measure(Classroom(Fleet(ROOT / "build/virtual")), parser.parse_args().seconds)
