"""Invalid student names are refused with a sentence before anything is changed."""

import yaml

from tests.support.conditions import holds
from tests.support.programs import ROOT

ROLE = ROOT / "roles/students"
[CHECK] = yaml.safe_load((ROLE / "tasks/names.yml").read_text(encoding="utf-8"))
VARIABLES = yaml.safe_load((ROLE / "vars/main.yml").read_text(encoding="utf-8")) | CHECK["vars"]
REFUSED = [[], "ada", ["ada", "ben", "ada"], ["Ada"], ["4a"], ["ada;reboot"], ["a" * 31], ["teacher"]]
REFUSED += [["root"], ["www-data"], ["systemd-network"]]  # Debian's own


def accepted(students: object) -> bool:
    """Return whether the role accepts these students on a Pi of the account teacher."""
    variables = {**VARIABLES, "students": students, "__system_pi": {"account": "teacher"}}
    return all(holds(condition, variables) for condition in CHECK["ansible.builtin.assert"]["that"])


def test_invalid_student_names_are_refused() -> None:
    assert [students for students in REFUSED if accepted(students)] == []
    assert accepted(["a" * 30, "morning-2", "after_noon"])
