"""Several students on one Pi: each has a folder, a password, and a socket that starts the server on demand."""

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

from tests.classroom.test_site import MOST_TASKS, site_counted, wait_for_login
from tests.provisioned.notebook_server import NotebookServer
from tests.support.classroom import ROOT, Classroom, recap

STUDENTS = ["student", "ada", "ben"]
NEW = STUDENTS[1:]
APT_CACHE = "3143"  # the port of the role apt_cache
THREE = ["-e", json.dumps({"students": STUDENTS})]
WORK = """
import numpy, matplotlib.pyplot as plt
plt.plot(numpy.arange(10))
plt.show()
print(numpy.arange(10).sum(), end="")
"""
# Memory of all processes, in MiB (PSS: shared memory is divided among its users).
IN_USE = """
import pathlib
total = 0
for rollup in pathlib.Path("/proc").glob("[0-9]*/smaps_rollup"):
    try:
        total += sum(int(line.split()[1]) for line in rollup.open() if line.startswith("Pss:"))
    except OSError:
        pass
print(total >> 10)
"""


def root(classroom: Classroom, *command: str) -> str:
    """Run a shell script, or another command, as root on the Pi, and return its output."""
    command = command if len(command) > 1 else ("sh", "-c", *command)
    done = classroom.ssh(f"sudo {shlex.join(command)}")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


def running(classroom: Classroom) -> set[str]:
    """Return the students whose servers are running."""
    units = root(classroom, "systemctl list-units --plain --no-legend --state=active 'jupyter@*.service'")
    return {line.split(".")[0].partition("@")[2] for line in units.splitlines()}


def ports(classroom: Classroom) -> set[str]:
    """Return the TCP ports that are open on the Pi."""
    listening = root(classroom, "ss --listening --tcp --numeric --no-header | awk '{print $4}'")
    return {address.rpartition(":")[2] for address in listening.split()}


def server_of(classroom: Classroom, student: str, signed_in: bool = True) -> NotebookServer:
    """Connect to a student's server, which starts it if it is not running."""
    server = NotebookServer(f"http://{classroom.address}:{8888 + STUDENTS.index(student)}")
    if signed_in:
        assert server.sign_in(classroom.password_of(f"{classroom.host}-{student}"))
    return server


@pytest.fixture(scope="module")
def three(classroom: Classroom) -> Iterator[Classroom]:
    """Set up the Pi for three students; afterwards, remove all but the first."""
    try:
        assert classroom.playbook("site", *THREE).returncode == 0
        yield classroom
    finally:
        was_single = classroom.ssh("ls /etc/systemd/system/jupyter.service").returncode == 0
        back = classroom.playbook("site")
        for student in NEW:
            classroom.ssh(f"sudo userdel --remove {student}")
            for name in (f"{classroom.host}-{student}", f".salt-{classroom.host}-{student}"):
                (ROOT / "dist/passwords" / name).unlink(missing_ok=True)
    assert back.returncode == 0
    assert recap(back.stdout)[classroom.host].changed == 0 or not was_single  # idempotent


def test_no_server_runs_before_a_page_is_opened(three: Classroom) -> None:
    assert running(three) == set()
    sockets = root(three, "systemctl is-enabled jupyter-8888@student.socket jupyter-889*; ls /home").split()
    assert sockets.count("enabled") >= 1
    assert {*STUDENTS} <= {*sockets}
    assert root(three, "systemctl is-active jupyter || true") == "inactive"


def test_a_page_waits_until_the_server_has_started(three: Classroom) -> None:
    server = server_of(three, "ada")
    assert running(three) == {"ada"}
    root(three, "systemctl stop jupyter@ada")
    assert server.get("/api/contents")["content"]  # still signed in
    assert running(three) == {"ada"}


def test_each_students_server_is_verified(three: Classroom, tmp_path: Path) -> None:
    """With the tests of verify.yml for the roles that set it up."""
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


def test_a_second_run_changes_nothing_and_stops_no_server(three: Classroom) -> None:
    with server_of(three, "ben").kernel() as kernel:
        sent = site_counted(three, extra=THREE)
        assert sent.changed == 0
        assert len(sent.tasks) <= MOST_TASKS
        assert kernel.run("print(1)").text == "1\n"


def test_three_servers_and_two_programs_fit_in_memory(three: Classroom) -> None:
    """With the memory of a Pi Zero, while two students draw plots and the third looks at the lessons."""
    pids = "systemctl show --property=MainPID --value " + " ".join(f"jupyter@{student}" for student in STUDENTS)
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
        print(f"{root(three, 'python3', '-c', IN_USE)} MiB with two programs as well")
        assert servers["ben"].get("/api/contents")["content"]
        # A kernel listens on one TCP port only, for its children's output. While a playbook's connection is open,
        # the tunnel to the control node's apt cache listens too.
        assert len(ports(three) - {"22", "8888", "8889", "8890", APT_CACHE}) <= 2
    assert root(three, pids) == before


@pytest.mark.long
def test_a_new_password_stops_the_server_and_opens_the_next(three: Classroom) -> None:
    server_of(three, "ada")
    password = ROOT / "dist/passwords" / f"{three.host}-ada"
    password.write_text("another-word\n", encoding="utf-8")
    assert recap(three.playbook("site", *THREE).stdout)[three.host].failed == 0
    assert "ada" not in running(three)
    assert server_of(three, "ada").get("/api/contents")["content"]


@pytest.mark.long
def test_a_password_that_was_changed_by_hand_is_reset(three: Classroom) -> None:
    """Even in a server that was started with it."""
    root(three, "cp /etc/jupyter/password-ada /etc/jupyter/password-ben; systemctl stop jupyter@ben")
    assert server_of(three, "ben", signed_in=False).sign_in(three.password_of(f"{three.host}-ada"))
    assert three.playbook("site", *THREE).returncode == 0
    assert server_of(three, "ben").get("/api/contents")["content"]


def test_only_running_servers_are_stopped_when_their_files_are_newer(three: Classroom) -> None:
    """As after a run that was interrupted between a change and the restart. The next run changes nothing."""
    server_of(three, "ada")
    root(three, "systemctl stop jupyter@ben; touch /etc/systemd/system/jupyter@.service")
    done = three.playbook("site", *THREE)
    assert recap(done.stdout)[three.host].changed == 1
    assert not running(three) & {"ada", "ben"}
    again = site_counted(three, extra=THREE)
    assert again.changed == 0
    assert not [task for task in again.tasks if "outdated settings" in task]


def test_sockets_move_to_other_ports_while_a_server_is_running(three: Classroom) -> None:
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


def test_going_back_to_one_student_keeps_all_files(three: Classroom) -> None:
    """Even with a server running. The sockets are removed, and the one student's server runs permanently."""
    files = f"sha256sum {' '.join(f'/home/{student}/notebooks/mine.txt' for student in STUDENTS)}"
    for student in STUDENTS:
        root(three, f"echo {student} > /home/{student}/notebooks/mine.txt")
    before = root(three, files)
    server_of(three, "ben")
    try:
        assert three.playbook("site").returncode == 0
        assert root(three, files) == before
        assert wait_for_login(f"http://{three.address}:8888") == 200
        assert root(three, "ls -d /etc/systemd/system/jupyter* /etc/jupyter/password*").split() == [
            "/etc/jupyter/password",
            "/etc/systemd/system/jupyter.service",
        ]
        assert not ports(three) & {"8889", "8890"}
    finally:
        root(three, "rm /home/student/notebooks/mine.txt")


@pytest.mark.long
def test_an_idle_server_stops(three: Classroom) -> None:
    """Once no program is running. The next request starts it again."""
    short = json.dumps({"students": STUDENTS, "jupyter_cull_seconds": 20})
    assert three.playbook("site", "-e", short).returncode == 0
    server = server_of(three, "ada")
    with server.kernel() as kernel:
        assert kernel.run("import time; time.sleep(100); print('done')", 200).text == "done\n"
        assert running(three) == {"ada"}
    end = time.monotonic() + 180
    while running(three):
        assert time.monotonic() < end, "The server is still running three minutes after its last use."
        time.sleep(2)
    assert server.get("/api/contents")["content"]
