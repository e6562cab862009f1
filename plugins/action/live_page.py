"""Ansible action: keep asking a Pi for what the desk's live pages show of its students."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase

from ansible_collections.mynn.pi.plugins.module_utils.files import write_text
from ansible_collections.mynn.pi.plugins.module_utils.schema import misfit
from ansible_collections.mynn.pi.plugins.module_utils.text import printable

PATIENCE = 300.0  # seconds until a Pi answers that nothing has changed; answering takes a Pi Zero 0.6 s
PAUSE = 5.0  # seconds until a Pi that did not answer is asked again
AGAIN = 1.0  # seconds until a Pi that answered is: one that does so without end costs no more than that


def schema(pages: Iterable[str], students: Iterable[str], largest: int) -> dict[str, Any]:
    """Return the schema of what a Pi with these students shows."""
    version = {"type": "string", "maxLength": 100}
    text = {"type": ["string", "null"], "maxLength": largest, "pattern": r"^[^\ud800-\udfff]*\Z"}  # whole characters
    pair = {"type": "array", "prefixItems": [version, text], "items": False, "minItems": 2}
    return closed(pages, closed(students, pair))


def closed(names: Iterable[str], values: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of an object that has no other names than these."""
    return {"type": "object", "properties": dict.fromkeys(names, values), "additionalProperties": False}


class ActionModule(ActionBase):  # type: ignore[misc]
    """Calls the module live_page: once, or again and again until the run is ended.

    With the argument `answers`, a folder, it writes each answer into PI.json there: the Pi's `place` in the inventory,
    its `students` with their addresses, what they have `shown` (by page and account, a text that nobody has parsed
    yet), and why the Pi is `lost` ("": it answers; null: it was not asked yet). mynn_control/desk makes the pages. Each
    Pi is asked in a process of its own, so one that is off or slow holds up no other. There must be as many forks as
    Pis.
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
        students = {name: student["url"] for name, student in arguments["students"].items()}
        pages = list(arguments["pages"])
        known: dict[str, Any] = {"place": task_vars["ansible_play_hosts_all"].index(pi), "students": students}
        known |= {"shown": {page: {} for page in pages}, "lost": None}
        versions: dict[str, dict[str, str]] = {page: {} for page in pages}
        looked: dict[str, float] = {}  # by page, when
        playbook = os.getppid()
        while os.getppid() == playbook:
            write_text(path, json.dumps(known))
            since = {page: time.monotonic() - then for page, then in looked.items()}
            patience = PATIENCE if known["lost"] == "" else 0.0  # a Pi that was not there answers at once
            asked = {"known": versions, "since": since, "patience": patience}
            answer = self._ask(arguments | asked, task_vars)
            lost = "" if "shown" in answer else str(answer.get("msg") or "no answer").strip()
            if "sudo" in lost and "password" in lost:
                return answer
            if not lost and (wrong := misfit(answer["shown"], schema(pages, students, int(arguments["largest"])))):
                lost = f"its answer is invalid ({wrong}): flash its card again"
            known["lost"] = printable(lost.rpartition("\n")[2])
            if lost:
                self._connection.close()
                looked = {}
                time.sleep(PAUSE)
                continue
            looked |= dict.fromkeys(answer["shown"], time.monotonic())
            time.sleep(AGAIN)
            for page, news in answer["shown"].items():
                versions[page] |= {student: version for student, (version, _) in news.items()}
                texts = known["shown"][page] | {student: text for student, (_, text) in news.items()}
                known["shown"][page] = {student: text for student, text in texts.items() if text is not None}
        return {"changed": False}

    def _ask(self, arguments: dict[str, Any], task_vars: Any) -> dict[str, Any]:
        """Return the module's answer, which comes once something else is shown, or why there is none."""
        try:
            answer: dict[str, Any] = self._execute_module("live_page", module_args=arguments, task_vars=task_vars)
        except AnsibleError as error:
            return {"failed": True, "msg": str(error)}
        except Exception as error:  # mitogen's own, if a Pi went while it was being connected
            return {"failed": True, "msg": str(error).partition("\n")[0]}
        return answer
