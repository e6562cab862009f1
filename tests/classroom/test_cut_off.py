"""A run that was cut off at any moment is completed by the next."""

from __future__ import annotations

import contextlib
import random
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from tests.classroom.classroom import ROOT, Classroom, recap
from tests.classroom.live import LiveRun

COLD = 120  # seconds that a cold run takes here when two go on at once


@dataclass(frozen=True)
class Cut:
    """Where one Pi's run was cut off."""

    name: str
    moment: float
    task: str


def cut_off(ten: Classroom, name: str, moment: float) -> Cut:
    """Start a run against one Pi, and end it and all its children after so many seconds."""
    run = LiveRun(ten.command("site", f"--limit={name}"), ROOT)
    with contextlib.suppress(subprocess.TimeoutExpired):  # which then ends it
        run.wait(moment)
    return Cut(name, moment, run.task)


@pytest.fixture(scope="module")
def cuts(ten_fresh: Classroom) -> list[Cut]:
    """Cut off one run for each of ten fresh Pis, at moments drawn from each tenth of a run."""
    draw = random.Random(2016)
    moments = [(tenth + draw.random()) * COLD / 10 for tenth in range(10)]
    draw.shuffle(moments)
    with ThreadPoolExecutor(2) as two:
        names = [f"pi-{number:02}" for number in range(1, 11)]
        made = list(two.map(lambda pair: cut_off(ten_fresh, *pair), zip(names, moments, strict=True)))
    for cut in made:
        print(f"{cut.name}: cut off after {cut.moment:.0f} s in {cut.task}")
    return made


def test_the_next_run_completes_what_was_cut_off(ten_fresh: Classroom, cuts: list[Cut]) -> None:
    assert len({cut.task for cut in cuts}) >= 4  # they were cut off in many places, apt and pip among them
    done = ten_fresh.playbook("site")
    assert done.returncode == 0
    assert all(counts.failed == counts.unreachable == 0 for counts in recap(done.stdout).values())
    again = recap(ten_fresh.playbook("site").stdout)
    assert {name: counts.changed for name, counts in again.items() if name != "localhost"} == {
        cut.name: 0 for cut in cuts
    }
    assert ten_fresh.playbook("verify", "-e", f"verify_report={ROOT}/dist/report-cut-off").returncode == 0
