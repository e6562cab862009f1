"""Ansible callback: at the end of a run, show failed and outdated Pis with reason and remedy, and updates' changes."""

from __future__ import annotations

import json
import re
import textwrap
from itertools import zip_longest
from pathlib import Path
from typing import Any

import yaml
from ansible.plugins.callback import CallbackBase
from ansible.utils.fqcn import add_internal_fqcns

from ansible_collections.mynn.pi.plugins.module_utils.system import desks_summary
from ansible_collections.mynn.pi.plugins.module_utils.text import printable, printable_lines

DOCUMENTATION = r"""
name: summary
type: aggregate
short_description: which Pis were not finished or not brought up to date, why, and what to do
description:
  - After an update, a line for each updated Pi with its versions and smoke accuracy before and after.
  - Then a table of the Pis that are ready, but were not brought up to date.
  - After a run that lost Pis, a table with a row for each of them, in words for readers who do not know Linux
    (failures.yml). If the environment variable C(MYNN_SUMMARY) names a file, the rows are written there, too, as JSON.
author: The mynn-pi authors
"""

FAILURES = yaml.safe_load(Path(__file__).with_name("failures.yml").read_text(encoding="utf-8"))
# Actions whose messages are worded on this computer.
OURS = frozenset([*add_internal_fqcns(["assert", "fail"]), "pi_facts", "student_work"])
SET_FACT = add_internal_fqcns(["set_fact"])
HEADER = ("Pi", "why", "what to do")
NOT_UP_TO_DATE = "READY, BUT NOT BROUGHT UP TO DATE"
LONGEST = 300  # characters of a message in the table
READ = 10_000  # characters at each end of a text to search for a reason


def plain(text: str) -> str:
    """Return a text on one line, safe to print; the middle of a very long text is left out."""
    return " ".join(printable_lines(text if len(text) <= 2 * READ else f"{text[:READ]} … {text[-READ:]}").split())


def short(text: str) -> str:
    """Return a text, cut to fit the table."""
    return text if len(text) <= LONGEST else text[:LONGEST] + " …"


def texts_of(result: dict[str, Any]) -> list[str]:
    """Return the texts of a task's result, the most informative first."""
    if "censored" in result:
        return ["The reason is hidden, since it may contain a password."]
    texts = [str(result.get(key) or "") for key in ("msg", "stderr", "module_stderr", "stdout", "module_stdout")]
    if texts[0] == "non-zero return code":
        texts[:2] = [(texts[1].strip() or texts[3].strip() or texts[0]).splitlines()[-1], texts[1]]
    return texts


def explain(result: dict[str, Any], task: str, pi: dict[str, str], ours: bool = False) -> tuple[str, str]:
    """Return the reason why a Pi was not finished, and the remedy.

    pi: values for the sentences: name, known (its name in known_hosts) and disk (the one that the task wrote to).
    ours: whether the message was worded on this computer.
    """
    texts = texts_of(result)
    everything = " ".join(map(plain, texts))
    phrases = FAILURES["phrases"]
    kinds = ["sudo", "unreachable"] if result.get("unreachable") else [*(["ours"] if ours else []), "sudo", "failed"]
    for row in (row for kind in kinds for row in FAILURES[kind]):
        pattern = row["pattern"].replace("FETCH", phrases["FETCH"])
        match = re.search(pattern, plain(texts[0]) if pattern.startswith("^") else everything, re.I)
        if match:
            why, what = (row[key].format(*filter(None, match.groups()), **pi, **phrases) for key in ("why", "what"))
            return short(why), what[:1].upper() + what[1:]
    return short(plain(texts[0])), f"See the task “{plain(task)}” above."


def table(rows: list[tuple[str, str, str]], width: int) -> list[str]:
    """Return the lines of a table of three columns, at most `width` characters wide unless a word is longer."""
    first = min(max(len(name) for name, _, _ in rows), width // 3)
    rest = (width - first - 4) // 2
    lines = []
    for row in rows:
        cells = [
            textwrap.wrap(cell, size, break_on_hyphens=False, break_long_words=False)
            for cell, size in zip(row, (first, rest, rest), strict=True)
        ]
        lines += [f"{a:{first}}  {b:{rest}}  {c}".rstrip() for a, b, c in zip_longest(*cells, fillvalue="")]
    return lines


def update_line(update: dict[str, Any]) -> str:
    """Return an update's changes on a Pi; `update` comes from roles/update/tasks/summary.yml."""
    before, after = update["before"], update["after"]
    release, python, packages = (
        f"{before[key]}" if before[key] == after[key] else f"{before[key]} -> {after[key]}"
        for key in ("release", "python", "package_count")
    )
    minutes, seconds = divmod(round(float(update["seconds"])), 60)
    smoke = [f"{float(figure):.1%}" if figure != "" else "unknown" for figure in update["smoke"]]
    line = (
        f"Debian {release}, Python {python}, {packages} packages ({update['renewed']} upgraded),"
        f" smoke accuracy {smoke[0]} -> {smoke[1]}, {minutes} min {seconds} s"
    )
    kept = ", ".join(str(path).removesuffix(".dpkg-dist") for path in update["kept"])
    if kept:
        line += f", kept because they were edited: {printable(kept, 1000)} (the new ones end in .dpkg-dist)"
    return line


class CallbackModule(CallbackBase):  # type: ignore[misc]
    """Records each Pi's result, and shows all at the end."""

    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self.play: Any = None
        self.expected: dict[str, None] = {}  # Pis, in the inventory's order
        self.updated: dict[str, dict[str, Any]] = {}  # Pi → its update
        self.outdated: dict[str, str] = {}  # Pi → why it was not brought up to date
        self.why: dict[str, tuple[str, str]] = {}
        self.items: dict[str, dict[str, Any]] = {}
        self.stopped_by = ""  # the Pi whose failure ended the play for all

    def v2_playbook_on_play_start(self, play: Any) -> None:
        """Record the Pis of the play."""
        self.play = play
        self.expected |= dict.fromkeys(play.get_variable_manager().get_vars(play=play)["ansible_play_hosts_all"])

    def v2_runner_on_ok(self, result: Any) -> None:
        """Record what the roles system and update find out about a Pi. A module's own answer cannot forge this."""
        facts = result.result.get("ansible_facts", {}) if result.task.action in SET_FACT else {}
        if "__update_done" in facts:
            self.updated[result.host.name] = facts["__update_done"]
        if "__system_outdated" in facts:
            self.outdated[result.host.name] = facts["__system_outdated"]

    def v2_runner_on_unreachable(self, result: Any) -> None:
        """Record a Pi that is unreachable."""
        if not result.task.ignore_unreachable:
            self._record(result, {**result.result, "unreachable": True})

    def v2_runner_item_on_failed(self, result: Any) -> None:
        """Record the first failed item of a loop."""
        self.items.setdefault(result.host.name, dict(result.result))

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """Record a Pi's failure."""
        item = self.items.pop(result.host.name, {})
        if not ignore_errors:
            self._record(result, item or result.result)
            if result.task.run_once or result.task.any_errors_fatal:
                self.stopped_by = result.host.name

    def _record(self, result: Any, answer: dict[str, Any]) -> None:
        host = result.host
        settings = self.play.get_variable_manager().get_vars(play=self.play, host=host, include_hostvars=False)
        address = str(settings.get("ansible_host") or host.name)
        port = str(settings.get("ansible_port") or 22)
        pi = {
            "name": host.name,
            "known": address if port == "22" else f"'[{address}]:{port}'",
            "disk": "This computer's disk" if result.task.delegate_to == "localhost" else "Its card",
        }
        self.why[host.name] = explain(answer, result.task_name, pi, result.task.action in OURS)

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Show the tables. Ansible sets the exit code: 2 if a task failed, 4 if a Pi was unreachable."""
        if self.updated:
            self._display.banner("UPDATED")
        for name, update in self.updated.items():
            self._display.display(f"{name}: {update_line(update)}")
        lost = [
            name for name in {**self.expected, **stats.processed} if stats.failures.get(name) or stats.dark.get(name)
        ]
        outdated = [
            (name, *explain({"msg": reason}, "Refresh apt's lists", {"disk": "Its card"}))
            for name, reason in self.outdated.items()
            if name not in lost
        ]
        self._show_table(NOT_UP_TO_DATE, outdated, "bright yellow")
        if not lost:
            return
        rows = [(name, *self.why.get(name, ("It failed.", "See above."))) for name in lost]
        waiting = [
            name for name in self.expected if name not in lost and (self.stopped_by or name not in stats.processed)
        ]
        if waiting:
            what = f"Repair {self.stopped_by or lost[0]} first. {FAILURES['phrases']['again']}"
            rows.append((", ".join(waiting), "The run ended before their turn.", what))
        self._show_table("NOT FINISHED", rows, "bright red")
        if path := desks_summary():
            Path(path).write_text(json.dumps(rows), encoding="utf-8")
        finished = len(set(self.expected) - set(lost) - set(waiting))
        self._display.display(
            f"\nNot finished: {', '.join([*lost, *waiting])}. Finished: {finished} of {len(self.expected)}."
        )

    def _show_table(self, title: str, rows: list[tuple[str, str, str]], color: str) -> None:
        """Show a table, if it has rows."""
        if not rows:
            return
        self._display.banner(title)
        for line in table([HEADER, *rows], min(max(self._display.columns, 79), 150)):
            self._display.display(line, color=color)
