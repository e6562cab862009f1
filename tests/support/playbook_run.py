"""Run a playbook and watch its output, to inject faults at a chosen moment; find what it sent to the Pis."""

import contextlib
import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

# Actions that run on the control node only.
LOCAL_ACTIONS = ("assert", "debug", "fail", "include_tasks", "set_fact", "validate_argument_spec")


def descendants(process: int) -> list[int]:
    """Return a process and its descendants, in any process group (mitogen's ssh is in its own)."""
    return [process, *(child.pid for child in psutil.Process(process).children(recursive=True))]


class PlaybookRun:
    """A command in its own process group, and its output."""

    def __init__(self, command: Sequence[str], cwd: Path, env: Mapping[str, str] | None = None) -> None:
        self._folder = tempfile.TemporaryDirectory()  # removed with this object
        self._log = Path(self._folder.name, "log")
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                cwd=cwd,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def output(self) -> str:
        """The output so far."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def when(self, pattern: str, patience: float = 600) -> None:
        """Wait for a line that matches a pattern.

        Raises TimeoutError if there is none, or if the run ends without one.
        """
        deadline = time.monotonic() + patience
        ended = False
        while not re.search(pattern, self.output, re.M):
            if ended or time.monotonic() > deadline:
                raise TimeoutError(f"no line matched {pattern!r} within {patience:.0f} s:\n{self.output}")
            time.sleep(0.1)
            ended = self._process.poll() is not None

    def wait(self, patience: float = 600) -> int:
        """Wait for the end, and return the exit code. On a timeout, kill it and raise subprocess.TimeoutExpired."""
        try:
            code = self._process.wait(patience)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
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
