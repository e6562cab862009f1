"""Ansible lookup: the lessons in a folder on the control node, with their pictures."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from ansible.plugins.lookup import LookupBase

from ansible_collections.mynn.pi.plugins.module_utils.file_state import state_with
from ansible_collections.mynn.pi.plugins.module_utils.lessons import lessons_in

DOCUMENTATION = r"""
name: lessons_in
author: The mynn-pi authors
short_description: Lessons and their pictures
description:
  - A dictionary of a folder's lessons (C(*.ipynb)) and of the pictures in its subfolders (C(*/*.png)). The keys are the
    files' paths in the folder, and the values their bytes in base64, or nothing for those that the Pi has already.
options:
  _terms:
    description: The folder on the control node.
    required: true
  pristine:
    description: The folder of the untouched copies on the Pi.
    required: true
  files:
    description: The Pi's fact of that name.
    required: true
"""


class LookupModule(LookupBase):  # type: ignore[misc]
    """Ansible's entry point."""

    def run(self, terms: list[str], variables: Any = None, **options: Any) -> list[dict[str, str | None]]:
        """Return the dictionary. OSError: a file cannot be read; Ansible reports which, and why."""
        pristine, files = options["pristine"], options["files"]
        return [
            {
                name: None
                if files.get(f"{pristine}/{name}") == state_with(content, "0644")
                else base64.b64encode(content).decode()
                for name, content in lessons_in(Path(terms[0])).items()
            }
        ]
