"""What a run prints."""

import json
import re
from pathlib import Path

import pytest

from tests.support.programs import ROOT, run_playbook

PLAY = {"name": "Try", "hosts": "all", "gather_facts": False, "vars": {"first": "{{ inventory_hostname == 'pi-01' }}"}}
SHOWN = "{{ 'grep -q \"waiting: pi-02\" ' ~ playbook_dir ~ '/log' if first else 'true' }}"
TASKS = [
    [{"name": "Wait", "shell": f"until {SHOWN}; do sleep 0.1; done", "timeout": 600}],
    [
        {"name": "Greet", "debug": {"msg": ["Hello", "there"]}, "run_once": True},
        {"name": "Write", "copy": {"content": "x", "dest": "{{ playbook_dir }}/{{ inventory_hostname }}"}},
        {"name": "Break", "command": "false", "when": "not first"},
    ],
]


@pytest.mark.slow
def test_each_pi_is_shown_with_what_it_does_and_with_its_end(tmp_path: Path) -> None:
    """Ansible's own lines are for failures, and for changes that somebody asked for."""
    for number, tasks in enumerate(TASKS):
        (tmp_path / f"{number}.yml").write_text(json.dumps(tasks))
    imports = [{"name": f"Do {number}", "import_tasks": f"{number}.yml"} for number in range(2)]
    (tmp_path / "play.yml").write_text(json.dumps([{**PLAY, "tasks": imports}]))
    impatient = (ROOT / "plugins/callback/progress.py").read_text("utf-8").replace("AGAIN = 10, 30", "AGAIN = 1, 1")
    (tmp_path / "progress.py").write_text(impatient)
    plugins = {"ANSIBLE_CALLBACK_PLUGINS": f"{tmp_path}:plugins/callback", "ANSIBLE_STDOUT_CALLBACK": "progress"}
    plugins["ANSIBLE_STRATEGY"] = "linear"  # mitogen has one process for all Pis that are this computer
    arguments = [tmp_path / "play.yml", "-i", "pi-01,pi-02,", "-c", "local"]
    asked = run_playbook(*arguments, "--check", "--diff", env=plugins).stdout
    usual = run_playbook(*arguments, env=plugins | {"ANSIBLE_LOG_PATH": f"{tmp_path}/log"}).stdout
    assert "+x\n" in asked and "changed: [pi-02]" in asked and "TASK [Wait]" not in asked
    assert "changed: [" not in usual and "RECAP" not in usual
    lines = re.sub(r"(?m)^\d\d:\d\d:\d\d  |(?<=after )\d+ s|(?<=\()\d+ s|[ *]*$", "", usual).splitlines()
    expected = ["1 of 2: Do 0", "  pi-01: Wait (; waiting: pi-02)", "2 of 2: Do 1", "Hello", "there", "TASK [Break]"]
    expected += ["pi-01: finished after , changes: 2", "pi-02: not finished after , changes: 2"]
    assert [line for line in dict.fromkeys(lines) if line in expected] == expected
    (tmp_path / "progress.py").write_text(impatient.replace("AGAIN = 1, 1", "AGAIN = 999, 999"))
    again = run_playbook(*arguments, "--start-at-task=Greet", "-e", '{"first": true}', env=plugins).stdout
    assert re.search(r"pi-02: finished after [\w ]+, changes: 0\n$", again)  # nothing was to be done
