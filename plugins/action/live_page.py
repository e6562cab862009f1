"""Ansible action: keep asking a Pi for what a live page shows of its students."""

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

PATIENCE = 300.0  # seconds until a Pi answers that nothing has changed; answering takes a Pi Zero 0.6 s
PAUSE = 5.0  # seconds until a Pi that did not answer is asked again


def schema(students: list[str], largest: int) -> dict[str, Any]:
    """Return the schema of what a Pi with these students shows."""
    text = {"type": "string", "maxLength": largest}
    return {"type": "object", "properties": dict.fromkeys(students, text), "additionalProperties": False}


class ActionModule(ActionBase):  # type: ignore[misc]
    """Calls the module live_page: once, or again and again until the run is ended.

    With the argument `answers`, a folder, it writes each answer into PI.json there: the Pi's `place` in the inventory,
    its `students`, what they have `shown` (by account, a text that nobody has parsed yet), and why the Pi is `lost`
    ("": it answers; null: it was not asked yet). mynn_control/live_page.py makes the page. Each Pi is asked in a
    process of its own, so one that is off or slow holds up no other. There must be as many forks as Pis.
    """

    _requires_connection = True
    _supports_check_mode = True

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        """Ask. Returns the module's answer, if it is asked once, or if sudo wants a password: the strategy has it."""
        super().run(tmp, task_vars)
        arguments = {name: value for name, value in self._task.args.items() if name != "answers"}
        if "answers" not in self._task.args:
            once: dict[str, Any] = self._execute_module("live_page", module_args=arguments, task_vars=task_vars)
            return once
        pi = task_vars["inventory_hostname"]
        path = Path(self._task.args["answers"]) / f"{pi}.json"
        students = list(arguments["students"])
        known: dict[str, Any] = {"place": task_vars["ansible_play_hosts_all"].index(pi), "students": students}
        known |= {"shown": {}, "lost": None}
        playbook = os.getppid()
        while os.getppid() == playbook:
            with replacing(path) as file:
                file.write(json.dumps(known).encode())
            sums = {name: sha256(text.encode()).hexdigest() for name, text in known["shown"].items()}
            patience = PATIENCE if known["lost"] == "" else 0.0  # a Pi that was not there answers at once
            answer = self._ask(arguments | {"known": sums, "patience": patience}, task_vars)
            lost = "" if "shown" in answer else str(answer.get("msg") or "no answer").strip()
            if "sudo" in lost and "password" in lost:
                return answer
            if not lost and (wrong := misfit(answer["shown"], schema(students, int(arguments["largest"])))):
                lost = f"its answer is invalid ({wrong}): flash its card again"
            known["lost"] = printable(lost.rpartition("\n")[2])
            if lost:
                self._connection.close()
                time.sleep(PAUSE)
            else:
                known["shown"] = answer["shown"]
        return {"changed": False}

    def _ask(self, arguments: dict[str, Any], task_vars: Any) -> dict[str, Any]:
        """Return the module's answer, which comes once something else is shown, or why there is none."""
        try:
            answer: dict[str, Any] = self._execute_module("live_page", module_args=arguments, task_vars=task_vars)
        except AnsibleError as error:
            return {"failed": True, "msg": str(error)}
        return answer
