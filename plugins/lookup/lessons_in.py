"""Ansible lookup: the lessons of a folder on the control node, with their pictures."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

from ansible_collections.mynn.pi.plugins.module_utils.lessons import lessons_in

DOCUMENTATION = r"""
name: lessons_in
author: The mynn-pi authors
short_description: Lessons and their pictures
description:
  - For each folder, a dictionary of its lessons (C(*.ipynb)) and of the pictures in its subfolders (C(*/*.png)).
    The keys are the files' paths in the folder, and the values their bytes in base64.
options:
  _terms:
    description: The folders on the control node.
    required: true
"""


class LookupModule(LookupBase):  # type: ignore[misc]
    """What Ansible calls."""

    def run(self, terms: list[str], variables: Any = None, **kwargs: Any) -> list[dict[str, str]]:
        """Return a dictionary for each folder. AnsibleLookupError: a file cannot be read."""
        try:
            found = [lessons_in(Path(term)) for term in terms]
        except OSError as error:
            raise AnsibleLookupError(
                f"{error.filename} could not be read ({error.strerror}): make the lessons readable"
            ) from error
        return [{name: base64.b64encode(content).decode() for name, content in one.items()} for one in found]
