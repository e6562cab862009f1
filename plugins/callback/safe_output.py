"""Ansible callback: make everything that Ansible prints safe for the terminal."""

from __future__ import annotations

from typing import Any

from ansible.plugins.callback import CallbackBase

from ansible_collections.mynn.pi.plugins.module_utils.text import printable_lines

DOCUMENTATION = r"""
name: safe_output
type: aggregate
short_description: what a Pi says reaches the terminal as plain text only
description:
  - Results, warnings, errors, diffs and mitogen's log all pass through Ansible's one display, with modules' words in
    them. They are made safe there, before Ansible adds its own colours.
author: The mynn-pi authors
"""


class CallbackModule(CallbackBase):  # type: ignore[misc]
    """Wraps Ansible's display from the start of a run."""

    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        show = self._display.display

        def safely(msg: str, *arguments: Any, screen_only: bool = False, **options: Any) -> None:
            # screen_only: the coloured recap, with only inventory names and numbers.
            show(msg if screen_only else printable_lines(msg), *arguments, screen_only=screen_only, **options)

        self._display.display = safely
