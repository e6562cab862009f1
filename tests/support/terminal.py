"""Run the command `mynn` as at a terminal."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys


def restore_ctrl_c() -> None:
    """Undo what a shell does for its background jobs, such as a test run: they and their children ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def stderr_on_a_terminal(*arguments: str) -> str:
    """Run `mynn` with these arguments, and return what it writes to stderr when that is a terminal."""
    primary, secondary = pty.openpty()
    command = [sys.executable, "-m", "mynn", *arguments]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=secondary)
    os.close(secondary)
    output = os.read(primary, 10_000).decode()
    os.close(primary)
    return output
