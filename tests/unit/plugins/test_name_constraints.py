"""The classroom's certificate authority is trusted only for the classroom's names."""

import json
from pathlib import Path

import pytest
import yaml
from cryptography import x509

from tests.support.programs import ROOT, run_playbook

USUAL = yaml.safe_load((ROOT / "roles/jupyter/defaults/main.yml").read_text())["jupyter_ca_permitted"]
TASKS = yaml.safe_load((ROOT / "roles/jupyter/tasks/main.yml").read_text())
CHECK = next(task for task in TASKS if "vouch" in task["name"])
MAKE = {"ansible.builtin.include_role": {"name": "jupyter", "tasks_from": "certificate.yml", "public": True}}
PLAY = [{"hosts": "all", "gather_facts": False, "tasks": [MAKE, CHECK]}]


@pytest.mark.slow
def test_a_stolen_key_can_forge_a_pi_but_not_a_bank(tmp_path: Path) -> None:
    """A critical extension binds every browser. A Pi of another name is refused; one without an address is not."""
    (tmp_path / "group_vars").symlink_to(ROOT / "playbooks/group_vars")
    (tmp_path / "play.yml").write_text(json.dumps(PLAY))
    (tmp_path / "inventory.ini").write_text(
        "pi01.local ansible_host=192.168.1.52\npi02 ansible_host=pi02.school.example\npi03.local\n"
    )
    settings = json.dumps({"jupyter_ca": str(tmp_path), "jupyter_https": True})
    arguments = ["-i", tmp_path / "inventory.ini", tmp_path / "play.yml", "-e", settings]
    done = run_playbook(*arguments, env={"ANSIBLE_STRATEGY": "linear"})
    assert "pi02.crt: verification failed" in done.stdout and "Not finished: pi02. Finished: 2 of 3." in done.stdout
    authority = x509.load_pem_x509_certificate((tmp_path / "classroom-ca.crt").read_bytes())
    constraints = authority.extensions.get_extension_for_class(x509.NameConstraints)
    assert constraints.critical and constraints.value.permitted_subtrees
    permitted = {str(name.value) for name in constraints.value.permitted_subtrees}
    assert permitted == {name.partition(":")[2] for name in USUAL}
