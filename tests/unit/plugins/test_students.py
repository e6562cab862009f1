"""The names, files and units of each student on a Pi, those no longer needed, and names that are refused."""

import json
from pathlib import Path

import pytest
import yaml

from ansible_collections.mynn.pi.plugins.module_utils.students import classroom_students, notebook_servers
from tests.support.conditions import holds
from tests.support.programs import ROOT, run_playbook

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


def test_a_password_is_removed_with_its_salt_and_an_image_has_neither(tmp_path: Path) -> None:
    def run(task: dict[str, object]) -> set[str]:
        """Run a task for a Pi with one student and no password; return which passwords and salts there are then."""
        settings = [*(ROOT / "playbooks/group_vars/all").glob("*.yml"), ROOT / "roles/jupyter/vars/main.yml"]
        play = {"hosts": "pi01.local", "gather_facts": False, "vars_files": [*map(str, settings)], "tasks": [task]}
        (tmp_path / "play.yml").write_text(json.dumps([play]), encoding="utf-8")
        chosen = {"students": ["student"], "jupyter_password": "", "jupyter_passwords": f"{tmp_path}/dist/passwords"}
        done = run_playbook(f"{tmp_path}/play.yml", "-c", "local", "-i", "pi01.local,", "-e", json.dumps(chosen))
        assert done.returncode == 0
        return {path.name for path in tmp_path.glob("dist/passwords/*")}

    assert run({"ansible.builtin.debug": {"var": "__jupyter_hashes"}}) == set()
    (tmp_path / "dist/passwords").mkdir(parents=True)
    for student in ONE + TWO:
        for file in ("password_file", "salt_file"):
            (tmp_path / student[file]).write_text("it was for one or for several")
    [remove, *_] = yaml.safe_load((ROOT / "roles/student_work/tasks/passwords.yml").read_text(encoding="utf-8"))
    assert run(remove) == {"pi01.local-ada", ".salt-pi01.local-ada"}


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
