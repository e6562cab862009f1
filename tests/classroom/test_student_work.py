"""Collect, reset, restore and hand out students' work on a Pi, in the order of a school year."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.classroom import ROOT, Classroom, recap

FOLDER = "/home/student/notebooks"
LESSONS = ROOT / "notebooks"
LESSON, OTHER = "part2_mnist_data_set.ipynb", "part2_neural_network.ipynb"
# A student's files (the large one takes three chunks), then files that are not work, links and a pipe.
MAKE = f"""
import os, pathlib, random
os.chdir({FOLDER!r})
def write(name, content):
    path = pathlib.Path(os.fsdecode(name))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
write({LESSON!r}, b"my own")
for name in (b"-rf", b"mit Leerzeichen und \\xc3\\xbc.ipynb", b"two\\nlines.txt", b"no text \\xff", b"empty"):
    write(name, name if name != b"empty" else b"")
write("a folder/net.npz", random.Random(1).randbytes(9_000_000))
os.chmod("-rf", 0o755)
os.utime("empty", (1600000000, 1600000000))
write(".ipynb_checkpoints/x.ipynb", b"no work")
write("../.cache/x", b"no work")
write("../.python_history", b"no work")
write("../beside/deep/notes.txt", b"beside")
os.symlink("/etc/shadow", "shadow")
os.symlink("/etc", "etc")
os.mkfifo("pipe")
"""
BESIDE = "beside/deep/notes.txt"
WORK = {"-rf", "mit Leerzeichen und ü.ipynb", "two\nlines.txt", "no text \udcff", "empty", "a folder/net.npz", LESSON}


# A malicious student: huge sparse files, folders too deep for any path, an unreadable home, and a link in place of the
# notebooks folder. HOLD then keeps taking locks and stopping processes.
TROUBLE = f"""
import os
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
            if "jupyter" not in command and "fromhex" not in command:  # not the server, and not this test's processes
                os.kill(int(process.name), signal.SIGSTOP)
        except OSError:
            pass
    time.sleep(0.002)
"""


class StudentPi:
    """A Pi with a student's work, and the playbooks that manage it, with this test's own folder of collections."""

    def __init__(self, classroom: Classroom, collections: Path) -> None:
        self.classroom = classroom
        self.collections = collections

    def run(self, name: str, *arguments: str, changed: int | None = None) -> str:
        """Run a playbook, and return its output without line wraps.

        ``changed`` is the number of changes in the recap; None if the playbook must fail.
        """
        done = self.classroom.playbook(name, "-e", f"student_work_collections={self.collections}", *arguments)
        assert (done.returncode == 0) == (changed is not None)
        assert recap(done.stdout)["pi-01"].changed == (changed or 0)
        return re.sub(r"\n +", " ", done.stdout)

    def as_student(self, script: str) -> str:
        """Run a Python script on the Pi as the student, and return its output."""
        command = ["sudo", "-u", "student", "python3", "-c", f"exec(bytes.fromhex('{script.encode().hex()}'))"]
        done = self.classroom.ssh(" ".join(f'"{word}"' for word in command))
        assert done.returncode == 0, done.stderr
        return done.stdout

    def files(self) -> dict[str, tuple[str, ...]]:
        """Return the checksum, mode and owner of each file in the student's folder, including hidden ones."""
        found = self.as_student(f"""
import hashlib, os, pathlib, urllib.parse
for path in pathlib.Path({FOLDER!r}).rglob("*"):
    if not path.is_symlink() and path.is_file():
        name = urllib.parse.quote(os.fsencode(path.relative_to({FOLDER!r})))
        print(name, hashlib.sha256(path.read_bytes()).hexdigest(), oct(path.stat().st_mode & 0o7777), path.owner())
""")
        files = {}
        for line in found.splitlines():
            word, *about = line.split()
            files[os.fsdecode(urllib.parse.unquote_to_bytes(word))] = tuple(about)
        return files

    def newest_collection(self) -> Path:
        """Return the newest collection of the Pi."""
        return max(self.collections.glob("2*/pi-01"))


def sum_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture(scope="module")
def pi(classroom: Classroom, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StudentPi]:
    """Return a Pi with a student's work on it, and reset it afterwards."""
    pi = StudentPi(classroom, tmp_path_factory.mktemp("work") / "collections")
    pi.as_student(MAKE)
    yield pi
    pi.run("reset", "-e", "reset_uncollected=true", changed=2)


@pytest.fixture(scope="module")
def first(pi: StudentPi) -> Path:
    """Return the first collection, made after a run in check mode."""
    look = pi.run("collect", "--check", "--diff", changed=1)
    assert not pi.collections.exists()
    assert re.search(r"8 files would be in .*/pi-01, 8 of them would be sent now \(9\.00 MB\)", look)
    output = pi.run("collect", "--diff", changed=1)
    assert re.search(r"8 files in .*/pi-01, 8 of them sent now \(9\.00 MB\)", output)
    assert without_dates(output) >= without_dates(look)
    return pi.newest_collection()


def without_dates(output: str) -> set[str]:
    """Return the added lines of a diff, with dates replaced."""
    return {re.sub(r"/2\d{3}-[^/]*/", "/DATE/", line) for line in output.splitlines() if line.startswith("+/")}


def test_all_work_is_collected_and_nothing_else(pi: StudentPi, first: Path) -> None:
    there = pi.files()
    student = first / "student"
    found = {str(path.relative_to(student)): path for path in student.rglob("*") if path.is_file()}
    assert set(found) == WORK
    assert {name: sum_of(path.read_bytes()) for name, path in found.items()} == {name: there[name][0] for name in WORK}
    beside = [path for path in (first / "student.home").rglob("*") if path.is_file()]
    assert beside == [first / "student.home" / BESIDE]
    assert beside[0].read_text() == "beside"
    assert subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=first, check=False).returncode == 0
    assert {path.stat().st_mode & 0o777 for path in found.values()} == {0o444, 0o555}
    assert found["empty"].stat().st_mtime == 1600000000
    assert pi.collections.stat().st_mode & 0o077 == 0
    assert not list(pi.collections.glob("*/.*"))


def test_only_what_changed_is_sent_again_and_a_pi_that_is_off_is_named(
    pi: StudentPi, first: Path, tmp_path: Path
) -> None:
    pi.as_student(f"open({FOLDER!r} + '/empty', 'w').write('no more')")
    two = tmp_path / "two.ini"
    text = pi.classroom.inventory.read_text(encoding="utf-8")
    two.write_text(re.sub(r"^pi-01 .*$", r"\g<0>\npi-off ansible_host=127.77.5.99", text, flags=re.M), encoding="utf-8")
    command = [*pi.classroom.command("collect", "-e", f"student_work_collections={pi.collections}")]
    command[command.index("-i") + 1] = str(two)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    output = re.sub(r"\n +", " ", done.stdout)
    assert done.returncode != 0
    assert re.search(r"8 files in .*/pi-01, 1 of them sent now \(0\.00 MB\)", output), output
    assert re.search(r"^pi-off .*It does not answer", output, re.M)
    second = pi.newest_collection()
    assert second != first
    assert [path.name for path in second.parent.iterdir()] == ["pi-01"]
    same = {name: (first / "student" / name).samefile(second / "student" / name) for name in WORK}
    assert same == {name: name != "empty" for name in WORK}
    assert (first / "student/empty").read_bytes() == b"", "the earlier collection was changed"


def test_a_reset_is_refused_if_work_was_not_collected(pi: StudentPi, first: Path) -> None:
    pi.as_student(f"open({FOLDER!r} + '/new.txt', 'w').write('new')")
    pi.as_student(f"open({FOLDER!r} + '/-rf', 'a').write('er')")
    before, began = pi.files(), pi.classroom.ssh("systemctl show -p ExecMainPID jupyter").stdout
    output = pi.run("reset")
    assert re.search(
        r"pi-01 has work that is in no collection .* \(student/-rf, student/new\.txt\), and nothing", output
    )
    assert pi.files() == before
    assert pi.classroom.ssh("systemctl show -p ExecMainPID jupyter").stdout == began
    for name in ("-rf", "new.txt"):
        pi.as_student(f"import os; os.chdir({FOLDER!r}); os.remove({name!r})")


def test_a_reset_restores_the_initial_state(pi: StudentPi, first: Path) -> None:
    server = "systemctl show -p ExecMainPID jupyter"
    pid = pi.classroom.ssh(server).stdout
    before, look = pi.files(), pi.run("reset", "--check", "--diff", changed=2)
    assert pi.files() == before
    done = pi.run("reset", "--diff", changed=2)
    lines = [re.findall(r"^[-+]/.*$", output, re.M) for output in (look, done)]
    assert lines[0] == lines[1]
    assert any("pipe there" in line for line in lines[0])
    lessons = {path.name: path.read_bytes() for path in (ROOT / "notebooks").glob("*.ipynb")}
    pictures = {f"my_own_images/{path.name}": path.read_bytes() for path in (ROOT / "notebooks").glob("*/*.png")}
    assert pi.files() == {name: (sum_of(text), "0o644", "student") for name, text in (lessons | pictures).items()}
    left = set(pi.as_student("import os; print(*os.listdir('/home/student'))").split())
    assert left == {"notebooks", ".bashrc", ".profile", ".bash_logout"}
    assert pi.classroom.ssh(server).stdout != pid, "the programs of the last class are still running"
    assert pi.classroom.ssh("systemctl is-active jupyter").stdout.strip() == "active"
    pi.run("reset", changed=0)


def test_a_collection_is_restored_and_overwrites_nothing(pi: StudentPi, first: Path) -> None:
    pi.as_student(f"open({FOLDER!r} + '/empty', 'w').write('another')")
    look = pi.run("restore", "--check", "--diff", "-e", f"date={first.parent.name}", changed=1)
    done = pi.run("restore", "--diff", "-e", f"date={first.parent.name}", changed=1)
    lines = [re.findall(r"^[-+]/.*$", output, re.M) for output in (look, done)]
    assert lines[0] == lines[1]
    there = pi.files()
    collected = {name: (first / "student" / name).read_bytes() for name in WORK}
    for name, content in collected.items():
        mode = "0o755" if name == "-rf" else "0o644"
        if name == "empty":
            assert there["empty"][0] == sum_of(b"another")
            name = "empty (new)"
        assert there[name] == (sum_of(content), mode, "student")
    assert not [name for name in there if "(new)" in name and name != "empty (new)"], (
        "unchanged lessons were duplicated"
    )
    assert pi.as_student(f"print(open('/home/student/{BESIDE}').read())").strip() == "beside"
    pi.run("restore", "-e", f"date={first.parent.name}", changed=0)
    assert "There is no collection of pi-77" in pi.run("restore", "-e", "student_work_from=pi-77")


def test_a_folder_is_handed_out_and_overwrites_nothing(pi: StudentPi, first: Path, tmp_path: Path) -> None:
    (tmp_path / "sheets/pictures").mkdir(parents=True)
    sheets = {LESSON: b"a new lesson", "sheet ä.ipynb": b"a sheet", "pictures/cat.png": b"cat", OTHER: b"other"}
    for name, content in sheets.items():
        (tmp_path / "sheets" / name).write_bytes(content)
    pi.as_student(f"import os; os.symlink('/tmp', {FOLDER!r} + '/pictures')")
    before = pi.files()
    given = ["-e", f"from={tmp_path}/sheets"]
    look = pi.run("handout", "--check", "--diff", *given, changed=1)
    assert pi.files() == before
    done = pi.run("handout", "--diff", *given, changed=1)
    assert re.findall(r"^[-+]/.*$", look, re.M) == re.findall(r"^[-+]/.*$", done, re.M)
    new = {
        name: (sum_of(content), "0o644", "student")
        for name, content in {
            LESSON.replace(".", " (new)."): sheets[LESSON],
            OTHER.replace(".", " (new)."): sheets[OTHER],
            "sheet ä.ipynb": sheets["sheet ä.ipynb"],
            "pictures (new)/cat.png": sheets["pictures/cat.png"],
        }.items()
    }
    assert pi.files() == before | new
    pi.run("handout", *given, changed=0)
    assert "There is no folder /nowhere, so nothing was handed out" in pi.run("handout", "-e", "from=/nowhere")


def test_a_malicious_student_does_not_affect_the_class(pi: StudentPi, first: Path) -> None:
    """What can be collected is collected, site.yml replaces the link by a folder, and a reset removes everything."""
    pi.run("reset", "-e", "reset_uncollected=true", changed=2)
    pi.as_student(f"open({FOLDER!r} + '/own.txt', 'w').write('own')")
    pi.as_student(TROUBLE)
    code = f"exec(bytes.fromhex('{HOLD.encode().hex()}'))"
    pi.classroom.ssh(f'sudo -b -u student setsid python3 -c "{code}" </dev/null >/dev/null 2>&1')
    try:
        output = pi.run("collect")
        collection = pi.newest_collection()
        size = sum(path.stat().st_blocks for path in collection.rglob("*")) * 512
        assert size < 10_000_000
        assert (collection / "student.home/elsewhere/own.txt").read_text() == "own"
        for name, why in {
            "huge": "it exceeds the limit for one student",
            "sparse-5": "it exceeds the limit for one student",
        }.items():
            assert f"student.home/{name} ({why})" in output
        assert re.search(r"student\.home/(deep)+[^ ]*… ?[deep/]+ \(its path is too long\)", output)
        done = pi.classroom.playbook("site")
        assert done.returncode == 0
        assert recap(done.stdout)["pi-01"].changed >= 1
        places = pi.as_student(
            "import os; print(*os.listdir('/home/student'), os.path.islink('/home/student/notebooks'))"
        )
        assert {"notebooks", "(old)", "elsewhere", "False"} <= set(places.split())
    finally:
        pi.classroom.ssh("sudo kill -9 $(cat /tmp/holding); sudo rm /tmp/holding")
    pi.run("reset", "-e", "reset_uncollected=true", changed=2)
    assert {name for name in pi.files() if "/" not in name} == {path.name for path in LESSONS.glob("*.ipynb")}
    home = set(pi.as_student("import os; print(*os.listdir('/home/student'))").split())
    assert not {name for name in home if not name.startswith(".")} - {"notebooks"}
    pi.as_student(f"open({FOLDER!r} + '/own.txt', 'w').write('own')")  # for the fixture's reset
