"""Child process that runs a playbook with ansible-runner. It ends with the desk, even if the desk is killed.

python -m mynn_control.desk.play < RUN.json

RUN.json has the arguments of ansible_runner.run. Events are printed as JSON, one per line.
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


def kill_descendants() -> None:
    """Kill all descendants. ansible-runner kills one process group; Ansible's workers have their own and would hang."""
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
    """Run the playbook until its end, SIGTERM, or the end of the desk; return its exit code."""
    desk = int(os.environ["MYNN_DESK"])
    signals = list[int]()  # appended to: ansible-runner's own handler hangs if a second signal interrupts it
    signal.signal(signal.SIGTERM, lambda number, _frame: signals.append(number))

    def tell(event: dict[str, Any]) -> bool:
        with suppress(OSError):  # the desk has ended
            print(json.dumps(event), flush=True)
        return False  # tells ansible-runner not to save the event

    def ended() -> bool:
        if over := os.getppid() != desk or bool(signals):
            with suppress(OSError, subprocess.SubprocessError):  # ansible-runner then kills most of them itself
                kill_descendants()
        return over

    asked = json.load(sys.stdin)
    return int(ansible_runner.run(**asked, quiet=True, event_handler=tell, cancel_callback=ended).rc)


if __name__ == "__main__":
    sys.exit(main())
