"""The end of a class: collect, reset, restore and hand out students' work, in the order of a school year."""

import hashlib
import os
import random
import re
import shlex
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ansible_collections.mynn.pi.plugins.module_utils.lessons import lessons_in
from tests.provisioned.notebook_server import NotebookServer
from tests.support.classroom import ROOT, Classroom, as_student, one_line, recap, root
from tests.support.playbook_run import PlaybookRun

FOLDER = "/home/student/notebooks"
LESSON = "part2_mnist_data_set.ipynb"
# A student's files, then files that are not work, links and a pipe.
MAKE = f"""
import pathlib, random
def write(name, content):
    path = pathlib.Path(os.fsdecode(name))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
write({LESSON!r}, b"my own")
for name in (b"-rf", b"two\\nlines.txt", b"no text \\xff", b"empty"):
    write(name, name if name != b"empty" else b"")
write("a folder/net.npz", random.Random(1).randbytes(9_000_000))
os.chmod("-rf", 0o755)
write(".ipynb_checkpoints/x.ipynb", b"no work")
write("../.cache/x", b"no work")
write("../beside/deep/notes.txt", b"beside")
os.symlink("/etc/shadow", "shadow")
os.symlink("/etc", "etc")
os.mkfifo("pipe")
"""
BESIDE = "beside/deep/notes.txt"
WORK = {"-rf", "two\nlines.txt", "no text \udcff", "empty", "a folder/net.npz", LESSON}
# A malicious student: huge sparse files, folders too deep for any path, an unreadable home, and a link in place of the
# notebooks folder. HOLD then keeps taking locks and stopping processes.
TROUBLE = f"""
for number in range(6):
    with open(f"/home/student/sparse-{{number}}", "wb") as file:
        file.truncate(499_000_000 + number)
with open("/home/student/huge", "wb") as file:
    file.truncate(8 << 40)
folder = os.open("/home/student", os.O_RDONLY)
for _ in range(3000):
    os.mkdir("deep" * 20, dir_fd=folder)
    folder, before = os.open("deep" * 20, os.O_RDONLY, dir_fd=folder), folder
    os.close(before)
os.rename({FOLDER!r}, "/home/student/elsewhere")
os.symlink("elsewhere", {FOLDER!r})
os.chmod("/home/student", 0)
"""
HOLD = """
import fcntl, os, pathlib, signal, time
held = []
pathlib.Path("/tmp/holding").write_text(str(os.getpid()))
while True:
    for place in ("/opt/mynn", "/run", "/var/lib/dpkg", "/srv/mynn") if not held else ():
        for path in [place, *pathlib.Path(place).glob("*"), *pathlib.Path(place).glob("notebooks/*")]:
            try:
                held.append(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
                fcntl.flock(held[-1], fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                pass
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_text()
            # Not the server, also while systemd starts it, and not this test's processes.
            if not any(word in command for word in ("mynn_server", "(python)", "fromhex")):
                os.kill(int(process.name), signal.SIGSTOP)
        except OSError:
            pass
    time.sleep(0.002)
"""
# Print the name, checksum, mode and owner of each file in the student's folder.
LIST = """
import hashlib, pathlib, urllib.parse
for path in pathlib.Path().rglob("*"):
    if not path.is_symlink() and path.is_file():
        name = urllib.parse.quote(os.fsencode(path))
        print(name, hashlib.sha256(path.read_bytes()).hexdigest(), oct(path.stat().st_mode & 0o7777), path.owner())
"""
# Note the most memory, in kB, that root's processes for this hold at a time, those that work as a student too.
WATCH = """
import pathlib, re, time
most, place = 0, pathlib.Path("/run/most")
while True:
    held = 0
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if re.search("mitogen|gzip", (process / "cmdline").read_text()):
                held += int(re.search(r"Pss: +([0-9]+)", (process / "smaps_rollup").read_text())[1])
        except (OSError, TypeError):
            pass
    most = max(most, held)
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

    def files(self) -> dict[str, tuple[str, ...]]:
        """Return the checksum, mode and owner of each file in the student's folder, including hidden ones."""
        lines = [line.split() for line in as_student(self.classroom, LIST).splitlines()]
        return {os.fsdecode(urllib.parse.unquote_to_bytes(word)): tuple(about) for word, *about in lines}

    def newest_collection(self) -> Path:
        """Return the newest collection of the Pi."""
        return max(self.collections.glob("2*/pi-01"))


def sum_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture(scope="module")
def pi(classroom: Classroom, tmp_path_factory: pytest.TempPathFactory) -> StudentPi:
    """Return a Pi with a student's work on it, which is collected. The last test removes it."""
    as_student(classroom, MAKE)
    pi = StudentPi(classroom, tmp_path_factory.mktemp("work") / "collections")
    assert re.search(r"7 files in .*/pi-01, 7 of them sent now \(9\.00 MB\)", pi.run("collect", changed=1))
    return pi


def test_work_is_collected_reset_and_restored(pi: StudentPi) -> None:
    """A reset waits for the collection, and also stops a student's program that runs outside the notebook server."""
    first, there = pi.newest_collection(), pi.files()
    collected = {path: sum_of(path.read_bytes()) for path in first.rglob("*") if path.is_file()}
    assert collected.keys() == {first / name for name in ("SHA256SUMS", f"student.home/{BESIDE}")} | {
        first / "student" / name for name in WORK
    }
    assert all(there[name][0] == collected[first / "student" / name] for name in WORK)

    server = "systemctl show --property=ExecMainPID jupyter"
    process = root(pi.classroom, server)
    as_student(pi.classroom, "open('new.txt', 'w').write('new')")
    refused = r"work that is not in its newest collection .* \(student/new\.txt\), and nothing"
    assert re.search(refused, pi.run("reset"))
    assert pi.files().keys() == there.keys() | {"new.txt"}
    assert root(pi.classroom, server) == process
    as_student(pi.classroom, "os.remove('new.txt')")
    root(pi.classroom, "systemd-run --quiet --collect --unit=stray --property=User=student /usr/bin/sleep 600")
    pi.run("reset", changed=3)  # the server, the program outside it, and the files
    lessons = lessons_in(ROOT / "notebooks").items()  # and their pictures
    assert {"my_own_images/ballpoint_4.png", f"de/{LESSON}"} <= dict(lessons).keys()
    assert pi.files() == {name: (sum_of(text), "0o644", "student") for name, text in lessons}
    left = set(as_student(pi.classroom, "print(*os.listdir('/home/student'))").split())
    assert left == {"notebooks", ".bashrc", ".profile", ".bash_logout"}
    assert root(pi.classroom, server) != process, "the programs of the last class are still running"
    states = root(pi.classroom, "systemctl is-active jupyter; systemctl is-active stray || true")
    assert states.split() == ["active", "inactive"]

    as_student(pi.classroom, "open('empty', 'w').write('another')")
    pi.run("restore", "-e", f"student_work_date={first.parent.name}", changed=1)
    restored = pi.files()
    assert restored["empty"][0] == sum_of(b"another")
    for name in WORK:
        mode = "0o755" if name == "-rf" else "0o644"
        assert restored["empty (new)" if name == "empty" else name] == (there[name][0], mode, "student")
    assert [name for name in restored if "(new)" in name] == ["empty (new)"], "unchanged lessons were duplicated"
    assert as_student(pi.classroom, f"print(open('/home/student/{BESIDE}').read())") == "beside"


def test_a_folder_is_handed_out_and_overwrites_nothing(pi: StudentPi, tmp_path: Path) -> None:
    """Check mode predicts it."""
    (tmp_path / "sheets/pictures").mkdir(parents=True)
    sheets = {LESSON: b"a new lesson", "sheet ä.ipynb": b"a sheet", "pictures/cat.png": b"cat"}
    for name, content in sheets.items():
        (tmp_path / "sheets" / name).write_bytes(content)
    as_student(pi.classroom, "os.symlink('/tmp', 'pictures')")
    before = pi.files()
    given = ["-e", f"student_work_handout={tmp_path}/sheets"]
    assert "sheet ä.ipynb" in pi.run("handout", "--check", "--diff", *given, changed=1)
    assert pi.files() == before
    pi.run("handout", *given, changed=1)
    names = [LESSON.replace(".", " (new)."), "sheet ä.ipynb", "pictures (new)/cat.png"]
    new = {name: (sum_of(text), "0o644", "student") for name, text in zip(names, sheets.values(), strict=True)}
    assert pi.files() == before | new


@contextmanager
def watched(classroom: Classroom, held: list[int]) -> Iterator[None]:
    """Note what root's Pythons hold meanwhile, at most: another number for the list, in MB."""
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
    server = NotebookServer(f"http://{pi.classroom.address}:8888")
    assert server.sign_in(pi.classroom.password)
    held: list[int] = []
    with server.kernel() as kernel:
        kernel.run("import matplotlib.pyplot, numpy; kept = numpy.arange(1_000)")
        for size in (1, 64):
            content = random.Random(size).randbytes(size * 1_000_000)
            (tmp_path / "sheets" / f"{size}.bin").write_bytes(content)
            with watched(pi.classroom, held):
                pi.run("handout", *given, changed=1)
                pi.run("collect", changed=1)
                as_student(pi.classroom, f"os.remove('{size}.bin')")
                pi.run("restore", changed=1)
            assert pi.files()[f"{size}.bin"][0] == sum_of(content)
        print("held at most, in MB:", held)
        assert held[1] - held[0] < 20
        as_student(pi.classroom, "os.remove('64.bin')")
        before = set(pi.files())
        run = PlaybookRun(
            pi.classroom.command("handout", "-e", f"student_work_collections={pi.collections}", *given), ROOT
        )
        root(
            pi.classroom, "until test 0$(du -sk /opt/mynn/.parcel 2>/dev/null | cut -f1) -gt 1000; do sleep 0.02; done"
        )
        run.kill()
        assert set(pi.files()) - before <= {"64.bin"}, "something hidden is left in the pupil's folder"
        pi.run("handout", *given, changed=1, strategy="linear")  # without mitogen, the account that logs in carries it
        assert pi.files()["64.bin"][0] == sum_of(content)
        as_student(pi.classroom, "open('mine', 'w').write('mine')")
        pi.run("collect", changed=1, strategy="linear")
        assert (pi.newest_collection() / "student/mine").read_text() == "mine"
        assert kernel.run("print(kept.sum())").text == "499500\n"
    as_student(pi.classroom, "[os.remove(name) for name in ('1.bin', '64.bin', 'mine')]")
    assert root(pi.classroom, "ls -d /opt/mynn/.parcel || true") == "" and not list(pi.collections.glob(".*.part"))


def test_a_malicious_student_does_not_affect_the_class(pi: StudentPi) -> None:
    """What can be collected is collected, site.yml replaces the link by a folder, and a reset removes everything."""
    as_student(pi.classroom, "open('own.txt', 'w').write('own')")
    as_student(pi.classroom, TROUBLE)
    code = f"exec(bytes.fromhex('{HOLD.encode().hex()}'))"
    pi.classroom.ssh(f'sudo -b -u student setsid python3 -c "{code}" </dev/null >/dev/null 2>&1')
    try:
        output = pi.run("collect")
        collection = pi.newest_collection()
        assert sum(path.stat().st_blocks for path in collection.rglob("*")) * 512 < 30_000_000
        assert (collection / "student.home/elsewhere/own.txt").read_text() == "own"
        assert "student.home/huge (it exceeds the limit for one student)" in output
        assert "student.home/sparse-5 (it exceeds the limit for one student)" in output
        assert "(its path is too long)" in output
        assert pi.classroom.changes("site")["pi-01"] >= 1
        assert root(pi.classroom, f"stat --format=%F {FOLDER}") == "directory"
        assert root(pi.classroom, "ls -d /home/student/elsewhere") == "/home/student/elsewhere"
    finally:
        root(pi.classroom, "kill -9 $(cat /tmp/holding); rm /tmp/holding")
    pi.run("reset", "-e", "reset_uncollected=true", changed=2)
    home = set(as_student(pi.classroom, "print(*os.listdir('/home/student'))").split())
    assert {name for name in home if not name.startswith(".")} == {"notebooks"}
