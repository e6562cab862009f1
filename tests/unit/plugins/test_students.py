"""The names, files and units of each student on a Pi, and the files and units that are no longer needed."""

from __future__ import annotations

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
    "/opt/mynn/venv/installed-1",
    "/opt/mynn/venv/bin/jupyter",
    "/etc/jupyter/jupyter_server_config.py",
    f"{UNITS}/multi-user.target.wants/jupyter.service",
    f"{UNITS}/sockets.target.wants/jupyter-8888@student.socket",
    f"{UNITS}/jupyter.service.d",
]


def test_each_of_several_students_has_files_units_and_a_port_of_their_own() -> None:
    [student], [first, second] = ONE, TWO
    assert (student["unit"], student["socket"], student["hash_file"]) == ("jupyter.service", "", HASH)
    assert {key for key in first if first[key] == second[key]} == {"unit_file", "stale_password_file"}
    assert (second["unit"], second["unit_file"]) == ("jupyter@ada.service", f"{UNITS}/jupyter@.service")
    assert (second["port"], second["url"]) == (8889, "http://pi01.local:8889")
    assert second["socket_file"] == f"{UNITS}/{second['socket']}"
    assert student["stale_password_file"] == first["password_file"]
    assert first["stale_password_file"] == student["password_file"]


def test_an_address_of_ipv6_is_in_brackets() -> None:
    [student] = classroom_students(["student"], "pi01", "fe80::1", "9000", True, "")
    assert student["url"] == "https://[fe80::1]:9000"


@pytest.mark.parametrize(("students", "files"), [(ONE, FILES_OF_ONE), (TWO, FILES_OF_TWO)])
def test_needed_files_and_units_are_kept(students: list[dict[str, str]], files: list[str]) -> None:
    nothing: dict[str, list[str]] = {"surplus": [], "unneeded": []}
    running = ["ssh.service", "jupyter.service", *(student["unit"] for student in students)]
    assert notebook_servers([*files, *OTHERS], running, students) == nothing
    assert notebook_servers([], [], students) == nothing


def test_a_second_student_makes_the_only_server_surplus() -> None:
    found = notebook_servers([*FILES_OF_ONE, *OTHERS], ["jupyter.service"], TWO)
    assert found == {"surplus": sorted(FILES_OF_ONE), "unneeded": ["jupyter.service"]}


def test_with_one_student_left_the_servers_of_several_are_surplus() -> None:
    """A server may have been started since the facts were gathered."""
    units = [f"jupyter-{number}@{name}.socket" for number, name in ((8888, "student"), (8889, "ada"))]
    units += ["jupyter@ada.service", "jupyter@student.service"]
    found = notebook_servers([*FILES_OF_TWO, *OTHERS], ["jupyter@ada.service"], ONE)
    assert found == {"surplus": sorted(FILES_OF_TWO), "unneeded": units}


def test_units_that_still_run_without_their_files_are_stopped() -> None:
    """An earlier run was interrupted. A unit that does not run cannot be stopped, as systemd no longer knows it."""
    running, socket = ["jupyter@ada.service", "ssh.service"], f"{UNITS}/jupyter-8888@student.socket"
    assert notebook_servers([], running, ONE)["unneeded"] == ["jupyter@ada.service"]
    assert notebook_servers([socket], [], ONE)["unneeded"] == ["jupyter-8888@student.socket"]


def test_a_student_who_is_no_longer_listed_loses_only_the_server() -> None:
    bens = [f"{UNITS}/jupyter-8890@ben.socket", f"{HASH}-ben"]
    found = notebook_servers([*FILES_OF_TWO, *bens], ["jupyter@ben.service", "jupyter@ada.service"], TWO)
    assert found == {"surplus": sorted(bens), "unneeded": ["jupyter-8890@ben.socket", "jupyter@ben.service"]}


def test_after_a_change_of_port_the_old_sockets_are_unneeded() -> None:
    moved = classroom_students(["student", "ada"], "pi01.local", "pi01.local", 9000, False, "")
    assert notebook_servers(FILES_OF_TWO, ["jupyter@ada.service"], moved)["unneeded"] == [
        "jupyter-8888@student.socket",
        "jupyter-8889@ada.socket",
    ]
