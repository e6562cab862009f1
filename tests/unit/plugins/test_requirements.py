"""The control node installs exactly the files that `make lock` recorded."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from tests.support.programs import ROOT


@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
def test_pip_requires_the_hashes() -> None:
    """It then refuses a requirement without one."""
    command = ["make", "--dry-run", "--what-if=requirements.txt", ".venv/ready"]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    [install] = [line for line in shown.splitlines() if "pip install" in line]
    assert "--require-hashes" in install
