"""Interrupt site.yml at random moments on fresh virtual Pis, and check that the next run completes it.

    python -m tests.benchmarks.cut_offs [--runs 50] [--seed 2016] [--fleet 10]

Half of the moments are drawn from the whole run, half from the tasks that install packages. For every second one, the
Pi's power is cut as well; otherwise the Pi finishes its current command. Afterwards,

- site.yml must succeed;
- its next run must change nothing.

Virtual Pis are containers, so what a process has written survives a cut. tests/classroom/test_repair.py covers data
that a card loses. The table is written to dist/cut-offs.txt after each round.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout
from dataclasses import dataclass

from tests.benchmarks.site import say
from tests.support.classroom import ROOT, Classroom, Recap, recap
from tests.support.playbook_run import PlaybookRun
from tests.virtual import Fleet

INSTALLS = re.compile(r"(?i)\b(install|package)")
# Count the packages in unfinished states, and report a running dpkg or apt-get.
STATE = r"""
sudo sed -n 's/^Status: [a-z]* //p' /var/lib/dpkg/status /var/lib/dpkg/updates/[0-9]* 2>/dev/null |
    grep -vx 'ok \(installed\|not-installed\|config-files\)' | sort | uniq -c | tr -s ' \n' ' '
pgrep -x 'dpkg|apt-get' >/dev/null && echo 'dpkg at work'
"""


@dataclass(frozen=True)
class Cut:
    """A moment in a run, in seconds after the start of a task."""

    task: str
    seconds: float


@dataclass(frozen=True)
class WholeRun:
    """An uninterrupted run: when each of its tasks began, and when it ended, in seconds."""

    tasks: Sequence[tuple[float, str]]
    seconds: float

    def at(self, moment: float) -> Cut:
        """Convert a time to a moment in a task, since other runs may be slower."""
        begun, task = max((pair for pair in self.tasks if pair[0] <= moment), default=self.tasks[0])
        return Cut(task, max(moment - begun, 0))

    def spread(self, count: int, draw: random.Random) -> list[Cut]:
        """Draw one moment from each of ``count`` equal parts of the run."""
        return [self.at((part + draw.random()) * self.seconds / count) for part in range(count)]

    def installing(self, draw: random.Random) -> Cut:
        """Draw a moment from the tasks that install packages."""
        ends = [begun for begun, _ in self.tasks[1:]] + [self.seconds]
        spans = [(begun, end) for (begun, task), end in zip(self.tasks, ends, strict=True) if INSTALLS.search(task)]
        moment = draw.random() * sum(end - begun for begun, end in spans)
        for begun, end in spans:
            if moment < end - begun:
                return self.at(begun + moment)
            moment -= end - begun
        raise ValueError("no task of this run installs packages")


def environment() -> dict[str, str]:
    """Return an environment in which Ansible prints each task's name as it begins."""
    return {**os.environ, "ANSIBLE_DISPLAY_SKIPPED_HOSTS": "true"}


def cut_off(classroom: Classroom, name: str, cut: Cut, power: bool) -> None:
    """Start a run against one Pi, and kill it and its children; with ``power``, cut the Pi's power too."""
    run = PlaybookRun(classroom.command("site", f"--limit={name}"), ROOT, environment())
    run.when(re.escape(f"[{cut.task}]"), patience=900)
    time.sleep(cut.seconds)
    run.kill()
    if power:
        classroom.fleet.kill(name)
    what = "run and power" if power else "run"
    print(f"{name}: {what} interrupted {cut.seconds:.1f} s after the start of {cut.task}, in {run.tasks[-1][1]}")


def drawn(whole: WholeRun, count: int, draw: random.Random) -> list[Cut]:
    """Draw ``count`` moments, in random order."""
    anywhere = whole.spread(count // 2, draw) if count > 1 else []
    cuts = anywhere + [whole.installing(draw) for _ in range(count - len(anywhere))]
    draw.shuffle(cuts)
    return cuts


def measure(classroom: Classroom) -> WholeRun:
    """Run site.yml against the first Pi without interruption."""
    run = PlaybookRun(classroom.command("site", "--limit=pi-01"), ROOT, environment())
    assert run.wait(1800) == 0, run.output[-3000:]
    return WholeRun(run.tasks, time.monotonic() - run.began)


@dataclass(frozen=True)
class Run:
    """A run of site.yml against all Pis: the counts by host, and its duration in seconds."""

    hosts: dict[str, Recap]
    seconds: float

    def completed(self, name: str) -> bool:
        """Return whether a Pi was finished."""
        counts = self.hosts.get(name)
        return counts is not None and not counts.failed and not counts.unreachable


def complete(classroom: Classroom) -> Run:
    """Run site.yml against all Pis."""
    began = time.monotonic()
    done = classroom.playbook("site", timeout=3600)
    return Run(recap(done.stdout), time.monotonic() - began)


HEAD = "  cut  interrupted    dpkg's state afterwards                   completed   time, s  then changed  moment"


def cut_round(classroom: Classroom, first: int, cuts: list[Cut]) -> Iterator[tuple[str, bool]]:
    """Interrupt a run on each Pi, and complete it; yield a table row for each, and whether it succeeded."""
    names = [f"pi-{number:02}" for number in range(1, len(cuts) + 1)]
    powers = [(first + number) % 2 == 0 for number in range(len(cuts))]
    with ThreadPoolExecutor(3) as three:
        list(three.map(cut_off, [classroom] * len(cuts), names, cuts, powers))
    classroom.fleet.up(len(names))
    states = [classroom.fleet.ssh(name, STATE).stdout.strip().replace("\n", ", ") for name in names]
    then, again = complete(classroom), complete(classroom)
    for number, (name, cut, power, state) in enumerate(zip(names, cuts, powers, states, strict=True), start=first):
        changed = again.hosts[name].changed if again.completed(name) else -1
        good = then.completed(name) and changed == 0
        yield (
            (
                f"{number:5}  {'run and power' if power else 'run':13}  {state or 'finished':40}  "
                f"{'yes' if then.completed(name) else 'NO':9}  {then.seconds:8.0f}  "
                f"{'failed' if changed < 0 else changed:12}  {cut.seconds:.1f} s into {cut.task}"
            ),
            good,
        )


def main() -> None:
    """Run the benchmark, and print and save the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=50, help="how many runs to interrupt (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=2016, help="random seed (default: %(default)s)")
    parser.add_argument("--fleet", type=int, default=10, help="number of virtual Pis (default: %(default)s)")
    parser.add_argument("--address", default="127.77.25.0", help="the fleet's address block (default: %(default)s)")
    options = parser.parse_args()
    draw, good, made = random.Random(options.seed), 0, 0
    rows = [f"{options.runs} interrupted runs, seed {options.seed}", HEAD]
    say("\n".join(rows))
    (ROOT / "dist").mkdir(exist_ok=True)
    table = ROOT / "dist/cut-offs.txt"
    classroom = Classroom(Fleet(ROOT / "build/cut-offs", address=options.address))
    classroom.fleet.down()
    log = ROOT / "build/cut-offs.log"
    with log.open("w", encoding="utf-8", buffering=1) as file, redirect_stdout(file):  # the playbooks' output
        classroom.fleet.up(1)
        whole = measure(classroom)
        while made < options.runs:
            classroom.fleet.down()
            cuts = drawn(whole, min(options.fleet, options.runs - made), draw)
            classroom.fleet.up(len(cuts))
            for row, held in cut_round(classroom, made + 1, cuts):
                rows.append(row)
                say(row)
                good += held
            made += len(cuts)
            table.write_text("\n".join(rows) + "\n", encoding="utf-8")
        classroom.fleet.down()
    rows.append(f"{good} of {made} runs were completed by the next one, and the one after changed nothing.")
    print(rows[-1])
    table.write_text("\n".join(rows) + "\n", encoding="utf-8")
    sys.exit(good < made)


if __name__ == "__main__":
    main()
