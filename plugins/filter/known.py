"""Ansible filter: leave out the contents of files that a Pi has already."""

from __future__ import annotations

import base64
from collections.abc import Mapping

from ansible_collections.mynn.pi.plugins.module_utils.file_state import state_with


def unless_known(contents: Mapping[str, str], folder: str, files: Mapping[str, str]) -> dict[str, str | None]:
    """Return files' contents (in base64, by path in the folder), but None for those that the Pi's facts say are there.

    files: the fact of that name.
    """
    return {
        name: None if files.get(f"{folder}/{name}") == state_with(base64.b64decode(content), "0644") else content
        for name, content in contents.items()
    }


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, object]:
        """Return the filter by name."""
        return {"unless_known": unless_known}
