"""site.yml is cut off at random moments on fresh virtual Pis; each time the next run must complete it.

    python -m tests.benchmarks.cut_offs [--runs 50] [--seed 2016] [--fleet 10]

Half of the moments are drawn from the whole run, half from the tasks that install packages. For every second one the
Pi's power is cut as well; in the others the Pi goes on with what it was told. Then

- site.yml succeeds;
- its next run changes nothing.

A virtual Pi is a container: what its processes had written is there after a cut. What a card loses is not shown here,
but in test_repair.py and tests/unit/plugins/test_repair_dpkg.py. The table is kept in dist/cut-offs.txt, by rounds.
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
# Packages that are not as a finished dpkg leaves them, by their states; and who is still at work on them.
STATE = r"""
sudo sed -n 's/^Status: [a-z]* //p' /var/lib/dpkg/status /var/lib/dpkg/updates/[0-9]* 2>/dev/null |
    grep -vx 'ok \(installed\|not-installed\|config-files\)' | sort | uniq -c | tr -s ' \n' ' '
pgrep -x 'dpkg|apt-get' >/dev/null && echo 'dpkg at work'
"""


@dataclass(frozen=True)
class Cut:
    """A moment of a run: so many seconds into a task."""

    task: str
    seconds: float


@dataclass(frozen=True)
class WholeRun:
    """A run that was not cut off: when each of its tasks began, and when it ended, in seconds."""

    tasks: Sequence[tuple[float, str]]
    seconds: float

    def at(self, moment: float) -> Cut:
        """Say where a moment is: another run may be slower."""
        begun, task = max((pair for pair in self.tasks if pair[0] <= moment), default=self.tasks[0])
        return Cut(task, max(moment - begun, 0))

    def spread(self, count: int, draw: random.Random) -> list[Cut]:
        """Draw one moment from each of so many equal parts of the run."""
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
    """Return what makes a run name each task as it begins."""
    return {**os.environ, "ANSIBLE_DISPLAY_SKIPPED_HOSTS": "true"}


def cut_off(classroom: Classroom, name: str, cut: Cut, power: bool) -> None:
    """Start a run against one Pi, and end it and all its children; with `power`, the Pi too."""
    run = PlaybookRun(classroom.command("site", f"--limit={name}"), ROOT, environment())
    run.when(re.escape(f"[{cut.task}]"), patience=900)
    time.sleep(cut.seconds)
    run.kill()
    if power:
        classroom.fleet.kill(name)
    what = "run and power" if power else "run"
    print(f"{name}: {what} cut off {cut.seconds:.1f} s after the start of {cut.task}, in {run.tasks[-1][1]}")


def drawn(whole: WholeRun, count: int, draw: random.Random) -> list[Cut]:
    """Draw so many moments, in any order."""
    anywhere = whole.spread(count // 2, draw) if count > 1 else []
    cuts = anywhere + [whole.installing(draw) for _ in range(count - len(anywhere))]
    draw.shuffle(cuts)
    return cuts


def measure(classroom: Classroom) -> WholeRun:
    """Run site.yml against the first Pi, undisturbed."""
    run = PlaybookRun(classroom.command("site", "--limit=pi-01"), ROOT, environment())
    assert run.wait(1800) == 0, run.output[-3000:]
    return WholeRun(run.tasks, time.monotonic() - run.began)


@dataclass(frozen=True)
class Run:
    """A run of site.yml against all Pis: what became of each, and how long it took."""

    hosts: dict[str, Recap]
    seconds: float

    def completed(self, name: str) -> bool:
        """Whether that Pi was finished."""
        counts = self.hosts.get(name)
        return counts is not None and not counts.failed and not counts.unreachable


def complete(classroom: Classroom) -> Run:
    """Run site.yml against all Pis."""
    began = time.monotonic()
    done = classroom.playbook("site", timeout=3600)
    return Run(recap(done.stdout), time.monotonic() - began)


HEAD = "  cut  what was cut   dpkg's state afterwards                   completed  after, s  then changed  moment"


def cut_round(classroom: Classroom, first: int, cuts: list[Cut]) -> Iterator[tuple[str, bool]]:
    """Cut off a run on each of as many Pis, and complete them; yield a row of the table and whether all held."""
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
    """Cut off, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=50, help="how many runs are cut off (%(default)s)")
    parser.add_argument("--seed", type=int, default=2016, help="of the moments (%(default)s)")
    parser.add_argument("--fleet", type=int, default=10, help="how many virtual Pis at once (%(default)s)")
    parser.add_argument("--address", default="127.77.25.0", help="of the fleet (%(default)s)")
    options = parser.parse_args()
    draw, good, made = random.Random(options.seed), 0, 0
    rows = [f"{options.runs} runs cut off, seed {options.seed}", HEAD]
    say("\n".join(rows))
    (ROOT / "dist").mkdir(exist_ok=True)
    table = ROOT / "dist/cut-offs.txt"
    classroom = Classroom(Fleet(ROOT / "build/cut-offs", address=options.address))
    classroom.fleet.down()
    log = ROOT / "build/cut-offs.log"
    with log.open("w", encoding="utf-8", buffering=1) as file, redirect_stdout(file):  # what the playbooks say
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
    rows.append(f"{good} of {made} were completed by the next run, and the one after changed nothing.")
    print(rows[-1])
    table.write_text("\n".join(rows) + "\n", encoding="utf-8")
    sys.exit(good < made)


if __name__ == "__main__":
    main()
