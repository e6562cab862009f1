"""Ansible action: copy files to a Pi, unless its facts say that they are there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase

from ansible_collections.mynn.pi.plugins.module_utils.file_state import state_with

DOCUMENTATION = r"""
name: pi_copy
author: The mynn-pi authors
short_description: Copy files to a Pi, unless its facts say that they are there
description:
  - Does the same as M(ansible.builtin.copy), with its options, but sends nothing if the facts (C(__system_pi.files),
    see the module C(pi_facts)) tell that each file has this content and mode. C(copy) starts two modules on the Pi to
    learn that, which takes a Pi Zero seconds.
  - A file that the facts do not mention is copied as usual.
  - The facts must be newer than any change of the file that this task does not make itself.
options:
  mode:
    description: The mode of the files, in octal.
    required: true
    type: str
"""


class ActionModule(ActionBase):  # type: ignore[misc]
    """Ansible's entry point."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Copy the files, or return `known` if nothing had to be sent."""
        super().run(tmp, task_vars)
        there = (task_vars or {}).get("__system_pi", {}).get("files", {})
        states = {path: state_with(content, self._task.args["mode"]) for path, content in self._wanted().items()}
        if states and states.items() <= there.items():
            return {"changed": False, "known": True, "dest": self._task.args["dest"]}
        copy = self._shared_loader_obj.action_loader.get(
            "ansible.legacy.copy",
            task=self._task.copy(),
            connection=self._connection,
            play_context=self._play_context,
            loader=self._loader,
            templar=self._templar,
            shared_loader_obj=self._shared_loader_obj,
        )
        result: dict[str, Any] = copy.run(task_vars=task_vars)
        return result

    def _wanted(self) -> dict[str, bytes]:
        """Return the task's files by their paths on the Pi, as `copy` puts them under its destination."""
        task, place = self._task.args, self._task.args["dest"]
        if "content" in task:
            return {place: task["content"].encode()}
        source = Path(self._find_needle("files", task["src"]))
        if source.is_dir():
            paths = [path for path in source.rglob("*") if not path.is_dir()]
            return {place + str(path.relative_to(source)): path.read_bytes() for path in paths}
        return {place + (source.name if place.endswith("/") else ""): source.read_bytes()}
