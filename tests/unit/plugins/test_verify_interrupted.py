"""An interrupted `make verify` leaves no file with a password."""

import json
import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.support.playbook_run import PlaybookRun
from tests.support.programs import ANSIBLE_PLAYBOOK, ROOT

PASSWORD = "nobody-may-read-this-8d1f"


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
