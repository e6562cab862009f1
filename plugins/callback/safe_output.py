"""What Ansible prints, whoever wrote it: nothing that a terminal understands as more than text."""

from __future__ import annotations

from typing import Any

from ansible.plugins.callback import CallbackBase

from ansible_collections.mynn.pi.plugins.module_utils.text import printable_lines

DOCUMENTATION = r"""
name: safe_output
type: aggregate
short_description: nothing that a Pi says reaches the terminal but as text
description:
  - Results, warnings, errors, differences, and what mitogen logs are all printed by Ansible's one display, which passes
    on what modules say. This makes it safe there, before Ansible adds its own colours.
  - Ansible's warning that strategy plugins from elsewhere are deprecated is not shown.
author: The mynn-pi authors
"""


class CallbackModule(CallbackBase):  # type: ignore[misc]
    """Stands before the display from the beginning of a run."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "safe_output"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        show = self._display.display

        def safely(msg: str, *arguments: Any, screen_only: bool = False, **options: Any) -> None:
            # screen_only: the recap, with colours in it, and nothing but names of the inventory and numbers.
            show(msg if screen_only else printable_lines(msg), *arguments, screen_only=screen_only, **options)

        self._display.display = safely
        deprecated = self._display.deprecated

        def without_strategies(msg: str, *arguments: Any, **options: Any) -> None:
            # mitogen is a strategy plugin, and a teacher can do nothing about it: docs/develop says what if they go.
            if not msg.startswith("Use of strategy plugins not included in ansible.builtin"):
                deprecated(msg, *arguments, **options)

        self._display.deprecated = without_strategies
