"""Ansible action: gather a Pi's facts and validate them on the control node before anything relies on them."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

from ansible_collections.mynn.pi.plugins.module_utils.schema import misfit
from ansible_collections.mynn.pi.plugins.module_utils.text import printable

DOCUMENTATION = r"""
name: pi_facts
author: The mynn-pi authors
short_description: The facts about a Pi that the roles need
description:
  - Runs the module of the same name, which documents the options and return values, and checks each value.
  - Register the result. It is not among C(ansible_facts), which any module's answer can change.
options:
  platforms:
    description: The supported platforms; on any other, C(platform) is empty.
    required: true
    type: list
    elements: str
"""

WORD = {"type": "string", "pattern": r"^[A-Za-z0-9._~+-]{0,64}\Z"}  # no slash, so it is not a path
NAME = {"type": "string", "pattern": r"^[A-Za-z0-9 ()./_+~!'-]{0,100}\Z"}  # without , and : it cannot imitate messages
TEXT = {"type": "string", "maxLength": 600}
YES_OR_NO = {"type": "boolean"}
UNITS = {"type": "array", "items": {"type": "string", "pattern": r"^[a-z0-9@._-]{1,99}\Z"}}
SECONDS = {"type": "number", "minimum": 0, "maximum": 1 << 37}
HOST_NAME = {"type": "string", "pattern": r"^(?:[A-Za-z0-9][A-Za-z0-9.-]{0,63})?\Z"}
FILE = {"type": "string", "pattern": r"^(?:[0-7]{4} (?:[0-9a-f]{40}|folder)|link|broken|other)\Z"}
FACTS: dict[str, Any] = {
    "os": WORD,
    "name": NAME,
    "version": WORD,
    "release": {"type": "string", "pattern": r"^[A-Za-z0-9._~+/-]{0,64}\Z"},  # such as 13.8 or forky/sid
    "suite": WORD,
    "architecture": WORD,
    "platform": {"type": "string", "pattern": r"^[A-Za-z0-9._~+-]{0,200}\Z"},
    "python": {"type": "string", "pattern": r"^3\.[0-9]{1,2}\Z"},
    "epoch": SECONDS,
    "clock_set": YES_OR_NO,
    "booted": YES_OR_NO,
    "lists_time": SECONDS,
    "free_mb": {"type": "integer", "minimum": 0, "maximum": 1 << 30},
    "installed": {"type": "array", "items": {"type": "string", "pattern": r"^[a-z0-9][a-z0-9+.-]{0,99}\Z"}},
    "package_count": {"type": "integer", "minimum": 0, "maximum": 1 << 20},
    "cloud_init": YES_OR_NO,
    "dpkg_faults": {"type": "array", "items": TEXT, "maxItems": 10},
    "reboot_required": YES_OR_NO,
    "account": {"type": "string", "pattern": r"^[A-Za-z_][A-Za-z0-9_.-]{0,63}\Z"},
    "key_login": YES_OR_NO,
    "host_names": {"type": "array", "items": HOST_NAME, "maxItems": 10},
    "files": {"type": "object", "propertyNames": {"pattern": r"^/[ -~]{1,255}\Z"}, "additionalProperties": FILE},
    "running": UNITS,
    "enabled": UNITS,
    "masked": UNITS,
    "stale": UNITS,
    "apt_proxy": {"type": "string", "pattern": r"^(?:http://127\.0\.0\.1:[0-9]{1,5})?\Z"},
    "nft": YES_OR_NO,
    "apt_direct": {"type": "string", "pattern": r"^[!-~]{0,4000}\Z"},
}
SCHEMA = {"type": "object", "properties": FACTS, "required": list(FACTS)}


def checked(answer: object, platforms: list[str]) -> tuple[dict[str, Any], str]:
    """Return a Pi's facts, or no facts and the fault in its answer. The platform is empty if it is not supported."""
    wrong = misfit(answer, SCHEMA)
    if wrong or not isinstance(answer, dict):
        return {}, wrong
    facts = {key: answer[key] for key in FACTS}
    facts["dpkg_faults"] = [printable(fault) for fault in facts["dpkg_faults"]]
    if facts["platform"] not in platforms:
        facts["platform"] = ""
    return facts, ""


class ActionModule(ActionBase):  # type: ignore[misc]
    """Ansible's entry point."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the facts, or a failure with a message."""
        super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        platforms = arguments.pop("platforms")
        answer = self._execute_module("pi_facts", module_args=arguments, task_vars=task_vars)
        pi = (task_vars or {})["inventory_hostname"]
        if answer.get("failed"):
            return {"failed": True, "msg": f"{pi} says: {answer.get('msg')}", "exception": answer.get("exception")}
        facts, wrong = checked(answer.get("pi"), platforms)
        if wrong:
            return {
                "failed": True,
                "msg": f"{pi} reported invalid facts ({wrong}), and nothing was changed on it: flash its card"
                " again, since somebody with root access may have changed it.",
                "answer": printable(answer.get("pi"), 5000),
            }
        return {"changed": False, **facts}
