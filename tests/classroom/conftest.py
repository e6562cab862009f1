"""The virtual Pis that several files share, handed out whole whatever the last test did to them; and the image."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.classroom import ROOT, Classroom
from tests.support.image_build import ImageBuild, build
from tests.support.playbook_run import PlaybookRun
from tests.virtual import Fleet, VirtualError

# What a provisioned Pi can be told by in a second. verify.yml asks far more, and takes a quarter of a minute.
WHOLE = """
set -e
test "$(hostname)" = {name}
test -z "$(sudo dpkg --audit)"
systemctl is-active --quiet jupyter
python3 -c 'import urllib.request as r; r.urlopen("http://127.0.0.1:8888/login", timeout=10)'
"""


@dataclass
class Shared:
    """A fleet that several files share."""

    fleet: Fleet
    size: int
    publish: tuple[int, ...] = (8888,)
    like: Shared | None = None  # whose disk the Pis are copies of when they come provisioned
    lost: str = field(default="", init=False)  # why it cannot be had; nobody waits for that twice

    @property
    def classroom(self) -> Classroom:
        """The fleet as it is."""
        return Classroom(self.fleet)

    def fresh(self) -> Classroom:
        """Return the Pis as they are before the first run of site.yml."""
        self.fleet.down()
        self.fleet.up(self.size, publish=self.publish)
        return self.classroom

    def whole(self) -> Classroom:
        """Return the Pis, provisioned: as they are if nothing is wrong with them, else repaired, else made anew."""
        if self.lost:
            pytest.fail(self.lost, pytrace=False)
        if self.is_whole():
            return self.classroom
        if not self._repair() and (self._begin().playbook("site").returncode != 0 or not self.is_whole()):
            self.lost = f"{self.size} fresh virtual Pis could not be provisioned: the first test that failed shows why."
            pytest.fail(self.lost, pytrace=False)
        return self.classroom

    def _repair(self) -> bool:
        """Repair Pis that are there. Return whether they are whole then."""
        try:
            if not self.fleet.list():
                return False
            self.fleet.up(self.size, publish=self.publish)
            return self.classroom.playbook("site").returncode == 0 and self.is_whole()
        except (VirtualError, subprocess.TimeoutExpired):
            return False

    def _begin(self) -> Classroom:
        """Return Pis that nobody has used: fresh ones, or copies of one that is provisioned, which saves minutes."""
        if not self.like:
            return self.fresh()
        self.fleet.down()
        disk = self.fleet.state.pis / "saved"
        self.like.save(disk)
        self.fleet.up(self.size, publish=self.publish, base=disk)
        return self.classroom

    def save(self, disk: Path) -> None:
        """Save the disk of the first Pi, provisioned."""
        self.whole()
        self.fleet.stop("pi-01")
        self.fleet.save("pi-01", disk)
        self.fleet.start("pi-01")

    def is_whole(self) -> bool:
        """Whether every Pi runs and is provisioned, as far as that shows in a second."""
        try:
            states = {str(pi["name"]): pi["status"] for pi in self.fleet.list()}
        except VirtualError:
            return False
        if len(states) != self.size or set(states.values()) != {"running"}:
            return False
        with ThreadPoolExecutor(self.size) as pool:
            return all(pool.map(self._is_whole, states))

    def _is_whole(self, name: str) -> bool:
        try:
            return self.fleet.ssh(name, WHOLE.format(name=name), timeout=60).returncode == 0
        except subprocess.TimeoutExpired:
            return False


@dataclass(frozen=True)
class Baseline:
    """What the runs said by which the Pi was provisioned."""

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
def one_pi() -> Iterator[Shared]:
    """Share one Pi, at whose address three students have a port."""
    one = Shared(Fleet(ROOT / "build/virtual-tests", address="127.77.5.0"), 1, (8888, 8889, 8890))
    yield one
    one.fleet.down()


@pytest.fixture(scope="session")
def ten_pis(baseline: Baseline, one_pi: Shared) -> Iterator[Shared]:
    """Share ten Pis."""
    ten = Shared(Fleet(ROOT / "build/virtual-ten", address="127.77.7.0"), 10, like=one_pi)
    yield ten
    ten.fleet.down()


@pytest.fixture(scope="session")
def baseline(one_pi: Shared) -> Baseline:
    """Provision a fresh Pi, after a look at what would be done."""
    classroom = one_pi.fresh()
    fresh = all_files(classroom)
    check = classroom.playbook("site", "--check", "--diff")
    after_check = all_files(classroom)
    run = PlaybookRun(classroom.command("site"), ROOT, {**os.environ, "ANSIBLE_DISPLAY_SKIPPED_HOSTS": "true"})
    first = subprocess.CompletedProcess("site", run.wait(1800), run.output, "")
    return Baseline(fresh, check, after_check, first, run.tasks, time.monotonic() - run.began)


@pytest.fixture(scope="module")
def classroom(baseline: Baseline, one_pi: Shared) -> Classroom:
    """Return a classroom of one provisioned Pi; a file leaves it as it found it."""
    return one_pi.whole()


@pytest.fixture(scope="module")
def ten_fresh(ten_pis: Shared) -> Classroom:
    """Return a classroom of ten fresh Pis."""
    return ten_pis.fresh()


@pytest.fixture(scope="module")
def ten(ten_pis: Shared) -> Classroom:
    """Return the ten, provisioned; a file leaves them as it found them."""
    return ten_pis.whole()


@pytest.fixture(scope="session")
def image_build() -> ImageBuild:
    """Return a finished build of the image of an SD card."""
    return build()
