"""What a run sent to the Pis, counted from Ansible's own JSON."""

from __future__ import annotations

from typing import Any

# What runs on the control node only, whatever host it is for.
LOCAL_ACTIONS = ("assert", "debug", "fail", "include_tasks", "set_fact", "validate_argument_spec")


def sent_tasks(plays: list[dict[str, Any]], host: str) -> list[str]:
    """Return the tasks of a run's JSON that something was sent to that Pi for."""
    results = [(task["task"]["name"], task["hosts"].get(host)) for play in plays for task in play["tasks"]]
    return [
        name
        for name, result in results
        if result
        and not result.get("skipped")
        and result["action"].removeprefix("ansible.builtin.") not in LOCAL_ACTIONS
        and "_ansible_delegated_vars" not in result
    ]
