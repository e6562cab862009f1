"""What `make verify` says of a Pi that it cannot reach, and leaves behind when it is interrupted."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from mynn_control.results import load
from tests.support.playbook_run import PlaybookRun
from tests.support.ports import free_port
from tests.support.programs import ANSIBLE_PLAYBOOK, ROOT

PASSWORD = "nobody-may-read-this-8d1f"
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


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["classroom", "linear"])
def test_an_interrupted_verification_leaves_no_password(strategy: str) -> None:
    """It is interrupted while the tests, which have the password by then, wait for a Pi that does not answer."""
    folder = Path(tempfile.mkdtemp(prefix="mynn-"))  # a short path, as SSH makes a socket in it
    settings = {"verify_results": f"{folder}/work", "desk_folder": f"{folder}/desk", "jupyter_password": PASSWORD}
    environment = {**os.environ, "HOME": str(folder), "TMPDIR": str(folder), "ANSIBLE_STRATEGY": strategy}
    environment |= {"ANSIBLE_REMOTE_TEMP": f"{folder}/remote", "ANSIBLE_LOCAL_TEMP": f"{folder}/local"}
    environment["ANSIBLE_DISPLAY_SKIPPED_HOSTS"] = "true"  # prints a task's name when it begins
    with socket.create_server(("127.0.0.1", 0)) as silent:
        inventory = folder / "inventory.ini"
        inventory.write_text(f"[pis]\npi-01 ansible_host=127.0.0.1 ansible_port={silent.getsockname()[1]}\n", "ascii")
        command = [ANSIBLE_PLAYBOOK, "-i", str(inventory), "-c", "local"]
        run = PlaybookRun([*command, "-e", json.dumps(settings), str(ROOT / "playbooks/verify.yml")], ROOT, environment)
        silent.settimeout(600)
        try:
            silent.accept()[0].close()
        finally:
            run.kill()
    assert run.output.splitlines()[-1].startswith("TASK [verify : Test each Pi"), run.output
    search = ["grep", "--recursive", "--files-with-matches", PASSWORD, str(folder)]
    assert subprocess.run(search, capture_output=True, text=True, check=False).stdout == ""
    assert list(folder.rglob("AnsiballZ*")) == []  # these are packed, so grep does not find the password in them
    shutil.rmtree(folder)
