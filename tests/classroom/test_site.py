"""The first day: site.yml predicts what it does, does it, and does nothing the second time."""

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.classroom.conftest import all_files
from tests.support.classroom import Classroom, changed_tasks, recap, root
from tests.support.playbook_run import sent_tasks

MOST_TASKS = 12  # a Pi Zero takes seconds for each


def site_counted(classroom: Classroom, arguments: Sequence[str] = ()) -> tuple[int, list[str]]:
    """Run site.yml, and return the number of changes, and the tasks that it sent to the Pi."""
    output = json.loads(classroom.run("site", *arguments, env={"ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json"}))
    return output["stats"][classroom.host]["changed"], sent_tasks(output["plays"], classroom.host)


def test_check_mode_on_a_fresh_pi_predicts_the_changes_and_makes_none(fresh: Classroom) -> None:
    before = all_files(fresh)
    check = fresh.run("site", "--check", "--diff")
    assert recap(check)["pi-01"].changed >= 15
    predicted = changed_tasks(check)
    for role in ("system", "python", "mnist", "jupyter"):
        assert any(task.startswith(f"{role} : ") for task in predicted), role
    assert "+Description=Notebook server" in check
    assert "/etc/hostname" in before
    assert all_files(fresh) == before


@pytest.mark.quick
def test_a_second_run_changes_nothing_and_is_small(
    classroom: Classroom, record_property: Callable[[str, object], None]
) -> None:
    changed, tasks = site_counted(classroom)
    print(f"{len(tasks)} tasks:", *tasks, sep="\n")
    record_property("tasks", len(tasks))
    assert changed == 0
    assert 4 < len(tasks) <= MOST_TASKS


def test_check_mode_on_a_provisioned_pi_finds_nothing(classroom: Classroom) -> None:
    look = classroom.run("site", "--check", "--diff")
    assert recap(look)["pi-01"].changed == 0
    assert not re.search(r"^(---|\+\+\+|@@)", look, re.M)


def test_the_passwords_that_another_computer_gave_stay(classroom: Classroom, tmp_path: Path) -> None:
    before = root(classroom, "cat /etc/jupyter/password")
    said = classroom.fail("site", "-e", f"jupyter_passwords={tmp_path}")
    assert "has passwords that another computer gave it" in said
    assert "copy that computer's folder dist/passwords" in said
    assert root(classroom, "cat /etc/jupyter/password") == before
    assert list(tmp_path.iterdir()) == []
