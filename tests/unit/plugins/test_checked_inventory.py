"""A mistake in the inventory or the settings ends a run before a Pi is contacted, in sentences that say where it is."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.programs import ROOT, run_playbook

MISTAKES = """\
[pis]
pi04 ansible_host=192.0.2.1
pi05 ansible_host=192.0.2.1
pi06.local
pi06.lan jupyter_port=abc
pi-bärbel
"""
WRONG = "jupyter_cull_seconds: soon\nstudents: 5\nboad: '4'\njupyter_pasword: x\nmy_own: 1\n"
WRONG += "student: [ada]\ncluster_port: 65536\napt_cache_port: 32768\njupyter_port:\n"
WRONG += "jupyter_of_old: false\nmnist_mirrors: [a]\nwall_interval: 2\n"
WRONG += "cluster_dashboard_port: 80\ncards_largest_gb: 1e3\n"
SENTENCES = [
    "pi04 and pi05 have the same address, 192.0.2.1",
    "pi06.local and pi06.lan would both be called pi06",
    "“pi-bärbel” cannot be a Pi's name",
    "i.ini:5: jupyter_port is 'abc', and must be a whole number",
    "pis.yml:1: jupyter_cull_seconds is 'soon', and must be a whole number",
    "pis.yml:2: students is 5, and must be a list",
    "pis.yml:3: there is no setting boad; the nearest is board",
    "pis.yml:4: there is no setting jupyter_pasword; the nearest is jupyter_password",
    "pis.yml:6: there is no setting student; the nearest is students",
    "pis.yml:7: cluster_port is 65536, and must be a whole number from 1024 to 65535",
    "pis.yml:8: apt_cache_port is 32768, and must be a whole number from 1024 to 32767",
    "pis.yml:10: there is no setting jupyter_of_old.\n",
    "pis.yml:11: mnist_mirrors is gone: remove the line, since MNIST comes with the project.\n",
    "pis.yml:12: wall_interval is gone: remove the line",
    "jupyter_port is empty, and must be a whole number from 1024 to 65535",
    "pis.yml:13: cluster_dashboard_port is 80, and must be a whole number from 1024 to 65535",
    "pis.yml:14: cards_largest_gb is '1e3', and must be a whole number.",
]


def refusal(*inventories: Path) -> str:
    """Run site.yml, which must fail without contacting a Pi, and return what it says."""
    done = run_playbook(*(word for one in inventories for word in ("-i", one)), "playbooks/site.yml")
    assert done.returncode == 1
    assert "TASK" not in done.stdout
    return done.stderr


def test_every_mistake_is_named_at_once_with_its_place(tmp_path: Path) -> None:
    inventory = tmp_path / "i.ini"
    inventory.write_text(MISTAKES, "utf-8")
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "group_vars/pis.yml").write_text(WRONG, "ascii")
    said = refusal(inventory)
    for sentence in SENTENCES:
        assert sentence in said
    assert "my_own" not in said
    (tmp_path / "group_vars/pis.yml").write_text("students: [Ada Lovelace]\n", "ascii")
    assert "group_vars/pis.yml:1: students is ['Ada Lovelace'], and must be a list of at least" in refusal(inventory)
    (tmp_path / "group_vars/pis.yml").write_text("students: [a\n", "ascii")
    assert "group_vars/pis.yml:2:1: YAML parsing failed" in refusal(inventory)


def test_an_inventory_without_pis_is_no_success(tmp_path: Path) -> None:
    assert "`make demo` starts virtual Pis" in refusal(tmp_path / "i.ini")
    (tmp_path / "i.ini").write_text("# [pis]\n", "ascii")
    assert "names no Pi: write each Pi's name on a line" in refusal(tmp_path / "i.ini")


def test_a_list_of_the_desks_that_cannot_be_read_is_not_left_out(tmp_path: Path) -> None:
    (tmp_path / "i.ini").write_text("[pis]\npi01.local\n", "ascii")
    (tmp_path / "i.desk.yml").write_text("pis:\n  hosts: [\n", "ascii")
    said = refusal(tmp_path / "i.ini", tmp_path / "i.desk.yml")
    assert "i.desk.yml:3: this is not YAML: repair it by hand." in said


@pytest.mark.slow
def test_without_pis_packages_are_fetched_and_the_scheduler_is_stopped(tmp_path: Path) -> None:
    """At home, before the first card is flashed, or after the last lesson; a file that is missing is a mistake."""
    settings = json.dumps({"apt_cache_platforms": ["pdp-11"], "cluster_folder": str(tmp_path / "cluster")})
    arguments = "-i", tmp_path / "i.ini", "-e", settings
    fetch = *arguments, "playbooks/fetch.yml", "--start-at-task=Refuse unsupported platforms"
    assert "There is no inventory" in run_playbook(*fetch).stderr
    (tmp_path / "i.ini").write_text("[pis]\n", "ascii")
    assert "apt_cache_platforms has pdp-11, which is not supported" in run_playbook(*fetch).stdout
    assert run_playbook(*arguments, "playbooks/cluster_stop.yml").returncode == 0


def test_a_teachers_own_files_are_taken_first_and_git_ignores_them(tmp_path: Path) -> None:
    for name in ("Makefile", "inventory.ini"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "build/virtual").mkdir(parents=True)
    taken = []
    for there in ("requirements.txt", "build/virtual/inventory.ini", "classroom.ini", "classroom.desk.yml"):
        (tmp_path / there).touch()
        command = ["make", "--dry-run", "--old-file=.venv/ready", "site", "desk"]
        said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
        files = re.findall(r"\S+\.(?:ini|desk\.yml)(?= -i| playbooks/site|\s*$)", said, re.M)
        taken.append((files, "cp inventory.ini" in said))
    demo, own = "build/virtual/inventory.ini", ["classroom.ini", "classroom.desk.yml"]
    assert taken[:3] == [(own[:1] * 2, True), ([demo] * 2, False), (own[:1] * 2, False)]
    assert taken[3] == ([*own, own[0]], False)
    own += [f"playbooks/group_vars/all/settings.{end}" for end in ("yml", "desk.yml", "yml.old")]
    assert subprocess.check_output(["git", "check-ignore", *own], cwd=ROOT, text=True).split() == own


def test_a_pi_that_the_inventory_does_not_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "i.ini").write_text("[pis]\npi01.local\npi02.local\n", "ascii")
    command = ["make", "--silent", "--old-file=.venv/ready", "known-pi", "PI=pi-77", f"INVENTORY={tmp_path}/i.ini"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode != 0
    assert f"{tmp_path}/i.ini names no Pi pi-77. It names:\n    pi01.local\n    pi02.local\n" in done.stderr
