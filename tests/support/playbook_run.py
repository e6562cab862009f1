"""Run a playbook and watch its output, to inject faults at a chosen moment; find what it sent to the Pis."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

# Actions that run on the control node only.
LOCAL_ACTIONS = ("assert", "debug", "fail", "include_tasks", "set_fact", "validate_argument_spec")


def descendants(process: int) -> list[int]:
    """Return a process and its descendants, in any process group (mitogen's ssh is in its own)."""
    found = [process]
    for parent in found:  # grows during the loop
        for thread in Path(f"/proc/{parent}/task").glob("*/children"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                found += map(int, thread.read_text(encoding="ascii").split())
    return found


class PlaybookRun:
    """A command in its own process group, whose output lines are recorded with their times."""

    def __init__(self, command: Sequence[str], cwd: Path, env: Mapping[str, str] | None = None) -> None:
        self.began = time.monotonic()
        self.lines: list[tuple[float, str]] = []
        self._new = threading.Condition()
        self._ended = False
        self._process = subprocess.Popen(
            command,
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            with self._new:
                self.lines.append((time.monotonic(), line.rstrip("\n")))
                self._new.notify_all()
        with self._new:
            self._ended = True
            self._new.notify_all()

    @property
    def output(self) -> str:
        """All lines so far."""
        return "\n".join(line for _, line in self.lines)

    @property
    def tasks(self) -> list[tuple[float, str]]:
        """The tasks so far, each with the seconds after which it was printed.

        With ANSIBLE_DISPLAY_SKIPPED_HOSTS=true, Ansible prints a task as it begins.
        """
        found = ((moment, re.match(r"(?:TASK|RUNNING HANDLER) \[(.*)\]", line)) for moment, line in self.lines)
        return [(moment - self.began, task[1]) for moment, task in found if task]

    def when(self, pattern: str, patience: float = 120) -> float:
        """Wait for a line that matches a pattern, and return its time (time.monotonic).

        Raises TimeoutError if there is none, or if the run ends without one.
        """
        deadline = time.monotonic() + patience
        with self._new:
            while True:
                for moment, line in self.lines:
                    if re.search(pattern, line):
                        return moment
                if self._ended or not self._new.wait(deadline - time.monotonic()):
                    raise TimeoutError(f"no line matched {pattern!r} within {patience:.0f} s:\n{self.output}")

    def wait(self, patience: float = 600) -> int:
        """Wait for the end, and return the exit code. On a timeout, kill it and raise subprocess.TimeoutExpired."""
        try:
            code = self._process.wait(patience)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        self._reader.join(10)
        print(self.output[-20000:])  # pytest shows it if the test fails
        return code

    def kill(self) -> None:
        """Kill it and its descendants, as a crash of the control node would."""
        for process in descendants(self._process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        self._process.wait()


def sent_tasks(plays: list[dict[str, Any]], host: str) -> list[str]:
    """Return the tasks in a run's JSON output that sent something to a Pi."""
    results = [(task["task"]["name"], task["hosts"].get(host)) for play in plays for task in play["tasks"]]
    return [
        name
        for name, result in results
        if result
        and not result.get("skipped")
        and result["action"].removeprefix("ansible.builtin.") not in LOCAL_ACTIONS
        and "_ansible_delegated_vars" not in result
        and not all(item.get("known") for item in result.get("results") or [result])  # see the action pi_copy
    ]
