"""The names, files and units of each student on a Pi, and the files and units that are no longer needed."""

import pytest

from ansible_collections.mynn.pi.plugins.module_utils.students import classroom_students, notebook_servers

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
    assert {key for key in first if first[key] == second[key]} == {"unit_file", "stale_password_file"}
    assert student["stale_password_file"] == first["password_file"]
    assert first["stale_password_file"] == student["password_file"]


# By what happened: the files, the units that run, the students, and what is then surplus and unneeded. A unit without a
# file that does not run cannot be stopped, as systemd no longer knows it.
SOCKETS = ["jupyter-8888@student.socket", "jupyter-8889@ada.socket"]
SERVERS = ["jupyter@ada.service", "jupyter@student.service"]  # one may have been started since the facts were gathered
BENS = [f"{UNITS}/jupyter-8890@ben.socket", f"{HASH}-ben"]
MOVED = classroom_students(["student", "ada"], "pi01.local", "pi01.local", 9000, False, "")
CHANGES: dict[str, tuple[list[str], list[str], list[dict[str, str]], list[str], list[str]]] = {
    "nothing": (FILES_OF_ONE, ["jupyter.service"], ONE, [], []),
    "nothing with two": (FILES_OF_TWO, SERVERS, TWO, [], []),
    "a second student": (FILES_OF_ONE, ["jupyter.service"], TWO, FILES_OF_ONE, ["jupyter.service"]),
    "one student left": (FILES_OF_TWO, SERVERS[:1], ONE, FILES_OF_TWO, SOCKETS + SERVERS),
    "an interrupted run": ([], [SERVERS[0], "ssh.service"], ONE, [], SERVERS[:1]),
    "a student left": (FILES_OF_TWO + BENS, SERVERS[:1], TWO, BENS, ["jupyter-8890@ben.socket", "jupyter@ben.service"]),
    "another port": (FILES_OF_TWO, SERVERS[:1], MOVED, FILES_OF_TWO[1:3], SOCKETS),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_no_longer_needed_is_found(change: str) -> None:
    files, running, students, surplus, unneeded = CHANGES[change]
    found = notebook_servers([*files, *OTHERS], running, students)
    assert found == {"surplus": sorted(surplus), "unneeded": unneeded}
