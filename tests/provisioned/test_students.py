"""Several students."""

import json
import re
import shlex
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.provisioned.notebook_server import NotebookServer
from tests.provisioned.pi import Pi

# What a student's program might try to do to another student. It prints what it could do.
CURIOSITY = """
import getpass, json, os, pathlib
done = []
for other, paths in OTHERS.items():
    for path in paths:
        if os.access(path, os.R_OK) or os.access(path, os.W_OK):
            done.append("access " + path)
    for number in filter(str.isdigit, os.listdir("/proc")):
        try:
            if pathlib.Path("/proc", number).owner() == other:
                done.append("see the programs of " + other)
        except (OSError, KeyError):
            pass
print(json.dumps([getpass.getuser(), os.getcwd(), sorted(set(done))]))
"""


@pytest.fixture(autouse=True)
def skip_one_student(pi: Pi) -> None:
    """Skip a Pi with one student, who is covered by the tests of the notebook server."""
    if len(pi.settings.students) == 1:
        pytest.skip("It has one student; the setting students can list several.")


def test_only_their_own_passwords_are_accepted(pi: Pi) -> None:
    """Each student's server refuses a neighbour's password: all others' would take minutes with thirty students."""

    def check(student: str, other: str) -> None:
        stranger = NotebookServer(pi.settings.students[student]["url"], pi.settings.authority)
        accepted = stranger.sign_in(pi.settings.passwords[other])
        assert not accepted, f"The server of {student} accepts the password of {other}."
        assert stranger.ask("GET", "/api/contents").status_code == 403, f"Anybody can see the files of {student}."

    students = list(pi.settings.students)
    with ThreadPoolExecutor(5) as pool:  # a server answers a wrong password after a delay
        list(pool.map(check, students, [*students[1:], students[0]]))


def test_port_80_shows_the_seats(pi: Pi) -> None:
    """One address for all: the page of the seats, at port 80, leads to each student's sign-in."""
    ask = "import urllib.request; print(urllib.request.urlopen('http://localhost').read().decode())"
    answers = pi.run({"desk": "systemctl is-enabled mynn-desk.socket", "page": f"python3 -c {shlex.quote(ask)}"})
    if answers["desk"].text == "enabled":
        pytest.skip("It is a desk's card, whose port 80 has the desk.")
    page = answers["page"].text
    missing = [name for name, about in pi.settings.students.items() if f':{about["port"]}">{name}<' not in page]
    assert not missing, f"The page has no link to {', '.join(missing)}."


def test_programs_are_isolated_from_other_students(pi: Pi) -> None:
    """Each student's programs run as that student, and have no access to other students' files and programs."""
    for student, about in pi.settings.students.items():
        others = {
            other: [f"/home/{other}", its["folder"], its["hash_file"]]
            for other, its in pi.settings.students.items()
            if other != student
        }
        server = NotebookServer(about["url"], pi.settings.authority)
        signed_in = server.sign_in(pi.settings.passwords[student])
        assert signed_in, f"The password that this computer keeps for {student} is refused at {server.url}."
        with server.kernel() as kernel:
            output = kernel.run(CURIOSITY.replace("OTHERS", repr(others)))
        assert not output.error, f"The cell of {student} ends with {output.error}"
        name, folder, done = json.loads(output.text)
        assert (name, folder) == (student, about["folder"]), f"A program of {student} runs as {name}, in {folder}."
        assert not done, f"A program of {student} can {', '.join(done)}."


def test_nobodys_files_can_fill_the_disk(pi: Pi) -> None:
    """The size of each student's files is limited."""
    asked = pi.run(
        {
            "limited": "systemctl is-enabled mynn-disk-limits && findmnt -no FSTYPE -T /home | grep ext4",
            "limits": 'repquota -u "$(findmnt -no TARGET -T /home)"',
        }
    )
    if asked["limited"].status:
        pytest.skip("Its disk is not ext4, or students_disk_percent is 0.")
    limited = set(re.findall(r"^(\S+) +[+-]{2} +\d+ +\d+ +[1-9]", asked["limits"].text, re.M))
    assert set(pi.settings.students) <= limited, f"There are no limits for all: {asked['limits'].text}"
