"""The next classes: several students on one Pi, over HTTPS. Each has a folder, a password and a server on demand."""

import json
import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.classroom.test_site import MOST_TASKS, site_counted
from tests.provisioned.notebook_server import NotebookServer
from tests.support.classroom import ROOT, Classroom, root, serves, until

STUDENTS = ["student", "ada", "ben"]
WORK = """
import numpy, matplotlib.pyplot as plt
plt.plot(numpy.arange(10))
plt.show()
print(numpy.arange(10).sum(), end="")
"""


@dataclass(frozen=True)
class Classes:
    """A Pi with three students, and the settings for them."""

    classroom: Classroom
    settings: dict[str, object]

    @property
    def arguments(self) -> list[str]:
        """The settings as options of a run."""
        return ["-e", json.dumps(self.settings)]

    def server_of(self, student: str) -> NotebookServer:
        """Sign in to a student's server, which starts it if it is not running."""
        url = f"https://{self.classroom.address}:{8888 + STUDENTS.index(student)}"
        server = NotebookServer(url, f"{self.settings['jupyter_ca']}/classroom-ca.crt")
        assert server.sign_in(self.classroom.password_of(f"{self.classroom.host}-{student}"))
        return server

    def running(self) -> set[str]:
        """Return the students whose servers are running."""
        units = root(self.classroom, "systemctl list-units --plain --no-legend --state=active 'jupyter@*.service'")
        return {line.split(".")[0].partition("@")[2] for line in units.splitlines()}


@pytest.fixture(scope="module")
def classes(classroom: Classroom, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Classes]:
    """Set up the Pi for three students and HTTPS; afterwards, remove all but the first."""
    folder = tmp_path_factory.mktemp("school")
    settings: dict[str, object] = {"students": STUDENTS, "jupyter_https": True, "jupyter_ca": str(folder / "ca")}
    classes = Classes(classroom, settings)
    try:
        classroom.run("site", *classes.arguments)
        yield classes
    finally:
        if classroom.ssh("test -e /etc/systemd/system/jupyter.service").returncode:
            classroom.run("site")
        for student in STUDENTS[1:]:
            root(classroom, f"userdel --remove {student}")
            for name in (f"{classroom.host}-{student}", f".salt-{classroom.host}-{student}"):
                (ROOT / "dist/passwords" / name).unlink(missing_ok=True)


def test_a_server_runs_once_its_page_is_opened(classes: Classes) -> None:
    assert classes.running() == set()
    server = classes.server_of("ada")
    assert classes.running() == {"ada"}
    root(classes.classroom, "systemctl stop jupyter@ada")
    assert server.get("/api/contents")["content"]  # still signed in
    assert classes.running() == {"ada"}
    key = Path(str(classes.settings["jupyter_ca"]), "classroom-ca.key")
    assert key.stat().st_mode & 0o077 == 0


def test_the_page_at_port_80_leads_to_a_sign_in_that_names_the_seat(classes: Classes) -> None:
    ask = f"asked = r.Request('http://localhost', headers={{'Host': '{classes.classroom.address}'}})"
    code = f"import urllib.request as r; {ask}; print(r.urlopen(asked).read().decode())"
    [url] = re.findall('<a href="(https://[^"]+)">ada<', root(classes.classroom, f'python3 -c "{code}"'))
    sign_in = NotebookServer(url, f"{classes.settings['jupyter_ca']}/classroom-ca.crt").ask("GET", "/login").text
    assert '<strong id="pi">ada</strong> · pi-01' in sign_in


def test_a_second_run_changes_nothing_and_stops_no_server(classes: Classes) -> None:
    with classes.server_of("ben").kernel() as kernel:
        changed, tasks = site_counted(classes.classroom, classes.arguments)
        assert changed == 0
        assert len(tasks) <= MOST_TASKS
        # Over TCP, other students' programs could connect to the kernel and read its output.
        assert kernel.run("print(get_ipython().kernel.parent.transport)").text == "ipc\n"


def test_nobody_is_let_in_at_the_port_of_a_students_program(classes: Classes) -> None:
    """Where a page of a neighbour's would be sent a student's cookie. A program of root's is reached."""
    pi = classes.classroom
    address = root(pi, "ip -4 -o addr show eth0 | grep -o 'inet [0-9.]*' | cut -c6-")
    root(pi, "systemd-run --collect --unit=test-page python3 -m http.server 9998")
    try:
        with classes.server_of("ada").kernel() as kernel:
            listen = "import socket; page = socket.create_server(('', 9999)); print(page.fileno() > 0)"
            assert kernel.run(listen).text == "True\n"
            inside = kernel.run("print(socket.create_connection(('127.0.0.1', 9999)).fileno() > 0)")
            assert inside.text == "True\n"
            until(lambda: ":9998 " in root(pi, "ss --listening --tcp --numeric"))
            socket.create_connection((address, 9998), timeout=60).close()
            with pytest.raises(OSError, match="timed out"):
                socket.create_connection((address, 9999), timeout=3)
    finally:
        root(pi, "systemctl stop test-page")


def test_one_seat_is_reset_and_no_other(classes: Classes) -> None:
    own = [f"/home/{student}/notebooks/own.txt" for student in ("ada", "ben")]
    for path in own:
        root(classes.classroom, f"touch {path}")
    given = ["-e", "student_work_student=ben", "-e", "reset_uncollected=true"]
    assert "is at its baseline; discarded: ben" in classes.classroom.run("reset", *classes.arguments, *given)
    assert root(classes.classroom, f"ls -d {' '.join(own)} 2>/dev/null || true").split() == own[:1]
    root(classes.classroom, f"rm {own[0]}")


def test_every_students_server_is_verified(classes: Classes, own_report: list[str]) -> None:
    classes.classroom.run("verify", *classes.arguments, *own_report)


def test_three_servers_and_two_programs_fit_in_memory(classes: Classes) -> None:
    """With the memory of a Pi Zero, while two students draw plots and the third looks at the lessons."""
    processes = "systemctl show --property=MainPID --value " + " ".join(f"jupyter@{name}" for name in STUDENTS)
    servers = {student: classes.server_of(student) for student in STUDENTS}
    before = root(classes.classroom, processes)
    with ExitStack() as stack:
        for student in STUDENTS[:2]:
            output = stack.enter_context(servers[student].kernel()).run(WORK)
            assert (output.text[-2:], output.error) == ("45", "")
            assert output.pictures
        assert servers["ben"].get("/api/contents")["content"]
    assert root(classes.classroom, processes) == before


def test_back_to_one_student_with_other_settings_keeps_all_files(classes: Classes) -> None:
    """Even with a server running. The sockets are removed, and the one student's server runs permanently."""
    pi = classes.classroom
    files = f"sha256sum {' '.join(f'/home/{student}/notebooks/mine.txt' for student in STUDENTS)}"
    for student in STUDENTS:
        root(pi, f"echo {student} >/home/{student}/notebooks/mine.txt")
    before = root(pi, files)
    classes.server_of("ben")
    try:
        pi.run("site")
        assert root(pi, files) == before
        assert serves(pi)
        assert root(pi, "ls -d /etc/systemd/system/jupyter* /etc/jupyter/password*").split() == [
            "/etc/jupyter/password",
            "/etc/systemd/system/jupyter.service",
        ]
        assert "8889" not in root(pi, "ss --listening --tcp --numeric")
    finally:
        root(pi, "rm /home/student/notebooks/mine.txt")
