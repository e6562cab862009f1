"""A name that no student can have: a sentence says so, before anything is done."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROLES = Path(__file__).resolve().parents[3] / "roles"
WRONG: dict[str, object] = {
    "nobody-at-all": [],
    "no-list": "ada",
    "twice": ["ada", "ben", "ada"],
    "capital": ["Ada"],
    "blank": ["ada lovelace"],
    "digit": ["4a"],
    "shell": ["ada;reboot"],
    "too-long": ["a" * 31],
    "system": ["ada", "www-data"],
    "root": ["root"],
    "teacher": ["teacher"],
    "networkd": ["systemd-network"],
}


def test_a_name_that_no_student_can_have_is_refused(tmp_path: Path) -> None:
    """Each Pi of this inventory has another mistake; they are all on this computer, where nothing is done."""
    hosts = {name: {"students": names} for name, names in WRONG.items()}
    hosts |= {"right": {"students": ["a" * 30, "morning-2", "after_noon"]}}
    local = {"ansible_connection": "local"}
    (tmp_path / "hosts.json").write_text(json.dumps({"all": {"hosts": hosts, "vars": local}}))
    known = {"set_fact": {"__system_pi": {"account": "teacher"}}}
    look = {"import_role": {"name": "students", "tasks_from": "names"}}
    (tmp_path / "play.yml").write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": [known, look]}]))
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("ansible-playbook")),
            "-i",
            f"{tmp_path}/hosts.json",
            f"{tmp_path}/play.yml",
        ],
        cwd=tmp_path,  # without this project's ansible.cfg, for whose table at the end the answer would be no JSON
        env=os.environ | {"ANSIBLE_ROLES_PATH": str(ROLES), "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json"},
        capture_output=True,
        text=True,
    )
    said = json.loads(done.stdout)
    assert {host for host, counts in said["stats"].items() if counts["failures"]} == set(WRONG)
    results = [task["hosts"] for play in said["plays"] for task in play["tasks"] if "Refuse" in task["task"]["name"]]
    for host, names in WRONG.items():
        [message] = [hosts[host]["msg"] for hosts in results if host in hosts]
        assert str(names) in message
        assert "such as [morning, afternoon]" in message
