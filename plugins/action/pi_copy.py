"""Ansible action: copy files to a Pi, unless its facts say that they are there."""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase

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


def contents(source: Path, into: bool) -> dict[str, bytes]:
    """Return the contents of a file, or by path of those in a folder, as `copy` puts them under its destination.

    into: the destination is a folder, so that a file keeps its name.
    """
    if source.is_dir():
        return {str(path.relative_to(source)): path.read_bytes() for path in source.rglob("*") if not path.is_dir()}
    return {source.name if into else "": source.read_bytes()}


def state(content: bytes, mode: str) -> str:
    """Return a file's state as the module pi_facts tells it."""
    return f"{stat.S_IMODE(int(mode, 8)):04o} {hashlib.sha1(content, usedforsecurity=False).hexdigest()}"


class ActionModule(ActionBase):  # type: ignore[misc]
    """What Ansible calls."""

    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Copy the files, or say that nothing was sent (`known`)."""
        super().run(tmp, task_vars)
        if self._is_known((task_vars or {}).get("__system_pi", {}).get("files", {})):
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

    def _is_known(self, files: dict[str, str]) -> bool:
        """Return whether the Pi has each of the task's files with its mode."""
        task = self._task.args
        place = task["dest"]
        if "content" in task:
            wanted = {place: task["content"].encode()}
        else:
            source = self._find_needle("files", task["src"])
            wanted = {place + name: content for name, content in contents(Path(source), place.endswith("/")).items()}
        return bool(wanted) and all(files.get(path) == state(content, task["mode"]) for path, content in wanted.items())


__all__ = ["ActionModule"]
