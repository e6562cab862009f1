"""Ansible action: return the password for sudo on a Pi to the tests, which use an SSH connection of their own."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):  # type: ignore[misc]
    """Become root once to check the password, and return it; empty if sudo needs none."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return `password`, whether it came from a variable, `--ask-become-pass` or the terminal."""
        super().run(tmp, task_vars)
        answer: dict[str, Any] = self._execute_module("ansible.builtin.ping", task_vars=task_vars)
        if answer.get("failed"):
            return answer
        return {"password": self._play_context.become_pass or "", "_ansible_no_log": True}
