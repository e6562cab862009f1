"""The teacher's computer: any Linux, an ordinary user without sudo or apt, and a path with a space."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.classroom import ROOT, Classroom, recap

NOBODY = 65534
# Programs that only root may use, or that only Debian has.
MISSING = (
    "sudo",
    "su",
    "apt",
    "apt-*",
    "dpkg*",
    "debconf*",
    "mmdebstrap",
    "podman",
    "gcc*",
    "*-gcc*",
    "cc",
    "chromium",
)


class Teacher:
    """An ordinary user with a copy of the project."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.project = home / "my class" / "mynn-pi"
        self.inventory = home / "inventory.ini"

    def make(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run make as this user."""
        environment = {"HOME": str(self.home), "PATH": str(self.home / "bin"), "LANG": "C.UTF-8"}
        done = subprocess.run(
            ["make", f"INVENTORY={self.inventory}", *words],
            cwd=self.project,
            env=environment,
            user=NOBODY,
            group=NOBODY,
            extra_groups=[],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        print(done.stdout[-10000:], done.stderr[-5000:])
        return done


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """A home folder; pytest's own folders are closed to others."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@pytest.fixture(scope="module")
def teacher(classroom: Classroom, home: Path) -> Iterator[Teacher]:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user: run pytest as root")
    teacher = Teacher(home)
    teacher.project.mkdir(parents=True)
    files = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout.split("\0")
    for name in filter(None, files):
        (teacher.project / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, teacher.project / name, follow_symlinks=False)
    (home / "bin").mkdir()
    for program in Path("/usr/bin").iterdir():
        if not any(program.match(pattern) for pattern in MISSING):
            (home / "bin" / program.name).symlink_to(program)
    key = home / "key"
    shutil.copy(classroom.fleet.state.key, key)
    text = classroom.inventory.read_text(encoding="utf-8").replace(str(classroom.fleet.state.key), str(key))
    known_hosts = classroom.fleet.state.known_hosts
    teacher.inventory.write_text(text.replace(str(known_hosts), str(home / "known_hosts")), encoding="utf-8")
    # The Pi's password is that of the other copy.
    (teacher.project / "dist").mkdir()
    shutil.copytree(ROOT / "dist/passwords", teacher.project / "dist/passwords")
    for path in (home, *home.rglob("*")):
        os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
    key.chmod(0o600)
    yield teacher
    assert classroom.playbook("site").returncode == 0  # with the compiled kernel again


def test_every_command_for_real_pis_works(teacher: Teacher, classroom: Classroom) -> None:
    done = teacher.make("site")
    assert done.returncode == 0
    assert recap(done.stdout)["pi-01"].failed == 0
    for command in ("verify", "report", "labels", "collect"):
        assert teacher.make(command).returncode == 0, command
    dist = teacher.project / "dist"
    assert "The Pi is ready" in (dist / "report/index.html").read_text(encoding="utf-8")
    assert (dist / "labels/labels-A4.pdf").is_file()
    assert list(dist.glob("work/2*/pi-01"))


@pytest.mark.parametrize("command", ["demo", "image", "compilers"])
def test_commands_that_need_debian_say_so(teacher: Teacher, command: str) -> None:
    done = teacher.make(command)
    assert done.returncode != 0
    [sentence] = [line for line in done.stderr.splitlines() if not line.startswith("make")]
    assert "needs Debian 12 or 13" in sentence
    assert "Traceback" not in done.stdout
