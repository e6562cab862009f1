"""The teacher's computer: any Linux, an ordinary user without sudo or apt, and a path with a space."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mynn_control.desk.database import Database
from tests.provisioned.notebook_server import NotebookServer
from tests.support.classroom import ROOT, Classroom
from tests.support.jupyter_server import AS_STUDENT
from tests.support.student import give_to_student

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
        """Run make as an ordinary user: as `nobody` if root runs the tests."""
        environment = {"HOME": str(self.home), "PATH": str(self.home / "bin"), "LANG": "C.UTF-8"}
        environment["PIP_NO_COMPILE"] = "1"  # of Ansible's thousands of files, few are ever imported
        done = subprocess.run(
            ["make", f"INVENTORY={self.inventory}", *words],
            cwd=self.project,
            env=environment,
            **AS_STUDENT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        print(done.stdout[-10000:], done.stderr[-5000:])
        return done


@pytest.fixture(scope="module")
def teacher(classroom: Classroom) -> Iterator[Teacher]:
    """Copy the project, the fleet's key and the passwords into a teacher's home."""
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to others
        teacher = Teacher(Path(name))
        listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        files = subprocess.run(listing, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout.split("\0")
        for path in (Path(file) for file in files if file and os.path.lexists(ROOT / file)):
            (teacher.project / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / path, teacher.project / path, follow_symlinks=False)
        shutil.copytree(ROOT / "dist/passwords", teacher.project / "dist/passwords")
        (teacher.home / "bin").mkdir()
        for program in Path("/usr/bin").iterdir():
            if not any(program.match(pattern) for pattern in MISSING):
                (teacher.home / "bin" / program.name).symlink_to(program)
        state = classroom.fleet.state
        shutil.copy(state.key, teacher.home / "key")
        text = classroom.inventory.read_text(encoding="utf-8").replace(str(state.key), f"{teacher.home}/key")
        teacher.inventory.write_text(text.replace(str(state.known_hosts), f"{teacher.home}/known"), encoding="utf-8")
        for path in (teacher.home, *teacher.home.rglob("*")):
            give_to_student(path)
        yield teacher


def test_the_commands_for_real_pis_work(teacher: Teacher, classroom: Classroom) -> None:
    """A student can sign in with what is printed on the label."""
    for words in (["verify", "CHECKS=no"], ["labels"]):
        assert teacher.make(*words).returncode == 0, words
    dist = teacher.project / "dist"
    assert classroom.host in Database(dist / "desk/memory.sqlite").pis()
    sheet = dist / "labels/labels-A4.html"
    text = re.sub(r"<[^>]*>", " ", sheet.read_text(encoding="utf-8")).split()
    url = f"http://{classroom.address}:8888"
    assert url in text
    assert classroom.password in text
    assert NotebookServer(url).sign_in(classroom.password)


@pytest.mark.parametrize("command", ["demo", "image", "compilers"])
def test_commands_that_need_debian_say_so(teacher: Teacher, command: str) -> None:
    done = teacher.make(command)
    assert done.returncode != 0
    [sentence] = [line for line in done.stderr.splitlines() if not line.startswith("make")]
    assert "needs Debian 12 or 13" in sentence
    assert "Traceback" not in done.stdout
