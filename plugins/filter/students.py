"""Ansible filters: what belongs to each student of a Pi, and which notebook servers must change."""

from __future__ import annotations

from ansible_collections.mynn.pi.plugins.module_utils.students import classroom_students, notebook_servers


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, object]:
        """Return the filters by name."""
        return {"classroom_students": classroom_students, "notebook_servers": notebook_servers}
