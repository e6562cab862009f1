"""Invalid student names are refused with a sentence before anything is changed."""

import json
import os
import subprocess
from pathlib import Path

from tests.support.programs import ANSIBLE_PLAYBOOK, ROOT

ROLES = ROOT / "roles"
INVALID: dict[str, object] = {
    "nobody-at-all": [],
    "not-a-list": "ada",
    "twice": ["ada", "ben", "ada"],
    "capital": ["Ada"],
    "space": ["ada lovelace"],
    "digit": ["4a"],
    "shell": ["ada;reboot"],
    "too-long": ["a" * 31],
    "system": ["ada", "www-data"],
    "root": ["root"],
    "teacher": ["teacher"],
    "networkd": ["systemd-network"],
}


def test_invalid_student_names_are_refused(tmp_path: Path) -> None:
    """Each Pi in this inventory has a different mistake. All of them are this computer, which stays as it is."""
    hosts = {name: {"students": names} for name, names in INVALID.items()}
    hosts |= {"valid": {"students": ["a" * 30, "morning-2", "after_noon"]}}
    local = {"ansible_connection": "local"}
    (tmp_path / "hosts.json").write_text(json.dumps({"all": {"hosts": hosts, "vars": local}}))
    facts = {"set_fact": {"__system_pi": {"account": "teacher"}}}
    check = {"import_role": {"name": "students", "tasks_from": "names"}}
    (tmp_path / "play.yml").write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": [facts, check]}]))
    done = subprocess.run(
        [ANSIBLE_PLAYBOOK, "-i", f"{tmp_path}/hosts.json", f"{tmp_path}/play.yml"],
        cwd=tmp_path,  # without the project's ansible.cfg, whose summary at the end is not JSON
        env=os.environ | {"ANSIBLE_ROLES_PATH": str(ROLES), "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json"},
        capture_output=True,
        text=True,
    )
    output = json.loads(done.stdout)
    assert {host for host, counts in output["stats"].items() if counts["failures"]} == set(INVALID)
    results = [task["hosts"] for play in output["plays"] for task in play["tasks"] if "Refuse" in task["task"]["name"]]
    for host, names in INVALID.items():
        [message] = [hosts[host]["msg"] for hosts in results if host in hosts]
        assert str(names) in message
        assert "such as [morning, afternoon]" in message
