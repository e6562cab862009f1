"""How a play goes from task to task: mitogen's way where mitogen is installed, Ansible's own otherwise."""

from __future__ import annotations

from ansible.plugins.strategy.linear import StrategyModule as Linear

DOCUMENTATION = r"""
name: classroom
short_description: mitogen's linear strategy where it is installed, Ansible's otherwise
description:
  - Under stock Ansible each task starts a Python on the Pi, which costs a Pi Zero about ten seconds. mitogen starts one
    and keeps it.
author: The mynn-pi authors
"""

try:
    from ansible_mitogen.plugins.strategy.mitogen_linear import StrategyModule
except ImportError:

    class StrategyModule(Linear):  # type: ignore[no-redef]
        """Ansible's own way."""


__all__ = ["StrategyModule"]
