"""One provisioned virtual Pi for all tests that need one."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.classroom.classroom import ROOT, Classroom
from tests.classroom.image_room import ImageBuild, build
from tests.classroom.live import LiveRun
from tests.virtual import Fleet


@dataclass(frozen=True)
class FirstDay:
    """What the runs said by which the Pi was provisioned."""

    classroom: Classroom
    fresh: str
    check_fresh: subprocess.CompletedProcess[str]
    after_check: str
    first: subprocess.CompletedProcess[str]
    tasks: list[tuple[float, str]]  # of the first run: after how many seconds each began
    seconds: float  # that it took


def all_files(classroom: Classroom) -> str:
    """Return what there is on a Pi, with owners, sizes and times, and its name; all but the account `pi`'s own."""
    places = "/etc /home /opt /srv /usr /var/lib/dpkg"
    find = f"sudo find {places} -path /home/pi -prune -o -printf '%p %m %u %s %C@\\n'"
    return classroom.ssh(f"{find} | sort; hostname").stdout


@pytest.fixture(scope="session")
def first_day() -> Iterator[FirstDay]:
    """Provision a fresh Pi, after a look at what would be done."""
    fleet = Fleet(ROOT / "build/virtual-tests", address="127.77.5.0")
    fleet.down()
    fleet.up(1, publish=(8888, 8889, 8890))  # for as many students
    classroom = Classroom(fleet)
    fresh = all_files(classroom)
    check = classroom.playbook("site", "--check", "--diff")
    after_check = all_files(classroom)
    run = LiveRun(classroom.command("site"), ROOT, {**os.environ, "ANSIBLE_DISPLAY_SKIPPED_HOSTS": "true"})
    first = subprocess.CompletedProcess("site", run.wait(1800), run.output, "")
    yield FirstDay(classroom, fresh, check, after_check, first, run.tasks, time.monotonic() - run.began)
    fleet.down()


@pytest.fixture(scope="session")
def classroom(first_day: FirstDay) -> Classroom:
    """Return a classroom of one provisioned Pi; a test leaves it as it found it."""
    assert first_day.first.returncode == 0, first_day.first.stdout[-3000:]
    return first_day.classroom


@pytest.fixture(scope="session")
def ten_fresh() -> Iterator[Classroom]:
    """Return a classroom of ten fresh Pis."""
    fleet = Fleet(ROOT / "build/virtual-ten", address="127.77.7.0")
    fleet.down()
    fleet.up(10)
    yield Classroom(fleet)
    fleet.down()


@pytest.fixture(scope="session")
def ten(ten_fresh: Classroom) -> Classroom:
    """Return the ten, provisioned."""
    assert ten_fresh.playbook("site").returncode == 0
    return ten_fresh


@pytest.fixture(scope="session")
def image_build() -> ImageBuild:
    """Return a finished build of the image of an SD card."""
    return build()
