"""The end of a run: which Pis were not finished or not updated, why, and what to do."""

from __future__ import annotations

import re
import textwrap
from itertools import zip_longest
from typing import Any

from ansible.plugins.callback import CallbackBase
from ansible.utils.fqcn import add_internal_fqcns

from ansible_collections.mynn.pi.plugins.module_utils.text import printable_lines

DOCUMENTATION = r"""
name: failure_summary
type: aggregate
short_description: which Pis were not finished or not brought up to date, why, and what to do
description:
  - After a run that lost Pis, a table with a row for each of them, in words for readers who do not know Linux.
  - Before it, a table of the Pis that are ready, but were not brought up to date (C(outdated) in their stats).
  - Shows nothing if all went well.
author: The mynn-pi authors
"""

AGAIN = "Then run this again."
LATER = "Run this again in a few hours."
OTHERWISE = "If that does not help, check the mirror's address in its /etc/apt."
OFFLINE = "In a school without Internet access: first run `make fetch` where there is some."
# An address that apt could not fetch from (its host is \1), up to the next one.
FETCH = r"failed to fetch \w+://([\w.:-]+)(?:(?!failed to fetch).)*?"
SUDO = (
    (
        r"missing sudo password|sudo.{0,10}password is required",
        "sudo on it wants a password, and none was given.",
        "Run this in a terminal, which asks for it. See “When sudo wants a password” in the manual.",
    ),
    (
        r"incorrect sudo password|sudo password is incorrect",
        "sudo on it does not accept the password that was given.",
        "Run this again with the password of the account that you log in with, as set in Raspberry Pi Imager."
        " See “When sudo wants a password” in the manual.",
    ),
)
# What SSH or mitogen says when it cannot reach a Pi, why that is, and what to do. The first match counts.
NO_CONNECTION = (
    (
        r"could not resolve|name or service not known|name resolution|no address associated",
        "Its name is not found on the network.",
        "Switch it on, and wait for two minutes. If that does not help, write its address into the inventory:"
        " `{name} ansible_host=ADDRESS`.",
    ),
    (
        r"identification has changed|host key verification failed|mismatching host key",
        "Its SSH host key has changed: the card was flashed again, or it is another Pi.",
        f"`ssh-keygen -R {{known}}`. {AGAIN}",
    ),
    *SUDO,
    (
        r"permission denied|ssh password|ssh authentication|too many authentication failures",
        "It does not let you in: it wants a password or another key.",
        f"`{{copy_id}}`. {AGAIN}",
    ),
    (
        r"connection refused|no route to host|timed out|timeout|network is unreachable|host is down",
        "It does not answer: it is off, still starting, without SSH, or not on the network.",
        f"Switch it on, and wait for two minutes. {AGAIN}",
    ),
    (
        r"python\S*: (?:command )?not found|no such file.*python|python.*no such file",
        "It has no Python 3.",
        "Flash its card with Raspberry Pi OS 12 or 13.",
    ),
    (r"", "The connection was lost: its power or its Wi-Fi failed.", f"Check both. {AGAIN}"),
)
# These actions word their messages on this computer. Any other message may be a Pi's own words.
OURS = frozenset([*add_internal_fqcns(["assert", "fail"]), "pi_facts", "student_work"])
OF_OURS = (
    # First, since students' files are named in it, and may be named after anything below.
    (r"^.* Not (collected|sent): (.+)\. ([^.]+ again\.)$", r"Not \1: \2.", r"\3"),
    (r"^(?:\S+ )?([^:]+), (?:and|so) nothing was changed on it: (.+)$", r"It \1.", r"\2"),
)
# The same for a failed task; \1 and \2 are what the pattern found.
FAILED = (
    *SUDO,
    (r"no space left on device|disk quota exceeded", "Its card is full.", f"Make room, or use a larger card. {AGAIN}"),
    (
        r"read-only file system|input/output error",
        "Its card can no longer be written to.",
        "Use another card: this one is worn out, or was damaged by a power cut.",
    ),
    (
        r"date: cannot set date|not valid yet|not yet valid",
        "Its clock is wrong, and could not be set.",
        f"Check your computer's clock, and switch the Pi off and on. {AGAIN}",
    ),
    (
        r"could not get lock|unable to (?:acquire|lock)|is locked by another|held by process",
        "Another update is still running.",
        f"Wait for a quarter of an hour. {AGAIN}",
    ),
    (
        rf"{FETCH}(?:mirror sync in progress|hash sum mismatch)",
        r"The mirror \1 is being updated: its lists do not match each other yet.",
        LATER,
    ),
    (
        rf"{FETCH}(?:release|packages)\S* +40[34]\s",
        r"The mirror \1 does not have its lists of packages (404).",
        f"{LATER} {OTHERWISE}",
    ),
    (
        r"the repository '\w+://([\w.:-]+)[^']*' (?:does not have|no longer has) a release",
        r"The mirror \1 does not have its lists of packages.",
        f"{LATER} {OTHERWISE}",
    ),
    (
        rf"{FETCH}require authentication",
        r"Something on the network answers in place of the mirror \1: perhaps a login page.",
        f"Ask the network's administrator to let the Pi through. {AGAIN}",
    ),
    (
        rf"{FETCH}\s404\s",
        r"A package is not where its mirror's list says (\1): the mirror is being updated, or the list is old.",
        f"{LATER} {OFFLINE}",
    ),
    (
        r"(?:could not resolve|temporary failure resolving) '([\w.:-]+)'",
        r"The name of the mirror \1 is not found.",
        f"Check its Internet connection. {AGAIN} {OTHERWISE}",
    ),
    (
        rf"{FETCH}\s503 +host not found",
        r"The name of the mirror \1 is not found.",
        f"Check your computer's Internet connection. {AGAIN}",
    ),
    (
        rf"{FETCH}offline mode",
        r"Your computer has no copy of what the mirror \1 has, and is offline.",
        f"Run `make fetch` where there is Internet access. {AGAIN}",
    ),
    (
        r"release file for \w+://([\w.:-]+)\S* is expired",
        r"The lists of packages of the mirror \1 are too old.",
        f"{LATER} {OFFLINE}",
    ),
    (
        rf"{FETCH}(?:connection (?:failed|timed out|refused)|(?:could not|unable to) connect)",
        r"The mirror \1 does not answer.",
        f"Check its Internet connection. {AGAIN}",
    ),
    (
        r"failed to fetch|unable to fetch|failed to update apt cache",
        "It could not fetch Debian's packages.",
        f"Check its Internet connection. {AGAIN}",
    ),
    (r"cannot allocate memory|memoryerror|out of memory", "Its memory is full.", f"Switch it off and on. {AGAIN}"),
)
HEADER = ("Pi", "why", "what to do")
NOT_UP_TO_DATE = "READY, BUT NOT BROUGHT UP TO DATE"
LONGEST = 300  # characters of a message in the table
READ = 10_000  # characters at each end of a text that are searched for a reason


def plain(text: str) -> str:
    """Return a text on one line, safe to print, without the middle of a very long one."""
    return " ".join(printable_lines(text if len(text) <= 2 * READ else f"{text[:READ]} … {text[-READ:]}").split())


def short(text: str) -> str:
    """Return a text, cut to fit the table."""
    return text if len(text) <= LONGEST else text[:LONGEST] + " …"


def said(result: dict[str, Any]) -> list[str]:
    """Return the texts of a task's result, the most telling first."""
    if "censored" in result:
        return ["The reason is hidden, since it may contain a password."]
    texts = [str(result.get(key) or "") for key in ("msg", "stderr", "module_stderr", "stdout", "module_stdout")]
    if texts[0] == "non-zero return code":
        texts[:2] = [(texts[1].strip() or texts[3].strip() or texts[0]).splitlines()[-1], texts[1]]
    return texts


def explain(result: dict[str, Any], task: str, known_by: dict[str, str], ours: bool = False) -> tuple[str, str]:
    """Return why a Pi was not finished, and what to do.

    known_by: what is put into the sentences: name, known (as in known_hosts) and copy_id (the command).
    ours: whether the message was worded on this computer.
    """
    texts = said(result)
    everything = " ".join(map(plain, texts))
    unreachable = bool(result.get("unreachable"))
    for pattern, why, what in NO_CONNECTION if unreachable else [*(OF_OURS if ours else ()), *FAILED]:
        found = re.search(pattern, plain(texts[0]) if pattern.startswith("^") else everything, re.I)
        if found:
            why, what = (found.expand(text) if found.re.groups else text.format(**known_by) for text in (why, what))
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


class CallbackModule(CallbackBase):  # type: ignore[misc]
    """Records what happened to each Pi, and shows it at the end."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "failure_summary"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self.play: Any = None
        self.expected: dict[str, None] = {}  # the Pis, in the inventory's order
        self.why: dict[str, tuple[str, str]] = {}
        self.items: dict[str, dict[str, Any]] = {}
        self.stopped_by = ""  # the Pi whose failure ended the play for all

    def v2_playbook_on_play_start(self, play: Any) -> None:
        """Record the Pis of the play."""
        self.play = play
        self.expected |= dict.fromkeys(play.get_variable_manager().get_vars(play=play)["ansible_play_hosts_all"])

    def v2_runner_on_unreachable(self, result: Any) -> None:
        """Record a Pi that is unreachable."""
        if not result.task.ignore_unreachable:
            self._remember(result, {**result.result, "unreachable": True})

    def v2_runner_item_on_failed(self, result: Any) -> None:
        """Record the first failed item of a loop."""
        self.items.setdefault(result.host.name, dict(result.result))

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """Record a Pi's failure."""
        item = self.items.pop(result.host.name, {})
        if not ignore_errors:
            self._remember(result, item or result.result)
            if result.task.run_once or result.task.any_errors_fatal:
                self.stopped_by = result.host.name

    def _remember(self, result: Any, said_: dict[str, Any]) -> None:
        host = result.host
        settings = self.play.get_variable_manager().get_vars(play=self.play, host=host, include_hostvars=False)
        address = str(settings.get("ansible_host") or host.name)
        port, user = str(settings.get("ansible_port") or 22), settings.get("ansible_user")
        known_by = {
            "name": host.name,
            "known": address if port == "22" else f"'[{address}]:{port}'",
            "copy_id": f"ssh-copy-id {'' if port == '22' else f'-p {port} '}{f'{user}@' if user else ''}{address}",
        }
        self.why[host.name] = explain(said_, result.task_name, known_by, result.task.action in OURS)

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Show the tables. The exit code is Ansible's: 2 if a task failed, 4 if a Pi was unreachable."""
        lost = [
            name for name in {**self.expected, **stats.processed} if stats.failures.get(name) or stats.dark.get(name)
        ]
        self._say_outdated({name: stats.custom.get(name, {}).get("outdated") for name in self.expected}, lost)
        if not lost:
            return
        rows = [(name, *self.why.get(name, ("It failed.", "See above."))) for name in lost]
        waiting = [name for name in self.expected if name not in lost and name not in stats.processed]
        if self.stopped_by:
            waiting = [name for name in self.expected if name not in lost]
        if waiting:
            what = f"Repair {self.stopped_by or lost[0]} first. {AGAIN}"
            rows.append((", ".join(waiting), "The run ended before their turn.", what))
        self._show("NOT FINISHED", rows, "bright red")
        finished = len(set(self.expected) - set(lost) - set(waiting))
        self._display.display(
            f"\nNot finished: {', '.join([*lost, *waiting])}. Finished: {finished} of {len(self.expected)}."
        )

    def _say_outdated(self, reasons: dict[str, str | None], lost: list[str]) -> None:
        """Show the Pis that are ready, but were not brought up to date; `reasons` are apt's words."""
        rows = [
            (name, *explain({"msg": reason}, "Refresh apt's lists", {}))
            for name, reason in reasons.items()
            if reason and name not in lost
        ]
        if rows:
            self._show(NOT_UP_TO_DATE, rows, "bright yellow")

    def _show(self, title: str, rows: list[tuple[str, str, str]], color: str) -> None:
        self._display.banner(title)
        for line in table([HEADER, *rows], min(max(self._display.columns, 79), 150)):
            self._display.display(line, color=color)
