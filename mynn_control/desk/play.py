"""Run a playbook for as long as the desk lives, in a process of its own: a desk that was killed leaves nothing behind.

python -m mynn_control.desk.play < RUN.json

RUN.json has the arguments of ansible_runner.run. Its events are printed as JSON, one a line.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from typing import Any

import ansible_runner
from ansible_runner.utils import signal_handler


def kill_descendants() -> None:
    """Kill all that was started. ansible-runner kills a group; but each worker has its own, and waits for ever."""
    said = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=False, timeout=30
    ).stdout
    parents = [tuple(map(int, line.split())) for line in said.splitlines()]
    family = {os.getpid()}
    while more := {process for process, parent in parents if parent in family} - family:
        family |= more
    for process in family - {os.getpid()}:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def main() -> int:
    """Run it, until its end, SIGTERM, or the desk's end; return its exit code."""
    desk, terminated = int(os.environ["MYNN_DESK"]), signal_handler()

    def tell(event: dict[str, Any]) -> bool:
        with suppress(OSError):  # of a desk that has gone
            print(json.dumps(event), flush=True)
        return False  # keeps no file of it

    def ended() -> bool:
        if over := os.getppid() != desk or bool(terminated and terminated()):
            with suppress(OSError, subprocess.SubprocessError):  # ansible-runner kills the most of it all the same
                kill_descendants()
        return over

    asked = json.load(sys.stdin)
    return int(ansible_runner.run(**asked, quiet=True, event_handler=tell, cancel_callback=ended).rc)


if __name__ == "__main__":
    sys.exit(main())
