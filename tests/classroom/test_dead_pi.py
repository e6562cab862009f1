"""If one Pi of three dies, the others are finished, the summary names it, and the run does not hang."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.classroom import ANSIBLE, ROOT, Classroom, recap
from tests.support.playbook_run import PlaybookRun
from tests.virtual import Fleet

ALIVE, DEAD = ("pi-01", "pi-03"), "pi-02"
MIDWAY = r"TASK \[mnist : Find the MNIST files"
GIVEN_UP = rf"^fatal: \[{DEAD}\]: UNREACHABLE"
PATIENCE = 30  # seconds until a dead Pi is given up


@pytest.fixture(scope="module")
def three(ten: Classroom, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an inventory of three provisioned Pis."""
    lines = ten.inventory.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if not line.startswith("pi-") or line.startswith((*ALIVE, DEAD))]
    inventory = tmp_path_factory.mktemp("three") / "inventory.ini"
    inventory.write_text("\n".join(kept) + "\n", encoding="utf-8")
    return inventory


@pytest.fixture
def fleet(ten: Classroom) -> Iterator[Fleet]:
    """Return a fleet that a test may damage, and repair it afterwards."""
    yield ten.fleet
    ten.fleet.up(10)


def site(inventory: Path, *arguments: str, strategy: str) -> PlaybookRun:
    command = [str(ANSIBLE), "-i", str(inventory), str(ROOT / "playbooks/site.yml"), *arguments]
    return PlaybookRun(command, ROOT, {**os.environ, "ANSIBLE_STRATEGY": strategy})


def assert_only_the_dead_pi_is_unfinished(run: PlaybookRun, code: int) -> None:
    counts = recap(run.output)
    assert set(counts) == {*ALIVE, DEAD}
    assert (counts[DEAD].unreachable, counts[DEAD].failed) == (1, 0)
    for name in ALIVE:
        assert (counts[name].unreachable, counts[name].failed) == (0, 0)
        assert counts[name].ok > counts[DEAD].ok + 5
    assert re.search(rf"Not finished: {DEAD}\.", run.output)
    assert code != 0


# With mitogen, and with Ansible's own strategy.
@pytest.mark.parametrize(
    ("fault", "strategy"),
    [
        ("kill", "classroom"),
        ("freeze", "classroom"),
        ("unplug", "classroom"),
        ("kill", "linear"),
        pytest.param("freeze", "linear", marks=pytest.mark.long),
        pytest.param("unplug", "linear", marks=pytest.mark.long),
    ],
)
def test_a_pi_that_dies_during_a_run_is_given_up(three: Path, fleet: Fleet, fault: str, strategy: str) -> None:
    run = site(three, strategy=strategy)
    run.when(MIDWAY)
    getattr(fleet, fault)(DEAD)
    died = time.monotonic()
    given_up = run.when(GIVEN_UP) - died
    code = run.wait()
    print(f"{fault} under {strategy}: given up after {given_up:.1f} s")
    assert_only_the_dead_pi_is_unfinished(run, code)
    assert given_up < PATIENCE


@pytest.mark.parametrize("strategy", ["classroom", pytest.param("linear", marks=pytest.mark.long)])
def test_a_pi_that_was_dead_before_is_given_up(ten: Classroom, fleet: Fleet, strategy: str) -> None:
    fleet.freeze(DEAD)
    run = site(ten.inventory, f"--limit={DEAD},{','.join(ALIVE)}", strategy=strategy)
    given_up = run.when(GIVEN_UP) - run.began
    code = run.wait()
    print(f"frozen before a run under {strategy}: given up after {given_up:.1f} s")
    assert_only_the_dead_pi_is_unfinished(run, code)
    assert given_up < PATIENCE
