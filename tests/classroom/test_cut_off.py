"""A run that was cut off at any moment is completed by the next."""

from __future__ import annotations

import os
import random
import re
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from tests.classroom.classroom import ROOT, Classroom, recap
from tests.classroom.conftest import FirstDay
from tests.classroom.live import LiveRun

NAMES = [f"pi-{number:02}" for number in range(1, 11)]


@dataclass(frozen=True)
class Cut:
    """A moment of a run: so many seconds into a task."""

    task: str
    seconds: float


def moments(day: FirstDay, draw: random.Random) -> list[Cut]:
    """Draw one moment from each tenth of a whole run, and say where it is: another run may be slower."""
    drawn = []
    for tenth in range(10):
        moment = (tenth + draw.random()) * day.seconds / 10
        begun, task = max((pair for pair in day.tasks if pair[0] <= moment), default=day.tasks[0])
        drawn.append(Cut(task, max(moment - begun, 0)))
    return drawn


def cut_off(ten: Classroom, name: str, cut: Cut, power: bool) -> None:
    """Start a run against one Pi, and end it and all its children; with `power`, the Pi too."""
    environment = {**os.environ, "ANSIBLE_DISPLAY_SKIPPED_HOSTS": "true"}
    run = LiveRun(ten.command("site", f"--limit={name}"), ROOT, environment)
    run.when(re.escape(f"[{cut.task}]"), patience=900)
    time.sleep(cut.seconds)
    run.kill()
    if power:
        ten.fleet.kill(name)
    what = "run and power" if power else "run"
    print(f"{name}: {what} cut off {cut.seconds:.1f} s after the start of {cut.task}, in {run.tasks[-1][1]}")


@pytest.fixture(scope="module")
def cuts(first_day: FirstDay, ten_fresh: Classroom) -> list[Cut]:
    """Cut off one run for each of ten fresh Pis; for every second one, pull the Pi's plug as well."""
    draw = random.Random(2016)
    drawn = moments(first_day, draw)
    draw.shuffle(drawn)
    with ThreadPoolExecutor(2) as two:
        list(two.map(cut_off, [ten_fresh] * 10, NAMES, drawn, [False, True] * 5))
    ten_fresh.fleet.up(len(NAMES))
    return drawn


def test_the_next_run_completes_what_was_cut_off(ten_fresh: Classroom, cuts: list[Cut]) -> None:
    assert len({cut.task for cut in cuts}) >= 4  # they were cut off in many places, apt and pip among them
    done = ten_fresh.playbook("site")
    assert done.returncode == 0
    counted = recap(done.stdout)
    assert sorted(counted) == NAMES
    assert all(counts.failed == counts.unreachable == 0 for counts in counted.values())
    again = recap(ten_fresh.playbook("site").stdout)
    assert {name: counts.changed for name, counts in again.items()} == dict.fromkeys(NAMES, 0)
    assert ten_fresh.playbook("verify", "-e", f"verify_report={ROOT}/dist/report-cut-off").returncode == 0
