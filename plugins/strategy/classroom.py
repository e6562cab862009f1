"""Ansible strategy: mitogen's linear strategy if mitogen is installed, otherwise Ansible's own.

If sudo on a Pi wants a password and none was given, ask for it at the terminal and repeat the task. A Pi that is lost
or too slow while sudo starts is unreachable, as at any other moment: mitogen reports it as a failed task.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections import Counter
from typing import Any, ClassVar

from ansible.plugins.strategy.linear import StrategyModule as Linear

DOCUMENTATION = r"""
name: classroom
short_description: mitogen's linear strategy where it is installed, Ansible's otherwise
description:
  - Under stock Ansible each task starts a Python on the Pi, which costs a Pi Zero about ten seconds. mitogen starts one
    and keeps it.
  - If sudo wants a password, none was given (C(ansible_become_password), C(--ask-become-pass)), and stdin is a
    terminal, it is asked for once and tried on each Pi that wants one.
author: The mynn-pi authors
"""

try:
    from ansible_mitogen import affinity
    from ansible_mitogen.plugins.strategy.mitogen_linear import StrategyModule as Base

    # Turn off mitogen's pinning of processes and their children to one processor: of two, the second alone built images
    # and ran the tasks of every playbook, while the first was idle.
    affinity.policy = affinity.Policy()
except ImportError:
    Base = Linear

TRIES = 3  # as in sudo itself
# The ends of Ansible's and mitogen's messages when sudo refuses a task.
MISSING = re.compile(r"(?:missing sudo password|sudo password is required)\.?$", re.I)
INCORRECT = re.compile(r"(?:incorrect sudo password|sudo password is incorrect)\.?$", re.I)

LOST = re.compile(
    r"Channel was disconnected while connection attempt was in progress; "
    r"|error occurred on host \S+: Connection timed out\.$"
)


class Outcome:
    """What a task led to in ansible-core 2.19, the last one for Python 3.11. Later ones have such an object."""

    failed, unreachable, msg = False, False, ""

    def __init__(self, result: Any) -> None:
        self.__dict__ = result._return_data


def outcome(result: Any) -> Any:
    """Return what a task led to, to read and to change."""
    return result.utr if hasattr(result, "utr") else Outcome(result)


class StrategyModule(Base):  # type: ignore[misc]
    """Linear strategy that asks for a password if sudo wants one."""

    # For all plays of a run: passwords typed; Pi → number of passwords tried; Pi → number of questions asked.
    typed: ClassVar[list[str]] = []
    tried: ClassVar[Counter[str]] = Counter()
    asked: ClassVar[Counter[str]] = Counter()

    def run(self, *arguments: Any, **options: Any) -> Any:
        """Run a play. mitogen splits the control node's Python path as a shell would, so quote it."""
        control = self._inventory.get_host("localhost")
        if Base is not Linear and control.implicit:
            control.set_variable("ansible_python_interpreter", shlex.quote(sys.executable))
            # ansible-core 2.19 has a string of its own here, which mitogen cannot send.
            self._loader.set_basedir("".join(self._loader.get_basedir()))
        return super().run(*arguments, **options)

    def _process_pending_results(
        self, iterator: Any, one_pass: bool = False, max_passes: int | None = None
    ) -> list[Any]:
        """Process results one by one, so that no task that lacks sudo's password is missed, and no Pi that is lost."""
        if hasattr(self, "_process_rpc_queue"):  # ansible-core 2.19 has none
            self._process_rpc_queue()
        processed: list[Any] = []
        most = 1 if one_pass else max_passes
        while self._results and (most is None or len(processed) < most):
            result = self._results[0]
            if (led_to := outcome(result)).failed and LOST.search(str(led_to.msg)):
                led_to.failed, led_to.unreachable = False, True
            if not self._try_a_password(result):
                processed += super()._process_pending_results(iterator, one_pass=True)
        return processed

    def _try_a_password(self, result: Any) -> bool:
        """Queue a task that sudo refused again, with a password. Returns whether it was queued."""
        host, task = result.host, result.task
        message = str(outcome(result).msg or "").strip()
        known = self.tried[host.name] > 0  # the refused password was typed here, not given by a setting
        refused = MISSING.search(message) or (known and INCORRECT.search(message))
        if not refused or task.delegate_to or not self._next_password(result):
            return False
        self._results.popleft()
        password = self.typed[self.tried[host.name]]
        self.tried[host.name] += 1
        self._variable_manager.set_nonpersistent_facts(host.name, {"ansible_become_password": password})
        queued = self._queued_task_cache[(host.name, task._uuid)]
        self._pending_results -= 1  # _queue_task counts it again
        variables = {**queued["task_vars"], "ansible_become_password": password}
        self._queue_task(queued["host"], queued["task"], variables, queued["play_context"])
        return True

    def _next_password(self, result: Any) -> bool:
        """Return whether there is a password that was not tried on this Pi, after asking for one if necessary."""
        name = result.host.name
        if self.tried[name] < len(self.typed):
            return True
        if self.asked[name] == TRIES or not sys.stdin.isatty():
            return False
        self.asked[name] += 1
        if self.tried[name]:
            self._display.display(f"\nsudo on {name} does not accept that password.")
        elif name == "localhost":
            self._display.display("\nsudo on this computer wants your password.")
        else:
            variables = self._queued_task_cache[(name, result.task._uuid)]["task_vars"]
            account = variables.get("ansible_user") or "the account that you log in with"
            self._display.display(
                f"\nsudo on {name} wants the password of {account}, as set in Raspberry Pi Imager.\n"
                "It is used for all Pis of this run that want one, and is not stored."
            )
        with self._display._lock:  # keeps the callback `progress` silent
            try:
                password = self._display.prompt("Password (not shown): ", private=True)
            except EOFError:
                password = ""
        if password:
            self.typed.append(password)
        return bool(password)
