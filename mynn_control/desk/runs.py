"""Playbook runs. The desk starts those in PLAYBOOKS only, each in its own process."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.mynn.pi.plugins.module_utils.text import printable
from mynn.translation import VARIABLE
from mynn_control.own_files import sources
from mynn_control.translation import N_, _, colon

PROJECT = Path(__file__).resolve().parents[2]
SETTINGS = PROJECT / "playbooks/group_vars/all/settings.yml"  # edited by the teacher
DEBUG = ("debug", "ansible.builtin.debug")
WORDS = {"passwords": N_("new passwords"), "discard": N_("also without a collection")}  # for checkboxes
PASSWORD = re.compile(r"[^\x00-\x1f\x7f]{0,200}")  # without control characters, for a terminal
AGAIN = N_("Start it again when you like: it continues where it stopped.")
CUT_OFF = N_("It was cut off, because the desk ended.")
STOPPED = N_("You stopped it.")
# Playbooks print English, but write for the class in its language.
ENVIRONMENT = {"ANSIBLE_STDOUT_CALLBACK": "desk_events", VARIABLE: ""}
ENVIRONMENT["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
FEW = 10  # most file names in a message


@dataclass(frozen=True)
class Playbook:
    """A playbook. fields: form fields besides `pi`. file: its name, if not the key. options: for ansible-playbook."""

    title: str
    fields: tuple[str, ...] = ()
    file: str = ""
    options: tuple[str, ...] = ()


PLAYBOOKS = {
    "message": Playbook(N_("Message"), ("what",)),
    "off": Playbook(N_("Switching off")),
    # Opening the tab Pis or Tasks runs it. With ten Pis at a time, it takes 230 MB less than with thirty.
    "report": Playbook(N_("How the Pis are"), options=("--forks", "10")),
    "adopt": Playbook(N_("Adopting")),
    "site": Playbook(N_("Setting up")),
    "verify": Playbook(N_("Verifying")),
    "update": Playbook(N_("Updating")),
    "labels": Playbook(N_("Making labels")),
    "collect": Playbook(N_("Collecting work")),
    "handout": Playbook(N_("Handing out"), ("folder", "student")),
    "restore": Playbook(N_("Restoring work"), ("collection", "student")),
    "look": Playbook(N_("What a reset would change"), ("student",), file="reset", options=("--check",)),
    "reset": Playbook(N_("Resetting for the next class"), ("passwords", "discard", "student")),
    "undo": Playbook(N_("Undoing the reset"), ("student",), file="restore"),
}


@dataclass(frozen=True)
class Fleet:
    """The desk's Pis: an inventory, and a pattern for Ansible's --limit; empty for all of them."""

    inventory: Path
    limit: str = ""


@dataclass
class Run:
    """A run of a playbook. chosen: field → the teacher's choice. how: how it ended, in words; empty while it runs.

    doing: current task. step: its number and the number of all, if known. at: Pi → CSS class and current
    activity. messages: for the teacher. lost: name, reason and remedy for each Pi that was not finished (callback
    summary). password: for the Pis' account, for SSH in the run `adopt`, otherwise for sudo;
    deleted once the run has begun. wanted: whether sudo on some Pi needs a password, and got none or a wrong one.
    """

    name: str
    chosen: Mapping[str, str] = field(default_factory=dict)
    how: str = ""
    doing: str = field(default_factory=lambda: _("It starts"))
    step: tuple[int, ...] = ()
    at: dict[str, tuple[str, str]] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)
    lost: list[tuple[str, str, str]] = field(default_factory=list)
    began: float = field(default_factory=time.time)
    password: str = field(default="", repr=False)
    wanted: bool = False
    process: subprocess.Popen[str] | None = field(default=None, repr=False)
    stopped: str = ""  # why the teacher or the desk ended it; empty otherwise

    @property
    def title(self) -> str:
        """The playbook's title and the choices, in words."""
        chosen = {**self.chosen, "pi": ", ".join(self.pis)}
        words = ", ".join(_(WORDS[name]) if name in WORDS else value for name, value in chosen.items() if value)
        title = _(PLAYBOOKS[self.name].title)
        return f"{colon(title)} {words}" if words else title

    @property
    def pis(self) -> list[str]:
        """The Pis in the run; empty for all."""
        return [pi for pi in self.chosen.get("pi", "").split(",") if pi]

    @property
    def whom(self) -> str:
        """The Pis and the student in the run, in words; empty for all."""
        return ": ".join(filter(None, [", ".join(self.pis), self.chosen.get("student")]))

    def stop(self, why: str) -> None:
        """Stop the run. why: a sentence for the teacher."""
        self.stopped = self.stopped or why
        if self.process and self.process.poll() is None:
            # Its whole group: a process that mitogen is just starting would not end with its parent.
            os.killpg(self.process.pid, signal.SIGTERM)

    def execute(self, fleet: Fleet, settings: dict[str, Any], on_event: Callable[[], None]) -> None:
        """Run the playbook to its end, or until it is stopped.

        settings: extra variables. on_event: called after each event.
        """
        reading, writing = os.pipe()
        with (
            tempfile.TemporaryDirectory(prefix="mynn-run-") as own,
            Path(own, "output").open("w+", encoding="utf-8", errors="replace") as output,
            os.fdopen(reading, encoding="ascii") as events,
        ):
            summary = Path(own, "summary.json")
            ours = {"MESSAGE": self.chosen.get("what", ""), "MYNN_EVENTS": str(writing), "MYNN_SUMMARY": str(summary)}
            with subprocess.Popen(
                self._command(fleet, settings),
                cwd=PROJECT,
                env=os.environ | ENVIRONMENT | ours,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
                pass_fds=[writing],
                start_new_session=True,  # Ctrl-C in the terminal reaches only the desk
            ) as self.process:
                os.close(writing)
                if self.stopped:  # before the process existed
                    self.stop(self.stopped)
                assert self.process.stdin
                with suppress(BrokenPipeError), self.process.stdin as file:
                    file.write(self.password)
                self.password = ""
                for line in events:
                    if line.endswith("\n"):  # a killed run may leave half a line
                        self._read(json.loads(line))
                        on_event()
            self.lost = json.loads(summary.read_bytes()) if summary.exists() else []
            output.seek(0)
            self._set_result(self.process.returncode, output.read().strip().rpartition("\n")[2])

    def _command(self, fleet: Fleet, settings: dict[str, Any]) -> list[str]:
        """Return the command."""
        playbook, limit = PLAYBOOKS[self.name], ",".join(self.pis) or fleet.limit
        command = [str(Path(sys.executable).with_name("ansible-playbook"))]
        command += [f"--inventory={path}" for path in sources(fleet.inventory)]
        command += [f"--limit={limit}"] if limit else []
        command += [f"playbooks/{playbook.file or self.name}.yml", "-e", json.dumps(settings), *playbook.options]
        if self.password:
            command.append(f"--{'connection' if self.name == 'adopt' else 'become'}-password-file=-")
        return command

    def _read(self, event: dict[str, Any]) -> None:
        """Process an event of plugins/callback/desk_events.py."""
        self.step = tuple(event["step"])
        pi, task, message = event.get("pi", ""), printable(event["task"]), event.get("msg")
        match event["event"]:
            case "task":
                self.doing = task
            case "start":
                self.at[pi] = ("working", task)
            case "ok":
                self.at[pi] = ("waiting", _("waits"))
                self._add_messages(pi, event["action"], message, event["diff"])
            case "unreachable":
                self.at[pi] = ("lost", _("does not answer"))
            case "failed":
                self.at[pi] = ("lost", _("failed: {task}").format(task=task))
        self.wanted |= event["event"] in ("failed", "ignored", "unreachable") and "sudo password" in str(message)

    def _add_messages(self, pi: str, action: str, message: Any, diff: Any) -> None:
        """Keep a task's message: of debug tasks, or in the run `look`, the changes that a reset would make."""
        if self.name == "look" and action == "student_work":
            changes = str((diff or {}).get("after", "")).splitlines()
            gone = [change.removesuffix(" removed") for change in changes if change.endswith(" removed")]
            gone = [path for path in gone if "/." not in path]  # hidden files of programs mean nothing to a teacher
            back = sum(not change.endswith(" removed") for change in changes)
            message = _touched(pi, gone, back)
        elif self.name == "look" or action not in DEBUG:
            message = []
        lines = map(str, message if isinstance(message, list) else [message])
        self.messages += [line for line in lines if line not in self.messages]

    def _set_result(self, code: int, last: str) -> None:
        """Set how the run ended. code: the process's exit code. last: the last line of its output."""
        if self.stopped:
            self.how = self.stopped
        elif code and not self.lost:
            self.how = _("It was cut off.") + f" {printable(last)}"
        else:
            self.how = _("Not finished on all Pis.") if self.lost else _("Finished.")
        self.doing, self.at = "", {}


def again(why: str) -> str:
    """Return why a run ended, translated, and that it can be started again. why: a sentence from N_."""
    return f"{_(why)} {_(AGAIN)}"


def _touched(pi: str, gone: list[str], back: int) -> str:
    """Return a sentence about a reset of a Pi. gone: files to be removed. back: number of files to be put back."""
    if not gone:
        return _("{pi}: 0 would be removed, {back} put back as at first.").format(pi=pi, back=back)
    names = ", ".join(printable(name) for name in gone[:FEW])
    if len(gone) > FEW:
        names = _("{names} and {count} more").format(names=names, count=len(gone) - FEW)
    sentence = _("{pi}: {count} would be removed ({names}), {back} put back as at first.")
    return sentence.format(pi=pi, count=len(gone), names=names, back=back)
