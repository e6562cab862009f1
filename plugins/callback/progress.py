"""Ansible stdout callback: print a run's progress, the Pis' current tasks and the teacher's messages."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterable
from itertools import groupby
from typing import Any

from ansible import context
from ansible.playbook.role_include import IncludeRole
from ansible.plugins.callback.default import CallbackModule as Default
from ansible.utils.fqcn import add_internal_fqcns

DOCUMENTATION = r"""
name: progress
type: stdout
short_description: the Pis' progress, in plain lines
description:
  - A line for each step of a play, which is a role or a file of tasks that the playbook imports. After a while without
    a line, the tasks that run, on which Pis, and for how long. The number of a play's tasks is not known in advance.
  - Messages, warnings, failures and diffs are shown as C(default) shows them; with C(--check), C(--diff) or C(-v) the
    tasks that change something, too.
extends_documentation_fragment:
  - default_callback
  - result_format_callback
author: The mynn-pi authors
"""

QUIET, AGAIN = 10, 30  # seconds of silence before a line, and before another about the same task
NAMED = 5  # most Pis to show by name; of more, show the number
DEBUG = add_internal_fqcns(["debug"])


def duration(seconds: float) -> str:
    """Return a duration in words."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def named(pis: Iterable[str]) -> str:
    """Return the names of a few Pis, or the number of many."""
    names = ["this computer" if name == "localhost" else name for name in pis]
    return ", ".join(names) if len(names) <= NAMED else f"{len(names)} Pis"


def step_of(task: Any) -> str:
    """Return the name of a task's step: its outermost imported role, else its role, else its imported file."""
    imports, parent = [], task
    while parent := parent._parent:
        if getattr(parent, "statically_loaded", False):
            imports.append(parent)
    roles = [each for each in imports if isinstance(each, IncludeRole)]
    if task._role and not roles:
        return str(task._role.get_name())
    return str((roles[-1:] or imports[:1])[0].name) if imports else ""


class CallbackModule(Default):  # type: ignore[misc]
    """Prints lines with the time."""

    def __init__(self) -> None:
        super().__init__()
        self.began = self.printed = time.monotonic()
        self.steps: list[str] = []  # steps of this play, in order
        self.step = -1
        self.task: Any = None
        self.busy: dict[str, float] = {}  # Pi → start of its current task, monotonic seconds
        self.waiting: list[str] = []  # Pis that have ended the task
        self.thread = threading.Thread(target=self._break_silence, daemon=True)

    def _say(self, line: str) -> None:
        self.printed = time.monotonic()
        self._display.display(f"{time.strftime('%H:%M:%S')}  {line}")
        sys.stdout.flush()

    def _break_silence(self) -> None:
        told = None
        while True:
            time.sleep(1)
            task, busy, now = self.task, self.busy.copy(), time.monotonic()
            if busy and now - self.printed > (AGAIN if told is task else QUIET):
                told = task
                who = named([task.delegate_to] if task.delegate_to == "localhost" else busy)
                waiting = f"; waiting: {named(self.waiting)}" if self.waiting else ""
                self._say(f"  {who}: {task.name} ({duration(now - min(busy.values()))}{waiting})")

    def v2_playbook_on_play_start(self, play: Any) -> None:
        """Show the play's name and Pis."""
        self._play = play
        tasks = (task for block in play.compile() for task in block.get_tasks())
        self.steps, self.step = [step for step, _ in groupby(map(step_of, tasks)) if step], -1
        self._say(f"{play.get_name()}: {named(play.get_variable_manager().get_vars(play=play)['ansible_play_batch'])}")

    def _task_start(self, task: Any, prefix: str | None = None) -> None:
        super()._task_start(task, prefix)
        self.task, self.busy, self.waiting = task, {}, []
        step = step_of(task)
        if prefix == "TASK" and step in self.steps[self.step + 1 :] and [step] != self.steps[self.step :][:1]:
            self.step = self.steps.index(step, self.step + 1)
            self._say(f"{self.step + 1} of {len(self.steps)}: {step}")

    def v2_runner_on_start(self, host: Any, task: Any) -> None:
        """Record that a Pi starts the task."""
        self.busy[host.name] = time.monotonic()
        if not self.thread.is_alive():
            self.thread.start()

    def _ended(self, result: Any, how: str) -> None:
        self.busy.pop(result.host.name, None)
        if how == "ok":
            self.waiting.append(result.host.name)

    def v2_runner_on_ok(self, result: Any) -> None:
        """Show a message to the teacher, or a change with --check, --diff or -v."""
        self._ended(result, "ok")
        message = result.result.get("msg")
        if result.task.action in DEBUG and not result.task.loop and isinstance(message, (str, list)):
            for line in [message] if isinstance(message, str) else message:
                self._display.display(str(line))
        else:
            self._show(result, super().v2_runner_on_ok)

    def v2_runner_item_on_ok(self, result: Any) -> None:
        """Show a loop item's change with --check, --diff or -v."""
        self._show(result, super().v2_runner_item_on_ok)

    def _show(self, result: Any, show: Callable[[Any], None]) -> None:
        asked = context.CLIARGS.get("check") or context.CLIARGS.get("diff")
        if self._display.verbosity or (asked and result.result.get("changed")):
            show(result)
        else:
            self._handle_warnings_and_exception(result)

    def v2_runner_on_skipped(self, result: Any) -> None:
        """Record that a Pi skips the task."""
        self._ended(result, "ok")
        super().v2_runner_on_skipped(result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """Show a failure."""
        self._ended(result, "ignored" if ignore_errors else "failed")
        super().v2_runner_on_failed(result, ignore_errors)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        """Show that a Pi cannot be reached."""
        self._ended(result, "unreachable")
        super().v2_runner_on_unreachable(result)

    def v2_playbook_on_include(self, *_: Any) -> None:
        """Show nothing."""

    v2_runner_retry = v2_playbook_on_no_hosts_remaining = v2_playbook_on_include

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Show each Pi's result; after a quick run with many Pis, only of those that failed or changed."""
        self.busy = {}
        took = time.monotonic() - self.began
        for name, counts in ((name, stats.summarize(name)) for name in sorted(stats.processed)):
            lost = counts["failures"] or counts["unreachable"]
            if lost or counts["changed"] or took > QUIET or len(stats.processed) <= NAMED:
                how = "not finished" if lost else "finished"
                self._say(f"{named([name])}: {how} after {duration(took)}, changes: {counts['changed']}")
