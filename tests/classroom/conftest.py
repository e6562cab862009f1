"""The virtual Pis that the chapters of a school year share, repaired before each chapter, and the SD card image."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.classroom import ROOT, Classroom
from tests.support.cluster import WORKER_PORT
from tests.support.image_build import ImageBuild, build
from tests.virtual import Fleet

# The school year. Each chapter also runs alone, and the order of the others does not matter.
CHAPTERS = ["site", "browser", "verify", "lessons", "student_work", "student_against_pi", "teacher", "repair"]
CHAPTERS += ["students", "desk", "find", "cluster", "faults", "update"]
# A check of a provisioned Pi that takes a second. verify.yml checks far more, and takes 15 seconds.
CHECK = """
set -e
test "$(hostname)" = {name}
test -z "$(sudo dpkg --audit)"
systemctl is-active --quiet jupyter
sudo systemctl start mynn-name  # corrects the name on the network, now instead of within ten minutes
python3 -c 'import urllib.request as r; r.urlopen("http://127.0.0.1:8888/login", timeout=10)'
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the chapters of the school year in order, and then all others."""
    order = {f"test_{name}.py": number for number, name in enumerate(CHAPTERS)}
    items.sort(key=lambda item: order.get(item.path.name, len(order)))


@dataclass
class Shared:
    """A fleet that several files share; its Pis start from a copy of another fleet's first Pi, or fresh."""

    fleet: Fleet
    size: int
    template: Shared | None = None

    def fresh(self) -> Classroom:
        """Return fresh Pis, before the first run of site.yml."""
        self.fleet.down()
        self.fleet.up(self.size, publish=(8888, 8889, 8890, WORKER_PORT))
        return Classroom(self.fleet)

    def provisioned(self) -> Classroom:
        """Return provisioned Pis: the existing ones if they are healthy, otherwise new ones."""
        if not self.is_provisioned():
            classroom = self.copied(self.template) if self.template else self.fresh()
            classroom.run("site", "-e", "jupyter_new_passwords=true")  # a copy has those of another Pi
            assert self.is_provisioned(), "The Pis that site.yml has provisioned are not healthy."
        return Classroom(self.fleet)

    def copied(self, template: Shared) -> Classroom:
        """Return copies of a provisioned Pi, which saves minutes."""
        self.fleet.down()
        template.provisioned()
        template.fleet.container("pi-01").stop()
        disk = template.fleet.container("pi-01").save()
        template.fleet.start("pi-01")
        self.fleet.up(self.size, publish=(8888, 8889, 8890, WORKER_PORT), base=disk)
        return Classroom(self.fleet)

    def is_provisioned(self) -> bool:
        """Return whether every Pi is running and passes the quick check."""
        states = {pi.name: pi.status() for pi in self.fleet.members}
        if len(states) != self.size or set(states.values()) != {"running"}:
            return False
        with suppress(subprocess.TimeoutExpired):
            return all(self.fleet.member(name).ssh(CHECK.format(name=name)).returncode == 0 for name in states)
        return False


def all_files(classroom: Classroom) -> str:
    """Return a Pi's files, with owners, sizes and times, and its host name. The home of `pi` is left out."""
    places = "/etc /home /opt /srv /usr /var/lib/dpkg"
    find = f"sudo find {places} -path /home/pi -prune -o -printf '%p %m %u %s %C@\\n'"
    return classroom.ssh(f"{find} | sort; hostname").stdout


@pytest.fixture(scope="session")
def one_pi() -> Iterator[Shared]:
    """Share one Pi."""
    one = Shared(Fleet(ROOT / "build/virtual-tests", address="127.77.5.0"), 1)
    yield one
    one.fleet.down()


@pytest.fixture(scope="session")
def three_pis(first_run: str, one_pi: Shared) -> Iterator[Shared]:
    """Share three Pis."""
    three = Shared(Fleet(ROOT / "build/virtual-three", address="127.77.7.0"), 3, template=one_pi)
    yield three
    three.fleet.down()


@pytest.fixture(scope="session")
def fresh(one_pi: Shared) -> Classroom:
    """Return a classroom of one fresh Pi."""
    return one_pi.fresh()


@pytest.fixture(scope="session")
def first_run(fresh: Classroom) -> str:
    """Provision the fresh Pi; return what that printed."""
    return fresh.run("site")


@pytest.fixture(scope="module")
def classroom(first_run: str, one_pi: Shared) -> Classroom:
    """Return a classroom of one provisioned Pi. Whatever a file does to it, the next gets a healthy one."""
    return one_pi.provisioned()


@pytest.fixture(scope="module")
def three(three_pis: Shared) -> Classroom:
    """Return a classroom of three provisioned Pis."""
    return three_pis.provisioned()


@pytest.fixture(scope="session")
def image_build() -> ImageBuild:
    """Build the SD card image."""
    return build()


@pytest.fixture
def own_report(tmp_path: Path) -> list[str]:
    """Return the options that send the results of verification, and what the desk shows, to a folder of the test."""
    return ["-e", f"desk_folder={tmp_path}/desk", "-e", f"verify_results={tmp_path}/work"]
