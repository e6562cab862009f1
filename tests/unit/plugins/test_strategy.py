"""The strategy `classroom`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.programs import ROOT

PROCESSORS = os.cpu_count() or 1


@pytest.mark.skipif(PROCESSORS < 2, reason="with one processor, there is no other that mitogen could leave out")
def test_what_a_run_starts_here_may_use_every_processor() -> None:
    """Builds and compression take as many as there are; mitogen would leave them one of two."""
    every = ["taskset", "--cpu-list", f"0-{PROCESSORS - 1}"]  # even if this test may use one only
    ansible = [str(Path(sys.executable).with_name("ansible")), "localhost", "-m", "command", "-a", "nproc"]
    done = subprocess.run([*every, *ansible], cwd=ROOT, capture_output=True, text=True, timeout=600, check=True)
    assert done.stdout.split()[-1] == subprocess.check_output([*every, "nproc"], text=True).strip()
