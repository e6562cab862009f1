"""The names, files and units of each student on a Pi, those no longer needed, and names that are refused."""

import pytest
import yaml

from ansible_collections.mynn.pi.plugins.filter.students import classroom_students, notebook_servers
from tests.support.conditions import holds
from tests.support.programs import ROOT

UNITS = "/etc/systemd/system"
HASH = "/etc/jupyter/password"
ONE = classroom_students(["student"], "pi01.local", "pi01.local", 8888, False, "dist/passwords")
TWO = classroom_students(["student", "ada"], "pi01.local", "pi01.local", 8888, False, "dist/passwords")
FILES_OF_ONE = [f"{UNITS}/jupyter.service", HASH]
FILES_OF_TWO = [
    f"{UNITS}/jupyter@.service",
    f"{UNITS}/jupyter-8888@student.socket",
    f"{UNITS}/jupyter-8889@ada.socket",
    f"{HASH}-student",
    f"{HASH}-ada",
]
# Other files that the same patterns find.
OTHERS = [
    "/etc/jupyter/jupyter_server_config.py",
    f"{UNITS}/sockets.target.wants/jupyter-8888@student.socket",
    f"{UNITS}/jupyter.service.d",
]


def test_each_of_several_students_has_files_units_and_a_port_of_their_own() -> None:
    [student], [first, second] = ONE, TWO
    assert (student["unit"], student["socket"], student["hash_file"]) == ("jupyter.service", "", HASH)
    assert {key for key in first if first[key] == second[key]} == {"unit_file"}


def test_a_new_password_replaces_those_from_when_the_pi_had_one_student_or_several() -> None:
    files = {f"dist/passwords/{salt}pi01.local{of}" for salt in ("", ".salt-") for of in ("", "-student")}
    assert set(ONE[0]["secret_files"]) == set(TWO[0]["secret_files"]) == files


# By what happened: the files, the units that run, the students, and what is then surplus and unneeded. A unit without a
# file that does not run cannot be stopped, as systemd no longer knows it.
SOCKETS = ["jupyter-8888@student.socket", "jupyter-8889@ada.socket"]
SERVERS = ["jupyter@ada.service", "jupyter@student.service"]  # one may have been started since the facts were gathered
BENS = [f"{UNITS}/jupyter-8890@ben.socket", f"{HASH}-ben"]
VARS = yaml.safe_load((ROOT / "roles/jupyter/vars/main.yml").read_text(encoding="utf-8"))
SEATS = [f"{UNITS}/mynn-seats.socket", f"{UNITS}/mynn-seats@.service"]
WITH_SEATS = [*TWO, VARS["__jupyter_seats_page"]]
MOVED = classroom_students(["student", "ada"], "pi01.local", "pi01.local", 9000, False, "")
CHANGES: dict[str, tuple[list[str], list[str], list[dict[str, str]], list[str], list[str]]] = {
    "nothing": (FILES_OF_ONE, ["jupyter.service"], ONE, [], []),
    "nothing with two": (FILES_OF_TWO + SEATS, SERVERS, WITH_SEATS, [], []),
    "a second student": (FILES_OF_ONE, ["jupyter.service"], TWO, FILES_OF_ONE, ["jupyter.service"]),
    "one student left": (
        FILES_OF_TWO + SEATS,
        SERVERS[:1],
        ONE,
        FILES_OF_TWO + SEATS,
        [*SOCKETS, *SERVERS, "mynn-seats.socket"],
    ),
    "an interrupted run": ([], [SERVERS[0], "ssh.service"], ONE, [], SERVERS[:1]),
    "a student left": (FILES_OF_TWO + BENS, SERVERS[:1], TWO, BENS, ["jupyter-8890@ben.socket", "jupyter@ben.service"]),
    "another port": (FILES_OF_TWO, SERVERS[:1], MOVED, FILES_OF_TWO[1:3], SOCKETS),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_no_longer_needed_is_found(change: str) -> None:
    files, running, students, surplus, unneeded = CHANGES[change]
    found = notebook_servers([*files, *OTHERS], running, students)
    assert found == {"surplus": sorted(surplus), "unneeded": unneeded}


# --- names

[CHECK] = yaml.safe_load((ROOT / "roles/students/tasks/names.yml").read_text(encoding="utf-8"))
VARIABLES = yaml.safe_load((ROOT / "roles/students/vars/main.yml").read_text(encoding="utf-8")) | CHECK["vars"]
REFUSED = [[], "ada", ["ada", "ben", "ada"], ["Ada"], ["4a"], ["ada;reboot"], ["a" * 31], ["teacher"]]
REFUSED += [["root"], ["www-data"], ["systemd-network"]]  # Debian's own


def accepted(students: object) -> bool:
    """Return whether the role accepts these students on a Pi of the account teacher."""
    variables = {**VARIABLES, "students": students, "__system_pi": {"account": "teacher"}}
    return all(holds(condition, variables) for condition in CHECK["ansible.builtin.assert"]["that"])


def test_invalid_student_names_are_refused() -> None:
    assert [students for students in REFUSED if accepted(students)] == []
    assert accepted(["a" * 30, "morning-2", "after_noon"])
