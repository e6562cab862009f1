"""Ansible action: ask a Pi again and again for what a live page shows of its students, until the run is ended."""

from __future__ import annotations

import json
import os
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase

from ansible_collections.mynn.pi.plugins.module_utils.files import replacing
from ansible_collections.mynn.pi.plugins.module_utils.schema import misfit
from ansible_collections.mynn.pi.plugins.module_utils.text import printable

DOCUMENTATION = r"""
name: poll_students
author: The mynn-pi authors
short_description: Ask a Pi again and again for what a live page shows of its students
description:
  - Writes each of the Pi's answers into a file, PI.json, as C(shown) (by account, a text that nobody has parsed yet)
    and C(lost) (why the Pi did not answer, if so), from which a live page is made. Ends only with the run.
  - Each Pi is asked in a process of its own, so one that is off or slow holds up no other. There must be as many forks
    as Pis.
options:
  module:
    description:
      - The module to call, C(wall) or C(watch). It is given C(students), C(known) (by account, the SHA256 sum of its
        last text), C(patience) and C(interval), and answers with C(shown) once that has changed, or when patience ends.
    required: true
  students:
    description: For each account, what belongs to it (module_utils/students.py).
    required: true
  answers:
    description: The folder of the answers, on the control node.
    required: true
  interval:
    description: How often the module looks for a change, in seconds.
    required: true
"""

PATIENCE = 300.0  # seconds until a Pi answers that nothing has changed; answering takes a Pi Zero 0.6 s
PAUSE = 5.0  # seconds until a Pi that did not answer is asked again
LARGEST = 32 * 1024  # bytes that one student's text may have, as in mynn/wall.py


class ActionModule(ActionBase):  # type: ignore[misc]
    """What Ansible calls."""

    _requires_connection = True
    _supports_check_mode = True

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        """Ask until the run is ended. Returns only if sudo wants a password; then the strategy asks for it."""
        super().run(tmp, task_vars)
        path = Path(self._task.args["answers"]) / f"{task_vars['inventory_hostname']}.json"
        text = {"type": "string", "maxLength": LARGEST}
        schema = {
            "type": "object",
            "properties": dict.fromkeys(self._task.args["students"], text),
            "additionalProperties": False,
        }
        run = os.getppid()
        shown: dict[str, str] = {}
        lost = "not asked yet"
        while os.getppid() == run:
            answer = self._ask(shown, 0.0 if lost else PATIENCE, task_vars)  # at first at once: the Pi answers
            lost = str(answer.get("msg") or "no answer") if "shown" not in answer else ""
            if "sudo" in lost and "password" in lost:
                return answer
            if not lost and (wrong := misfit(answer["shown"], schema)):
                lost = f"its answer is invalid ({wrong}): flash its card again"
            shown = shown if lost else answer["shown"]
            with replacing(path) as file:
                last_line = printable(lost.strip().rpartition("\n")[2])
                file.write(json.dumps({"shown": shown, "lost": last_line}).encode())
            if lost:
                self._connection.close()
                time.sleep(PAUSE)
        return {"changed": False}

    def _ask(self, shown: dict[str, str], patience: float, task_vars: Any) -> dict[str, Any]:
        """Return the module's answer, which comes once something has changed, or why there is none."""
        known = {name: sha256(text.encode()).hexdigest() for name, text in shown.items()}
        arguments = {name: self._task.args[name] for name in ("students", "interval")}
        arguments |= {"known": known, "patience": patience}
        try:
            module = self._task.args["module"]
            answer: dict[str, Any] = self._execute_module(module, module_args=arguments, task_vars=task_vars)
        except AnsibleError as error:
            return {"failed": True, "msg": str(error)}
        return answer
