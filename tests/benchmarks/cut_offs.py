"""Interrupt site.yml at random moments on fresh virtual Pis, and check that the next run completes it.

    python -m tests.benchmarks.cut_offs [--runs 30] [--seed 2016] [--fleet 10]

For every second Pi its power is cut as well; otherwise it finishes its current command. Afterwards site.yml must
succeed, and its next run must change nothing. Virtual Pis are containers, so what a process has written survives a
cut: tests/classroom/test_repair.py covers data that a card loses. The table is written to dist/cut-offs.txt.
"""

import argparse
import random
import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout

from tests.benchmarks.site import save, say
from tests.support.classroom import ROOT, Classroom, Recap, recap
from tests.support.playbook_run import PlaybookRun
from tests.virtual import Fleet

# The packages in unfinished states, by state.
STATE = r"""
sudo sed -n 's/^Status: [a-z]* //p' /var/lib/dpkg/status /var/lib/dpkg/updates/[0-9]* 2>/dev/null |
    grep -vx 'ok \(installed\|not-installed\|config-files\)' | sort | uniq -c | tr -s ' \n' ' '
"""
HEAD = "interrupted    after  dpkg's state afterwards                   completed  then changed  in the task"


def cut_off(classroom: Classroom, name: str, seconds: float, power: bool) -> str:
    """Start a run against one Pi, kill it after so many seconds, and return the task that it was in."""
    run = PlaybookRun(classroom.command("site", f"--limit={name}"), ROOT)
    time.sleep(seconds)
    run.kill()
    if power:
        classroom.fleet.kill(name)
    return str(["none", *re.findall(r"^(?:TASK|RUNNING HANDLER) \[(.*)\]", run.output, re.M)][-1])


def site(classroom: Classroom) -> dict[str, Recap]:
    """Run site.yml against all Pis, and return the counts by host."""
    return recap(classroom.playbook("site", timeout=3600).stdout)


def cut_round(classroom: Classroom, cuts: list[float]) -> list[tuple[bool, str]]:
    """Interrupt a run on each fresh Pi, and complete it; return whether each succeeded, and its row."""
    classroom.fleet.down()
    classroom.fleet.up(len(cuts))
    names = [f"pi-{number:02}" for number in range(1, len(cuts) + 1)]
    powers = [number % 2 == 0 for number in range(len(cuts))]
    with ThreadPoolExecutor(3) as three:
        tasks = list(three.map(cut_off, [classroom] * len(cuts), names, cuts, powers))
    classroom.fleet.up(len(names))
    states = [classroom.fleet.ssh(name, STATE).stdout.strip() or "finished" for name in names]
    then, again = site(classroom), site(classroom)
    rows = []
    for name, cut, power, task, state in zip(names, cuts, powers, tasks, states, strict=True):
        done = not then[name].failed and not then[name].unreachable
        idle = not again[name].failed and not again[name].unreachable and not again[name].changed
        what = "run and power" if power else "run"
        row = f"{what:13}  {cut:3.0f} s  {state:40}  {'yes' if done else 'NO':9}  {again[name].changed:12}  {task}"
        rows.append((done and idle, row))
    return rows


def main() -> None:
    """Run the benchmark, and print and save the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=30, help="how many runs to interrupt (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=2016, help="random seed (default: %(default)s)")
    parser.add_argument("--fleet", type=int, default=10, help="number of virtual Pis (default: %(default)s)")
    options = parser.parse_args()
    draw, rows = random.Random(options.seed), list[tuple[bool, str]]()
    classroom = Classroom(Fleet(ROOT / "build/cut-offs", address="127.77.25.0"))
    classroom.fleet.down()
    say(HEAD)
    (ROOT / "build").mkdir(exist_ok=True)
    log = ROOT / "build/cut-offs.log"
    with log.open("w", encoding="utf-8", buffering=1) as file, redirect_stdout(file):  # the playbooks' output
        classroom.fleet.up(1)
        began = time.monotonic()
        classroom.run("site")
        whole = time.monotonic() - began
        while len(rows) < options.runs:
            count = min(options.fleet, options.runs - len(rows))
            made = cut_round(classroom, [draw.random() * whole for _ in range(count)])
            say("\n".join(row for _, row in made))
            rows += made
        classroom.fleet.down()
    good = sum(held for held, _ in rows)
    last = f"{good} of {len(rows)} runs were completed by the next one, and the one after changed nothing."
    say(last)
    save("cut-offs.txt", [HEAD, *(row for _, row in rows), last])
    sys.exit(good < len(rows))


if __name__ == "__main__":
    main()
