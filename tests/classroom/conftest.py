"""One provisioned virtual Pi for all tests that need one."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.classroom.classroom import ROOT, Classroom
from tests.virtual import Fleet


@dataclass(frozen=True)
class FirstDay:
    """What the runs said by which the Pi was provisioned."""

    classroom: Classroom
    check_fresh: subprocess.CompletedProcess[str]
    first: subprocess.CompletedProcess[str]


@pytest.fixture(scope="session")
def first_day() -> Iterator[FirstDay]:
    """Provision a fresh Pi, after a look at what would be done."""
    fleet = Fleet(ROOT / "build/virtual-tests", address="127.77.5.0")
    fleet.down()
    fleet.up(1)
    classroom = Classroom(fleet)
    yield FirstDay(classroom, classroom.playbook("site", "--check", "--diff"), classroom.playbook("site"))
    fleet.down()


@pytest.fixture(scope="session")
def classroom(first_day: FirstDay) -> Classroom:
    """Return a classroom of one provisioned Pi; a test leaves it as it found it."""
    assert first_day.first.returncode == 0, first_day.first.stdout[-3000:]
    return first_day.classroom
