"""An interrupted `make verify` leaves no file with the passwords."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.playbook_run import PlaybookRun

PROJECT = Path(__file__).resolve().parents[3]
PASSWORD = "nobody-may-read-this-8d1f"


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short name: SSH makes a socket in it."""
    with tempfile.TemporaryDirectory(prefix="mynn-") as name:
        yield Path(name)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["classroom", "linear"])
def test_an_interrupted_verification_leaves_no_password(folder: Path, strategy: str) -> None:
    """It is interrupted when the tests, which know the password by then, wait for a Pi that does not answer."""
    changed = {"verify_results": f"{folder}/work", "report_folder": f"{folder}/report", "jupyter_password": PASSWORD}
    environment = {**os.environ, "HOME": str(folder), "TMPDIR": str(folder), "ANSIBLE_STRATEGY": strategy}
    environment |= {"ANSIBLE_REMOTE_TEMP": f"{folder}/there", "ANSIBLE_LOCAL_TEMP": f"{folder}/here"}
    environment["ANSIBLE_DISPLAY_SKIPPED_HOSTS"] = "true"  # a task's name is printed when it begins
    with socket.create_server(("127.0.0.1", 0)) as silent:
        inventory = folder / "inventory.ini"
        inventory.write_text(f"[pis]\npi-01 ansible_host=127.0.0.1 ansible_port={silent.getsockname()[1]}\n", "ascii")
        command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", str(inventory), "-c", "local"]
        run = PlaybookRun(
            [*command, "-e", json.dumps(changed), str(PROJECT / "playbooks/verify.yml")], PROJECT, environment
        )
        silent.settimeout(60)
        try:
            silent.accept()[0].close()
        finally:
            run.kill()
    assert run.output.splitlines()[-1].startswith("TASK [verify : Test each Pi"), run.output
    search = ["grep", "--recursive", "--files-with-matches", PASSWORD, str(folder)]
    assert subprocess.run(search, capture_output=True, text=True, check=False).stdout == ""
    assert list(folder.rglob("AnsiballZ*")) == []  # packed, and so not found by its words
