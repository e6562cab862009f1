"""Every role's settings are documented and specified."""

import json
import subprocess
from collections import Counter
from pathlib import Path

import pytest
import yaml

from mynn import mnist_folder
from mynn.files import networks_folder
from tests.support.programs import ANSIBLE_PLAYBOOK, ROOT

ROLES = sorted(path.name for path in (ROOT / "roles").iterdir() if (path / "meta").is_dir())
SHARED: dict[str, object] = yaml.safe_load((ROOT / "playbooks/group_vars/all/defaults.yml").read_text(encoding="utf-8"))


def specified(role: str) -> dict[str, dict[str, str]]:
    """Return a role's argument specification."""
    text = (ROOT / f"roles/{role}/meta/argument_specs.yml").read_text(encoding="utf-8")
    options: dict[str, dict[str, str]] = yaml.safe_load(text)["argument_specs"]["main"]["options"]
    return options


@pytest.mark.parametrize("role", ROLES)
def test_every_setting_has_a_default_a_reason_and_a_specification(role: str) -> None:
    path = ROOT / f"roles/{role}/defaults/main.yml"
    text = path.read_text(encoding="utf-8") if path.exists() else "# It has only shared settings."
    assert text.startswith("#")
    defaults = set(yaml.safe_load(text) or ())
    assert all(name.startswith(f"{role}_") for name in defaults)
    options = specified(role)
    assert defaults <= set(options) <= defaults | set(SHARED)
    assert all(spec["type"] and spec["description"] for spec in options.values())


def test_a_pi_has_what_is_no_setting_where_mynn_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MNIST_DIR", "NETWORKS_DIR"):
        monkeypatch.delenv(name, raising=False)
    folders = yaml.safe_load((ROOT / "playbooks/group_vars/all/folders.yml").read_text(encoding="utf-8"))
    looked = {"__mnist_folder": str(mnist_folder()), "__networks_folder": str(networks_folder())}
    assert folders.items() >= looked.items() and not folders.keys() & SHARED.keys()


def test_what_several_roles_need_is_specified_once() -> None:
    counted = Counter(name for role in ROLES for name in specified(role) if name in SHARED)
    assert counted == dict.fromkeys(SHARED, 1)


def test_the_inventory_wins_over_the_usual_settings(tmp_path: Path) -> None:
    (tmp_path / "host_vars").mkdir()
    (tmp_path / "inventory.ini").write_text("[pis]\npi-01\n[pis:vars]\njupyter_port=9999\n")
    (tmp_path / "host_vars/pi-01.yml").write_text("students: [ada]\n")
    program = Path(ANSIBLE_PLAYBOOK).with_name("ansible-inventory")
    command = [str(program), "--playbook-dir=playbooks", f"-i{tmp_path}/inventory.ini", "--host=pi-01"]
    settings = json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)
    assert (settings["students"], settings["jupyter_port"]) == (["ada"], 9999)
    assert settings["lessons_source"] == SHARED["lessons_source"]
