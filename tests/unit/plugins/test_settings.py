"""Settings in a teacher's inventory, and settings with their old names."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from ansible_collections.mynn.pi.plugins.callback.renamed_settings import RENAMED
from tests.support.programs import ANSIBLE_PLAYBOOK, ROOT

PLAY = """
- hosts: pis
  gather_facts: false
  tasks:
    - ansible.builtin.debug:
        msg: "{{ inventory_hostname }}: {{ students | join(' ') }}, {{ jupyter_port }}, {{ lessons_pristine }}"
"""
INVENTORY = """
[pis]
pi-01
pi-02

[pis:vars]
jupyter_port=9999
"""


@pytest.mark.parametrize("strategy", ["classroom", "linear"])
def test_old_names_still_work_and_the_inventory_has_precedence(tmp_path: Path, strategy: str) -> None:
    (tmp_path / "play.yml").write_text(PLAY)
    (tmp_path / "mine/host_vars").mkdir(parents=True)
    (tmp_path / "mine/inventory.ini").write_text(INVENTORY)
    (tmp_path / "mine/host_vars/pi-01.yml").write_text('notebooks_students: [ada, "{{ other }}"]\nother: eve\n')
    (tmp_path / "group_vars").symlink_to(ROOT / "playbooks/group_vars")
    done = subprocess.run(
        [
            *(ANSIBLE_PLAYBOOK, "-i", f"{tmp_path}/mine/inventory.ini", f"{tmp_path}/play.yml"),
            *("-e", "notebooks_pristine=/old"),
        ],
        cwd=ROOT,
        env=os.environ | {"ANSIBLE_STRATEGY": strategy, "COLUMNS": "999"},
        capture_output=True,
        text=True,
    )
    assert "msg: 'pi-01: ada eve, 9999, /old'" in done.stdout
    assert "msg: 'pi-02: student, 9999, /old'" in done.stdout
    assert done.stderr.count("The setting notebooks_students is now called students") == 1
    assert done.stderr.count("The setting notebooks_pristine is now called lessons_pristine") == 1


def test_no_setting_is_renamed_twice() -> None:
    assert not set(RENAMED) & set(RENAMED.values())
