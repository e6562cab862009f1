"""The strategy `classroom`."""

import subprocess
import sys
from pathlib import Path

from tests.support.programs import ROOT


def test_what_a_run_starts_here_may_use_every_processor() -> None:
    """Builds and compression take as many as there are; mitogen would leave them one of two."""
    ansible = [str(Path(sys.executable).with_name("ansible")), "localhost", "-m", "command", "-a", "nproc"]
    done = subprocess.run(ansible, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split()[-1] == subprocess.check_output("nproc", text=True).strip()
