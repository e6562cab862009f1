"""Several students on one Pi: each with a folder, a password and a socket, which starts the server when it is used."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.classroom.test_site import MOST_TASKS, patient_page, site_counted
from tests.provisioned.notebook_server import NotebookServer
from tests.support.classroom import ROOT, Classroom, recap

STUDENTS = ["student", "ada", "ben"]
NEW = STUDENTS[1:]
APT_CACHE = "3143"  # the port of the role apt_cache
THREE = ["-e", json.dumps({"students": STUDENTS})]
# What a Pi Zero leaves of the 512 MiB that a virtual Pi has: another program takes the rest.
BALLAST = 512 - 427
HOLD = f"import time; taken = bytearray(b'x' * ({BALLAST} << 20)); time.sleep(600)"
WORK = """
import numpy, matplotlib.pyplot as plt
plt.plot(numpy.arange(10))
plt.show()
print(numpy.arange(10).sum(), end="")
"""
# Of all processes but the ballast, in MiB; what several share is divided among them.
IN_USE = """
import pathlib
total = 0
for rollup in pathlib.Path("/proc").glob("[0-9]*/smaps_rollup"):
    try:
        if "bytearray" not in rollup.with_name("cmdline").read_text():
            total += sum(int(line.split()[1]) for line in rollup.open() if line.startswith("Pss:"))
    except OSError:
        pass
print(total >> 10)
"""


def root(classroom: Classroom, *command: str) -> str:
    """Run a script of the shell, or another command, as root on the Pi; what it printed."""
    command = command if len(command) > 1 else ("sh", "-c", *command)
    done = classroom.ssh(f"sudo {shlex.join(command)}")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


def running(classroom: Classroom) -> set[str]:
    """The students whose servers run."""
    units = root(classroom, "systemctl list-units --plain --no-legend --state=active 'jupyter@*.service'")
    return {line.split(".")[0].partition("@")[2] for line in units.splitlines()}


def ports(classroom: Classroom) -> set[str]:
    """The ports at which something listens on the Pi."""
    listening = root(classroom, "ss --listening --tcp --numeric --no-header | awk '{print $4}'")
    return {address.rpartition(":")[2] for address in listening.split()}


def server_of(classroom: Classroom, student: str, signed_in: bool = True) -> NotebookServer:
    """A student's server, which is started by this where it does not run."""
    server = NotebookServer(f"http://{classroom.address}:{8888 + STUDENTS.index(student)}")
    if signed_in:
        assert server.sign_in(classroom.password_of(f"{classroom.host}-{student}"))
    return server


@pytest.fixture(scope="module")
def three(classroom: Classroom) -> Iterator[Classroom]:
    """The Pi with three students; afterwards it has one again, and nothing of the others."""
    try:
        assert classroom.playbook("site", *THREE).returncode == 0
        yield classroom
    finally:
        was_back = classroom.ssh("ls /etc/systemd/system/jupyter.service").returncode == 0
        back = classroom.playbook("site")
        for student in NEW:
            classroom.ssh(f"sudo userdel --remove {student}")
            for name in (f"{classroom.host}-{student}", f".salt-{classroom.host}-{student}"):
                (ROOT / "dist/passwords" / name).unlink(missing_ok=True)
    assert back.returncode == 0
    assert recap(back.stdout)[classroom.host].changed == 0 or not was_back  # a second run


def test_no_server_runs_before_a_page_is_opened(three: Classroom) -> None:
    assert running(three) == set()
    sockets = root(three, "systemctl is-enabled jupyter-8888@student.socket jupyter-889*; ls /home").split()
    assert sockets.count("enabled") >= 1
    assert {*STUDENTS} <= {*sockets}
    assert root(three, "systemctl is-active jupyter || true") == "inactive"


def test_a_page_waits_until_the_server_is_there(three: Classroom) -> None:
    server = server_of(three, "ada")
    assert running(three) == {"ada"}
    root(three, "systemctl stop jupyter@ada")
    assert server.get("/api/contents")["content"]  # who was signed in still is
    assert running(three) == {"ada"}


def test_all_that_holds_for_one_holds_for_each(three: Classroom, tmp_path: Path) -> None:
    """As verify.yml asks it, of the roles that this is about."""
    settings = tmp_path / "settings.json"
    known = three.playbook("verify", *THREE, "--tags=settings", "-e", f"verify_settings={settings}")
    assert known.returncode == 0
    xml = tmp_path / "junit.xml"
    files = [f"tests/provisioned/test_{name}.py" for name in ("lessons", "jupyter", "students")]
    command = [sys.executable, "-m", "pytest", "-q", f"--ansible-inventory={three.inventory}", "-p", "no:cacheprovider"]
    command += [f"--settings={settings}", f"--junit-xml={xml}", *files]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    print(done.stdout[-5000:], done.stderr[-2000:])
    assert done.returncode == 0
    suite = next(ET.parse(xml).iter("testsuite"))
    assert (suite.get("failures"), suite.get("errors"), suite.get("skipped")) == ("0", "0", "0")


def test_a_second_run_changes_nothing_and_ends_no_server(three: Classroom) -> None:
    with server_of(three, "ben").kernel() as kernel:
        sent = site_counted(three, extra=THREE)
        assert sent.changed == 0
        assert len(sent.tasks) <= MOST_TASKS
        assert kernel.run("print(1)").text == "1\n"


def test_three_servers_and_two_programs_have_room(three: Classroom) -> None:
    """In the memory of a Pi Zero, where two students' plots are drawn while the third looks at the lessons."""
    pids = "systemctl show --property=MainPID --value " + " ".join(f"jupyter@{student}" for student in STUDENTS)
    root(three, "systemd-run", "--quiet", "--unit=ballast", "/usr/bin/python3", "-c", HOLD)
    try:
        root(three, "systemctl stop 'jupyter@*'")
        print(f"{root(three, 'python3', '-c', IN_USE)} MiB without servers")
        servers = {student: server_of(three, student) for student in STUDENTS}
        print(f"{root(three, 'python3', '-c', IN_USE)} MiB with three servers")
        before = root(three, pids)
        with ExitStack() as stack:
            for student in STUDENTS[:2]:
                output = stack.enter_context(servers[student].kernel()).run(WORK)
                assert (output.text[-2:], output.error) == ("45", "")
                assert output.pictures
            print(f"{root(three, 'python3', '-c', IN_USE)} MiB with two programs besides")
            assert servers["ben"].get("/api/contents")["content"]
            # A program answers nobody but its own server. (At the one port that it has, its children hand in what they
            # print.) While a playbook's connection is open, the way to the control machine's apt cache listens as well.
            assert len(ports(three) - {"22", "8888", "8889", "8890", APT_CACHE}) <= 2
        assert root(three, pids) == before
        assert root(three, "systemctl is-active ballast") == "active"
    finally:
        root(three, "systemctl stop ballast")


@pytest.mark.long
def test_a_new_password_ends_the_server_and_opens_the_next(three: Classroom) -> None:
    server_of(three, "ada")
    password = ROOT / "dist/passwords" / f"{three.host}-ada"
    password.write_text("another-word\n", encoding="utf-8")
    assert recap(three.playbook("site", *THREE).stdout)[three.host].failed == 0
    assert "ada" not in running(three)
    assert server_of(three, "ada").get("/api/contents")["content"]


@pytest.mark.long
def test_a_password_that_was_changed_by_hand_is_mended(three: Classroom) -> None:
    """Also in the server that was started with it."""
    root(three, "cp /etc/jupyter/password-ada /etc/jupyter/password-ben; systemctl stop jupyter@ben")
    assert server_of(three, "ben", signed_in=False).sign_in(three.password_of(f"{three.host}-ada"))
    assert three.playbook("site", *THREE).returncode == 0
    assert server_of(three, "ben").get("/api/contents")["content"]


def test_only_servers_that_run_end_when_their_files_are_newer(three: Classroom) -> None:
    """A run was cut off between a change and the restart. Idle servers are not started, nor is it done twice."""
    server_of(three, "ada")
    root(three, "systemctl stop jupyter@ben; touch /etc/systemd/system/jupyter@.service")
    done = three.playbook("site", *THREE)
    assert recap(done.stdout)[three.host].changed == 1
    assert not running(three) & {"ada", "ben"}
    again = site_counted(three, extra=THREE)
    assert again.changed == 0
    assert not [task for task in again.tasks if "outdated settings" in task]


def test_sockets_move_to_other_ports_while_a_server_runs(three: Classroom) -> None:
    server_of(three, "ada")
    moved = json.dumps({"students": STUDENTS, "jupyter_port": 8900})
    try:
        done = three.playbook("site", "-e", moved)
        assert recap(done.stdout)[three.host].failed == 0
        assert {"8900", "8901", "8902"} <= ports(three)
        assert not {"8888", "8889", "8890"} & ports(three)
        assert recap(three.playbook("site", "-e", moved).stdout)[three.host].changed == 0
    finally:
        assert three.playbook("site", *THREE).returncode == 0
    assert server_of(three, "ada").get("/api/contents")["content"]


def test_back_to_one_student_all_files_stay(three: Classroom) -> None:
    """Also with a server running; the sockets are gone, and the only student's server runs all the time again."""
    files = f"sha256sum {' '.join(f'/home/{student}/notebooks/mine.txt' for student in STUDENTS)}"
    for student in STUDENTS:
        root(three, f"echo {student} > /home/{student}/notebooks/mine.txt")
    before = root(three, files)
    server_of(three, "ben")
    try:
        assert three.playbook("site").returncode == 0
        assert root(three, files) == before
        assert patient_page(f"http://{three.address}:8888") == 200
        assert root(three, "ls -d /etc/systemd/system/jupyter* /etc/jupyter/password*").split() == [
            "/etc/jupyter/password",
            "/etc/systemd/system/jupyter.service",
        ]
        assert not ports(three) & {"8889", "8890"}
    finally:
        root(three, "rm /home/student/notebooks/mine.txt")


@pytest.mark.long
def test_a_server_that_nobody_uses_ends(three: Classroom) -> None:
    """Once no program runs; the next request starts it again."""
    short = json.dumps({"students": STUDENTS, "jupyter_cull_seconds": 20})
    assert three.playbook("site", "-e", short).returncode == 0
    server = server_of(three, "ada")
    with server.kernel() as kernel:
        assert kernel.run("import time; time.sleep(100); print('done')", 200).text == "done\n"
        assert running(three) == {"ada"}
    end = time.monotonic() + 180
    while running(three):
        assert time.monotonic() < end, "Three minutes after its last use it still runs."
        time.sleep(2)
    assert server.get("/api/contents")["content"]
