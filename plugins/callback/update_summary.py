"""The end of an update: a line for each Pi."""

from __future__ import annotations

from typing import Any

from ansible.plugins.callback import CallbackBase

from ansible_collections.mynn.pi.plugins.module_utils.text import printable

DOCUMENTATION = r"""
name: update_summary
type: aggregate
short_description: a line for each Pi that was to be updated
description:
  - Its versions and smoke accuracy before and after, how long the update took, and which configuration files were kept;
    or that it was not finished, or not touched.
author: The mynn-pi authors
"""


def line(name: str, update: dict[str, Any]) -> str:
    """Return the line of a Pi that was updated; `update` comes from roles/update/tasks/summary.yml."""
    before, after = update["before"], update["after"]
    minutes, seconds = divmod(round(float(update["seconds"])), 60)
    smoke = [f"{float(figure):.1%}" if figure != "" else "unknown" for figure in update["smoke"]]
    parts = [
        f"Debian {_step(before['release'], after['release'])}",
        f"Python {_step(before['python'], after['python'])}",
        f"{_step(before['package_count'], after['package_count'])} packages ({update['renewed']} upgraded)",
        f"smoke accuracy {smoke[0]} -> {smoke[1]}",
        f"{minutes} min {seconds} s",
    ]
    kept = ", ".join(str(path).removesuffix(".dpkg-dist") for path in update["kept"])
    if kept:
        parts.append(f"kept because they were edited: {printable(kept, 1000)} (the new ones end in .dpkg-dist)")
    return f"{name}: {', '.join(parts)}"


def _step(before: object, after: object) -> str:
    return f"{before}" if before == after else f"{before} -> {after}"


class CallbackModule(CallbackBase):  # type: ignore[misc]
    """Records which Pis are to be updated, and shows the outcome of each at the end."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "update_summary"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self.expected: list[str] = []

    def v2_playbook_on_play_start(self, play: Any) -> None:
        """Record the Pis of a play with the role update."""
        if any(role.get_name() == "update" for role in play.roles):
            self.expected = play.get_variable_manager().get_vars(play=play)["ansible_play_hosts_all"]

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Show a line for each Pi."""
        if not self.expected:
            return
        self._display.banner("UPDATED")
        for name in self.expected:
            if update := stats.custom.get(name, {}).get("update"):
                try:
                    said = line(name, update)
                except (ArithmeticError, LookupError, TypeError, ValueError):
                    said = f"{name}: finished, but its summary cannot be read"
                self._display.display(said)
            elif name in stats.processed:
                self._display.display(f"{name}: not finished")
            else:
                self._display.display(f"{name}: not touched")
