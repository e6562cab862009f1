"""Ansible filters: a Pi's students with their files and units, and the notebook servers to remove."""

from __future__ import annotations

from ansible_collections.mynn.pi.plugins.module_utils.students import classroom_students, notebook_servers


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, object]:
        """Return the filters by name."""
        return {"classroom_students": classroom_students, "notebook_servers": notebook_servers}
