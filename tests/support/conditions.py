"""The conditions of a role's tasks, without a run."""

from typing import Any

from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template


def _trusted(value: Any) -> Any:
    """Return a task's value, with its texts as templates that Ansible fills in."""
    if isinstance(value, dict):
        return {key: _trusted(inner) for key, inner in value.items()}
    return trust_as_template(value) if isinstance(value, str) else value


def holds(condition: str, variables: dict[str, Any]) -> bool:
    """Return whether a condition of a task holds. variables: their texts are templates."""
    return bool(Templar(DataLoader(), _trusted(variables)).evaluate_conditional(trust_as_template(condition)))
