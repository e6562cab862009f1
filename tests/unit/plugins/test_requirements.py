"""The control node installs exactly the files that `make lock` recorded."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from tests.support.programs import ROOT


def test_every_requirement_is_pinned_with_its_hashes() -> None:
    text = (ROOT / "requirements.txt").read_text(encoding="utf-8").replace("\\\n", " ")
    entries = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert len(entries) > 100
    unpinned = [
        entry
        for entry in entries
        if not re.match(r"[a-z0-9-]+==\S+( ; [^;]*?)?( +--hash=sha256:[0-9a-f]{64})+$", entry)
    ]
    assert unpinned == []


@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
def test_pip_requires_the_hashes() -> None:
    command = ["make", "--dry-run", "--what-if=requirements.txt", ".venv/ready"]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    [install] = [line for line in shown.splitlines() if "pip install" in line]
    assert "--require-hashes" in install
