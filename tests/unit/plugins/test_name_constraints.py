"""The classroom's certificate authority is trusted only for the classroom's names."""

from ipaddress import ip_address
from pathlib import Path

import pytest
import yaml
from cryptography import x509

from ansible_collections.mynn.pi.plugins.filter.name_constraints import outside_constraints
from tests.support.programs import ROOT, run_playbook

USUAL = yaml.safe_load((ROOT / "roles/jupyter/defaults/main.yml").read_text())["jupyter_ca_permitted"]
PLAY = """
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.include_role: {name: jupyter, tasks_from: certificate.yml}
"""


def test_only_the_classrooms_names_are_permitted() -> None:
    inside = ["DNS:pi01.local", "DNS:LOCAL", "IP:192.168.1.52", "IP:10.1.2.3", "IP:fd00::7"]
    outside = ["DNS:bank.example", "DNS:notlocal", "DNS:local.example", "IP:8.8.8.8", "IP:2001:db8::1"]
    assert outside_constraints([*inside, *outside], USUAL) == outside
    assert outside_constraints(["DNS:pi01.pis.school.example"], [*USUAL, "DNS:school.example"]) == []


@pytest.mark.slow
def test_a_stolen_key_can_forge_a_pi_but_not_a_bank(tmp_path: Path) -> None:
    """A critical extension binds every browser. A Pi of another name gets no certificate, but the setting to change."""
    (tmp_path / "group_vars").symlink_to(ROOT / "playbooks/group_vars")
    (tmp_path / "play.yml").write_text(PLAY)
    (tmp_path / "inventory.ini").write_text(
        "pi01.local ansible_host=192.168.1.52\npi02 ansible_host=pi02.school.example\n"
    )
    arguments = ["-i", tmp_path / "inventory.ini", tmp_path / "play.yml", "-e", f"jupyter_ca={tmp_path}"]
    done = run_playbook(*arguments, env={"ANSIBLE_STRATEGY": "linear"})
    output = " ".join(done.stdout.split())
    assert "may not vouch for DNS:pi02.school.example. Add the domain or network to jupyter_ca_permitted" in output
    assert not (tmp_path / "pi02.crt").exists()
    authority, pi = (
        x509.load_pem_x509_certificate((tmp_path / name).read_bytes())
        for name in ("classroom-ca.crt", "pi01.local.crt")
    )
    constraints = authority.extensions.get_extension_for_class(x509.NameConstraints)
    assert constraints.critical and constraints.value.permitted_subtrees
    permitted = {str(name.value) for name in constraints.value.permitted_subtrees}
    assert permitted == {name.partition(":")[2] for name in USUAL}
    pi.verify_directly_issued_by(authority)
    names = pi.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "pi01.local" in names.get_values_for_type(x509.DNSName)
    assert ip_address("192.168.1.52") in names.get_values_for_type(x509.IPAddress)
