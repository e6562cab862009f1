"""Ansible stdout callback of the desk's runs: as `progress`, and each event as a line of JSON to a file descriptor."""

from __future__ import annotations

import json
import os
import select
import signal
import threading
from typing import Any

from ansible_collections.mynn.pi.plugins.callback.progress import CallbackModule as Progress

DOCUMENTATION = r"""
name: desk_events
type: stdout
short_description: the events of a run, for the desk that started it
description:
  - Prints what C(progress) prints. The environment variable C(MYNN_EVENTS) is the number of the file descriptor for the
    events (mynn_control/desk/runs.py).
extends_documentation_fragment:
  - default_callback
  - result_format_callback
author: The mynn-pi authors
"""


class CallbackModule(Progress):  # type: ignore[misc]
    """Writes the events."""

    CALLBACK_NAME = "desk_events"

    def __init__(self) -> None:
        super().__init__()
        self.events = os.fdopen(int(os.environ["MYNN_EVENTS"]), "w", encoding="ascii")
        threading.Thread(target=self._await_desks_end, daemon=True).start()

    def _await_desks_end(self) -> None:
        """End the run when its events have no reader any more: the desk has ended, even if it was killed."""
        readers = select.poll()
        readers.register(self.events, 0)
        readers.poll()
        os.killpg(0, signal.SIGTERM)

    def _write(self, event: str, task: Any, **more: Any) -> None:
        known: dict[str, Any] = {"event": event, "task": task.name or task.action}
        known["step"] = (self.step + 1, len(self.steps)) if self.step >= 0 else ()
        print(json.dumps(known | more, default=str), file=self.events, flush=True)

    def _task_start(self, task: Any, prefix: str | None = None) -> None:
        super()._task_start(task, prefix)
        self._write("task", task)

    def v2_runner_on_start(self, host: Any, task: Any) -> None:
        """Write that a Pi starts a task."""
        super().v2_runner_on_start(host, task)
        self._write("start", task, pi=host.name)

    def _ended(self, result: Any, how: str) -> None:
        super()._ended(result, how)
        told = {name: result.result.get(name) for name in ("msg", "diff")}
        self._write(how, result.task, pi=result.host.name, action=result.task.action, **told)
