"""What `make verify` says of a Pi that it cannot reach."""

import json
import os
import subprocess
import sys
from pathlib import Path

from mynn_control.results import load
from tests.support.ports import free_port
from tests.support.programs import ROOT

SETTINGS = dict.fromkeys(
    ("address", "user", "ssh", "hostname", "venv", "mnist", "pristine", "lessons", "authority"), "pi"
)


def test_a_key_in_a_folder_with_an_umlaut_is_as_good_as_any(tmp_path: Path) -> None:
    """SSH's own reason is given, which shows that SSH was called."""
    inventory = tmp_path / "My Pis ü.ini"
    key = f"ansible_ssh_private_key_file={tmp_path}/jürgen/key"
    inventory.write_text(f"[pis]\npi ansible_host=127.0.0.1 ansible_port={free_port()} {key}\n", "utf-8")
    settings: dict[str, object] = {**SETTINGS, "mnist_files": {}, "students": {}, "passwords": {}}
    (tmp_path / "settings.json").write_text(json.dumps({"pi": settings}), "ascii")
    options = [f"--settings={tmp_path}/settings.json", f"--results={tmp_path}"]
    command = [sys.executable, "-m", "pytest", "tests/provisioned", "-p", "no:cacheprovider", *options]
    environment = os.environ | {"ANSIBLE_INVENTORY": str(inventory)}
    subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=False, timeout=600)
    assert "Connection refused" in load("pi", tmp_path).lost
