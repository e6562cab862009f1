"""A run that was interrupted at any moment is completed by the next."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.benchmarks.cut_offs import Cut, WholeRun, cut_off
from tests.classroom.conftest import Baseline
from tests.support.classroom import ROOT, Classroom, recap

NAMES = [f"pi-{number:02}" for number in range(1, 11)]


@pytest.fixture(scope="module")
def cuts(baseline: Baseline, ten_fresh: Classroom) -> list[Cut]:
    """Interrupt a run on each of ten fresh Pis; for every second one, cut the Pi's power as well."""
    draw = random.Random(2016)
    drawn = WholeRun(baseline.tasks, baseline.seconds).spread(len(NAMES), draw)
    draw.shuffle(drawn)
    with ThreadPoolExecutor(2) as two:
        list(two.map(cut_off, [ten_fresh] * 10, NAMES, drawn, [False, True] * 5))
    ten_fresh.fleet.up(len(NAMES))
    return drawn


@pytest.mark.long
def test_the_next_run_completes_an_interrupted_one(ten_fresh: Classroom, cuts: list[Cut]) -> None:
    assert len({cut.task for cut in cuts}) >= 4  # interrupted in several tasks, apt and pip among them
    done = ten_fresh.playbook("site")
    assert done.returncode == 0
    counted = recap(done.stdout)
    assert sorted(counted) == NAMES
    assert all(counts.failed == counts.unreachable == 0 for counts in counted.values())
    again = recap(ten_fresh.playbook("site").stdout)
    assert {name: counts.changed for name, counts in again.items()} == dict.fromkeys(NAMES, 0)
    assert ten_fresh.playbook("verify", "-e", f"report_folder={ROOT}/dist/report-cut-off").returncode == 0
