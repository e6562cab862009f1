"""The end of a class: collect, reset, restore and hand out students' work, in the order of a school year."""

import hashlib
import json
import random
import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ansible_collections.mynn.pi.plugins.module_utils.lessons import lessons_in
from tests.support.browser import signed_in_server
from tests.support.classroom import ROOT, Classroom, as_student, one_line, recap, root
from tests.support.playbook_run import PlaybookRun

# Print the checksum of each file in the student's folder, by its path.
LIST = """
import hashlib, json, pathlib
paths = [path for path in pathlib.Path().rglob("*") if path.is_file() and not path.is_symlink()]
print(json.dumps({str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}))
"""
# Note the most memory, in kB, that one of root's processes for this holds, those that work as a student too. (Their sum
# says less: for a moment there is a process more, and only a long run meets that moment.)
WATCH = """
import pathlib, re, time
most, place = 0, pathlib.Path("/run/most")
while True:
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if re.search("mitogen|gzip", (process / "cmdline").read_text()):
                most = max(most, int(re.search(r"Pss: +([0-9]+)", (process / "smaps_rollup").read_text())[1]))
        except (OSError, TypeError):
            pass
    place.write_text(str(most))
    time.sleep(0.1)
"""


class StudentPi:
    """A Pi with a student's work, and the playbooks that manage it, with this test's own folder of collections."""

    def __init__(self, classroom: Classroom, collections: Path) -> None:
        self.classroom = classroom
        self.collections = collections

    def run(self, name: str, *arguments: str, changed: int | None = None, strategy: str = "classroom") -> str:
        """Run a playbook, and return its output in one line; ``changed`` is None if it must fail."""
        given = ["-e", f"student_work_collections={self.collections}", *arguments]
        done = self.classroom.playbook(name, *given, env={"ANSIBLE_STRATEGY": strategy})
        assert (done.returncode == 0) == (changed is not None)
        assert changed is None or recap(done.stdout)["pi-01"].changed == changed
        return one_line(done.stdout)

    def files(self) -> dict[str, str]:
        """Return the checksum of each file in the student's folder, including hidden ones."""
        files: dict[str, str] = json.loads(as_student(self.classroom, LIST))
        return files

    def newest_collection(self) -> Path:
        """Return the newest collection of the Pi."""
        return max(self.collections.glob("2*/pi-01"))


def sum_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture(scope="module")
def pi(classroom: Classroom, tmp_path_factory: pytest.TempPathFactory) -> StudentPi:
    return StudentPi(classroom, tmp_path_factory.mktemp("work") / "collections")


def test_a_reset_waits_for_the_collection_and_ends_all_programs(pi: StudentPi) -> None:
    """Also one outside the notebook server. A restore brings the work back."""
    names = ["-rf", "two\nlines", "no text \udcff", "ä/ö"]
    as_student(pi.classroom, f"os.mkdir('ä'); [open(name, 'w').write('own') for name in {names!a}]")
    lessons = {name: sum_of(content) for name, content in lessons_in(ROOT / "notebooks").items()}
    work, server = dict.fromkeys(names, sum_of(b"own")), "systemctl show --property=ExecMainPID jupyter"
    process = root(pi.classroom, server)
    assert re.search(r"work that is not in its newest collection .*student/-rf.*, and nothing", pi.run("reset"))
    assert pi.files() == lessons | work
    assert root(pi.classroom, server) == process
    assert re.search(r"4 files in .*/pi-01, 1 of them sent now", pi.run("collect", changed=1))
    date = pi.newest_collection().parent.name
    root(pi.classroom, "systemd-run --quiet --collect --unit=stray --property=User=student /usr/bin/sleep 600")
    pi.run("reset", changed=3)  # the server, the program outside it, and the files
    assert pi.files() == lessons
    left = set(as_student(pi.classroom, "print(*os.listdir('/home/student'))").split())
    assert left == {"notebooks", ".bashrc", ".profile", ".bash_logout"}
    assert root(pi.classroom, server) != process, "the programs of the last class are still running"
    states = root(pi.classroom, "systemctl is-active jupyter; systemctl is-active stray || true")
    assert states.split() == ["active", "inactive"]
    pi.run("restore", "-e", f"student_work_date={date}", changed=1)
    assert pi.files() == lessons | work


@contextmanager
def watched(classroom: Classroom, held: list[int]) -> Iterator[None]:
    """Note what one of root's processes holds meanwhile, at most: another number for the list, in MB."""
    root(classroom, f"systemd-run --collect --unit=watch /usr/bin/python3 -c {shlex.quote(WATCH)}")
    try:
        yield
        held.append(int(root(classroom, "cat /run/most")) // 1000)
    finally:
        root(classroom, "systemctl stop watch; rm -f /run/most")


def test_large_files_travel_beside_a_running_lesson(pi: StudentPi, tmp_path: Path) -> None:
    """Root's processes do not grow with them. Of a run that is killed, the next leaves nothing."""
    given = ["-e", f"student_work_handout={tmp_path}/sheets"]
    (tmp_path / "sheets").mkdir()
    held: list[int] = []
    with signed_in_server(pi.classroom).kernel() as kernel:
        kernel.run("import matplotlib.pyplot, numpy; kept = numpy.arange(1_000)")
        for size in (1, 64):
            content = random.Random(size).randbytes(size * 1_000_000)
            (tmp_path / "sheets" / f"{size}.bin").write_bytes(content)
            assert f"{size}.bin" in pi.run("handout", "--check", "--diff", *given, changed=1)
            assert f"{size}.bin" not in pi.files()
            with watched(pi.classroom, held):
                pi.run("handout", *given, changed=1)
                pi.run("collect", changed=1)
                as_student(pi.classroom, f"os.remove('{size}.bin')")
                pi.run("restore", changed=1)
            assert pi.files()[f"{size}.bin"] == sum_of(content)
        print("held at most, in MB:", held)
        assert held[1] - held[0] < 20
        as_student(pi.classroom, "os.remove('64.bin')")
        before = set(pi.files())
        place = "/opt/mynn/.parcel"
        run = PlaybookRun(
            pi.classroom.command("handout", "-e", f"student_work_collections={pi.collections}", *given), ROOT
        )
        root(pi.classroom, f"until test 0$(du -sk {place} 2>/dev/null | cut -f1) -gt 1000; do sleep 0.02; done")
        run.kill()
        assert set(pi.files()) - before <= {"64.bin"}, "something hidden is left in the pupil's folder"
        pi.run("handout", *given, changed=1, strategy="linear")  # without mitogen, the account that logs in carries it
        assert pi.files()["64.bin"] == sum_of(content)
        as_student(pi.classroom, "open('mine', 'w').write('mine')")
        pi.run("collect", changed=1, strategy="linear")
        assert (pi.newest_collection() / "student/mine").read_text() == "mine"
        assert kernel.run("print(kept.sum())").text == "499500\n"
    as_student(pi.classroom, "open('mine', 'w').write('not collected')")
    pi.run("reset", "-e", "reset_uncollected=true", changed=2)  # the server, and the files
    assert root(pi.classroom, f"ls -d {place} || true") == "" and not list(pi.collections.glob(".*.part"))
