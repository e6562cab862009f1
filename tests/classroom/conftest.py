"""The virtual Pis that several files share, repaired before each file uses them; and the SD card image."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from tests.support.classroom import ROOT, Classroom
from tests.support.cluster import WORKER_PORT
from tests.support.image_build import ImageBuild, build
from tests.support.playbook_run import PlaybookRun
from tests.virtual import Fleet, VirtualError

# A check of a provisioned Pi that takes a second. verify.yml checks far more, and takes 15 seconds.
CHECK = """
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
    publish: tuple[int, ...] = (8888, WORKER_PORT)
    template: Shared | None = None  # the Pis start from a copy of its disk
    error: str = field(default="", init=False)  # why provisioning failed; it is not tried again

    @property
    def classroom(self) -> Classroom:
        """The fleet in its current state."""
        return Classroom(self.fleet)

    def fresh(self) -> Classroom:
        """Return fresh Pis, before the first run of site.yml."""
        self.fleet.down()
        self.fleet.up(self.size, publish=self.publish)
        return self.classroom

    def provisioned(self) -> Classroom:
        """Return provisioned Pis: the existing ones if they are healthy, else repaired, else recreated."""
        if self.error:
            pytest.fail(self.error, pytrace=False)
        if self.is_provisioned():
            return self.classroom
        if not self._repair() and (self._recreate().playbook("site").returncode != 0 or not self.is_provisioned()):
            self.error = (
                f"{self.size} fresh virtual Pis could not be provisioned: the first test that failed shows why."
            )
            pytest.fail(self.error, pytrace=False)
        return self.classroom

    def _repair(self) -> bool:
        """Repair the existing Pis. Return whether that succeeded."""
        try:
            if not self.fleet.list():
                return False
            self.fleet.up(self.size, publish=self.publish)
            return self.classroom.playbook("site").returncode == 0 and self.is_provisioned()
        except (VirtualError, subprocess.TimeoutExpired):
            return False

    def _recreate(self) -> Classroom:
        """Recreate the Pis: fresh, or as copies of a provisioned one, which saves minutes."""
        if not self.template:
            return self.fresh()
        self.fleet.down()
        self.fleet.up(self.size, publish=self.publish, base=self.template.save())
        return self.classroom

    def save(self) -> str:
        """Save the disk of the first Pi, once provisioned, and return what another fleet can be based on."""
        self.provisioned()
        self.fleet.stop("pi-01")
        disk = self.fleet.save("pi-01")
        self.fleet.start("pi-01")
        return disk

    def is_provisioned(self) -> bool:
        """Return whether every Pi is running and passes the quick check."""
        try:
            states = {str(pi["name"]): pi["status"] for pi in self.fleet.list()}
        except VirtualError:
            return False
        if len(states) != self.size or set(states.values()) != {"running"}:
            return False
        with ThreadPoolExecutor(self.size) as pool:
            return all(pool.map(self._is_provisioned, states))

    def _is_provisioned(self, name: str) -> bool:
        try:
            return self.fleet.ssh(name, CHECK.format(name=name), timeout=60).returncode == 0
        except subprocess.TimeoutExpired:
            return False


@dataclass(frozen=True)
class Baseline:
    """The results of the runs that provisioned the Pi."""

    fresh: str
    check_fresh: subprocess.CompletedProcess[str]
    after_check: str
    first: subprocess.CompletedProcess[str]
    tasks: list[tuple[float, str]]  # of the first run: when each began, in seconds, and its name
    seconds: float  # how long the first run took


def all_files(classroom: Classroom) -> str:
    """Return a Pi's files, with owners, sizes and times, and its host name. The home of `pi` is left out."""
    places = "/etc /home /opt /srv /usr /var/lib/dpkg"
    find = f"sudo find {places} -path /home/pi -prune -o -printf '%p %m %u %s %C@\\n'"
    return classroom.ssh(f"{find} | sort; hostname").stdout


@pytest.fixture(scope="session")
def one_pi() -> Iterator[Shared]:
    """Share one Pi, with ports for three students."""
    one = Shared(Fleet(ROOT / "build/virtual-tests", address="127.77.5.0"), 1, (8888, 8889, 8890, WORKER_PORT))
    yield one
    one.fleet.down()


@pytest.fixture(scope="session")
def ten_pis(baseline: Baseline, one_pi: Shared) -> Iterator[Shared]:
    """Share ten Pis."""
    ten = Shared(Fleet(ROOT / "build/virtual-ten", address="127.77.7.0"), 10, template=one_pi)
    yield ten
    ten.fleet.down()


@pytest.fixture(scope="session")
def baseline(one_pi: Shared) -> Baseline:
    """Provision a fresh Pi, after a run in check mode."""
    classroom = one_pi.fresh()
    fresh = all_files(classroom)
    check = classroom.playbook("site", "--check", "--diff")
    after_check = all_files(classroom)
    run = PlaybookRun(classroom.command("site"), ROOT, {**os.environ, "ANSIBLE_DISPLAY_SKIPPED_HOSTS": "true"})
    first = subprocess.CompletedProcess("site", run.wait(1800), run.output, "")
    return Baseline(fresh, check, after_check, first, run.tasks, time.monotonic() - run.began)


@pytest.fixture(scope="module")
def classroom(baseline: Baseline, one_pi: Shared) -> Classroom:
    """Return a classroom of one provisioned Pi. A test file leaves it as it found it."""
    return one_pi.provisioned()


@pytest.fixture(scope="module")
def ten_fresh(ten_pis: Shared) -> Classroom:
    """Return a classroom of ten fresh Pis."""
    return ten_pis.fresh()


@pytest.fixture(scope="module")
def ten(ten_pis: Shared) -> Classroom:
    """Return a classroom of ten provisioned Pis. A test file leaves them as it found them."""
    return ten_pis.provisioned()


@pytest.fixture(scope="session")
def image_build() -> ImageBuild:
    """Build the SD card image."""
    return build()
