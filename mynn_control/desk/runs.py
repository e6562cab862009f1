"""Playbooks that the desk starts: those of PLAYBOOKS and no others. ansible-runner runs each in its own process."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.mynn.pi.plugins.module_utils.text import printable
from mynn.words import VARIABLE
from mynn_control.own_files import sources
from mynn_control.words import _, colon, marked

PROJECT = Path(__file__).resolve().parents[2]
SETTINGS = PROJECT / "playbooks/group_vars/all/settings.yml"  # the teacher's
DEBUG = ("debug", "ansible.builtin.debug")
WORDS = {"passwords": marked("new passwords"), "discard": marked("also without a collection")}  # of switches
NO_PASSWORD = "Password (not shown): "  # the question of the strategy, plugins/strategy/classroom.py
PASSWORD = re.compile(r"[^\x00-\x1f\x7f]{0,200}")  # one that a terminal can be given
AGAIN = marked("Start it again when you like: it goes on with what is left to do.")
CUT_OFF = marked("It was cut off, because the desk ended.")
STOPPED = marked("You stopped it.")
STEP = re.compile(r"^[\d:]{8}  (\d+) of (\d+): ", re.M)  # as the callback progress prints it
FEW = 10  # files that a message names


@dataclass(frozen=True)
class Playbook:
    """One that the desk starts. fields: what is chosen for it, beside a Pi. file: its name; options: Ansible's."""

    title: str
    fields: tuple[str, ...] = ()
    file: str = ""
    options: tuple[str, ...] = ()


PLAYBOOKS = {
    "message": Playbook(marked("Message"), ("what",)),
    "off": Playbook(marked("Switching off")),
    # It runs whenever a page is opened. With ten Pis at a time, it takes 230 MB less than with thirty.
    "report": Playbook(marked("How the Pis are"), options=("--forks", "10")),
    "adopt": Playbook(marked("Adopting"), options=("--ask-pass",)),
    "site": Playbook(marked("Setting up")),
    "verify": Playbook(marked("Verifying")),
    "update": Playbook(marked("Updating")),
    "labels": Playbook(marked("Making labels")),
    "collect": Playbook(marked("Collecting work")),
    "handout": Playbook(marked("Handing out"), ("folder",)),
    "restore": Playbook(marked("Restoring work"), ("collection",)),
    "look": Playbook(marked("What a reset would touch"), file="reset", options=("--check",)),
    "reset": Playbook(marked("Resetting for the next class"), ("passwords", "discard")),
    "undo": Playbook(marked("Undoing the reset"), file="restore"),
}


@dataclass(frozen=True)
class Pis:
    """The Pis of a desk: an inventory, and what Ansible's --limit takes; empty for all of them."""

    inventory: Path
    limit: str = ""


@dataclass
class Run:
    """A run of a playbook. chosen: by field, what the teacher chose. how: it ended; empty while it runs.

    doing: its task of now. step: which of how many, as digits, if known. at: of each Pi a class of the style sheet, and
    what it does. messages: what it printed. lost: of each Pi that was not finished its name, why, and what to do (the
    callback summary). password: of the Pis' account, for SSH if the playbook asks for that (--ask-pass), otherwise for
    sudo; it is gone once the run has begun. wanted: whether sudo on some Pi wants a password, and has none, or another.
    """

    name: str
    chosen: Mapping[str, str] = field(default_factory=dict)
    how: str = ""
    doing: str = field(default_factory=lambda: _("It starts"))
    step: tuple[str, ...] = ()
    at: dict[str, tuple[str, str]] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)
    lost: list[tuple[str, str, str]] = field(default_factory=list)
    began: float = field(default_factory=time.time)
    password: str = field(default="", repr=False)
    wanted: bool = False
    process: subprocess.Popen[str] | None = field(default=None, repr=False)
    stopped: str = ""  # why its process is to end

    @property
    def title(self) -> str:
        """What it does, in words."""
        words = ", ".join(_(WORDS[name]) if name in WORDS else value for name, value in self.chosen.items() if value)
        title = _(PLAYBOOKS[self.name].title)
        return f"{colon(title)} {words}" if words else title

    @property
    def pi(self) -> str:
        """The only Pi of it; empty for all."""
        return self.chosen.get("pi", "")

    def stop(self, why: str) -> None:
        """Stop it, for a reason in words."""
        self.stopped = self.stopped or why
        if self.process:
            self.process.terminate()

    def play(self, pis: Pis, settings: dict[str, Any], news: Callable[[], None]) -> None:
        """Run the playbook to its end, or until it is stopped.

        settings: extra variables. news: called when something is to be shown.
        """
        with tempfile.TemporaryDirectory(prefix="mynn-run-") as own:
            summary = Path(own, "summary.json")
            with subprocess.Popen(
                [sys.executable, "-m", "mynn_control.desk.play"],
                cwd=PROJECT,
                env=os.environ | {"MESSAGE": self.chosen.get("what", "")} | our_environment(summary),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,  # Ctrl-C in the desk's terminal is the desk's
            ) as self.process:
                assert self.process.stdin and self.process.stdout
                with self.process.stdin as file:
                    json.dump(self._asked(pis, settings, own), file)
                self.password = ""
                last = ""
                for line in self.process.stdout:
                    if self.stopped:  # perhaps before there was a process
                        self.process.terminate()
                    last = self._read(line) or last
                    news()
            self.lost = json.loads(summary.read_bytes()) if summary.exists() else []
        self._end(self.process.returncode, last)

    def _asked(self, pis: Pis, settings: dict[str, Any], own: str) -> dict[str, Any]:
        """Return ansible-runner's arguments. own: a folder for it."""
        playbook = PLAYBOOKS[self.name]
        options = ["-e", json.dumps(settings), *playbook.options]
        question = "SSH" if "--ask-pass" in options else "BECOME"
        if self.password and question == "BECOME":
            options.append("--ask-become-pass")
        return {
            "private_data_dir": own,
            "project_dir": str(PROJECT),
            "playbook": f"{PROJECT}/playbooks/{playbook.file or self.name}.yml",
            "inventory": sources(pis.inventory),
            "limit": self.pi or pis.limit or None,
            "cmdline": shlex.join(options),
            "suppress_env_files": True,
            "settings": {"pexpect_timeout": 1},  # seconds until it notices that it is to end
            # Ansible's question, and that of our strategy; nobody is there to type at it.
            "passwords": {f"{question} password: ": self.password, re.escape(NO_PASSWORD): ""},
        }

    def _read(self, line: str) -> str:
        """Read an event, as JSON, and return the text of it."""
        try:
            event: dict[str, Any] = json.loads(line)
        except ValueError:
            return line
        data = event.get("event_data", {})
        task, pi, result = printable(data.get("task", "")), data.get("host", ""), data.get("res") or {}
        match event["event"]:
            case "playbook_on_play_start":
                self.step = ()
            case "playbook_on_task_start":
                self.doing = task
            case "runner_on_start":
                self.at[pi] = ("working", task)
            case "runner_on_ok" | "runner_on_skipped":
                self.at[pi] = ("waiting", _("waits"))
                self._hear(pi, data["task_action"], result)
            case "runner_on_unreachable":
                self.at[pi] = ("lost", _("does not answer"))
            case "runner_on_failed" if not data.get("ignore_errors"):
                self.at[pi] = ("lost", _("failed: {task}").format(task=task))
        self.step = step.groups() if (step := STEP.search(event["stdout"])) else self.step
        self.wanted |= any(text in event["stdout"] for text in (NO_PASSWORD.strip(), "sudo password"))
        return str(event["stdout"]).strip().rpartition("\n")[2]

    def _hear(self, pi: str, action: str, result: dict[str, Any]) -> None:
        """Keep a message; and what a reset would change, if that is what the run is for."""
        message: Any = []
        if self.name == "look" and action == "student_work":
            changes = str(result.get("diff", {}).get("after", "")).splitlines()
            gone = [change.removesuffix(" removed") for change in changes if change.endswith(" removed")]
            gone = [path for path in gone if "/." not in path]  # a teacher does not know what programs keep
            back = sum(not change.endswith(" removed") for change in changes)
            message = _touched(pi, gone, back)
        elif self.name != "look" and action in DEBUG:
            message = result.get("msg", "")
        lines = map(str, message if isinstance(message, list) else [message])
        self.messages += [line for line in lines if line not in self.messages]

    def _end(self, code: int, last: str) -> None:
        """Say how it ended. code: of its process. last: the last line that it printed."""
        if self.stopped:
            self.how = self.stopped
        elif code and not self.lost:
            self.how = f"{_('It was cut off.')} {printable(last)}"
        else:
            self.how = _("Not finished on all Pis.") if self.lost else _("Finished.")
        self.doing, self.at = "", {}


def again(why: str) -> str:
    """Return why a run ended, which is marked, and that it can be started again."""
    return f"{_(why)} {_(AGAIN)}"


def _touched(pi: str, gone: list[str], back: int) -> str:
    """Return what a reset would do to a Pi. gone: what it would remove. back: how much it would put back."""
    if not gone:
        return _("{pi}: 0 would be removed, {back} put back as at first.").format(pi=pi, back=back)
    names = ", ".join(printable(name) for name in gone[:FEW])
    if len(gone) > FEW:
        names = _("{names} and {count} more").format(names=names, count=len(gone) - FEW)
    sentence = _("{pi}: {count} would be removed ({names}), {back} put back as at first.")
    return sentence.format(pi=pi, count=len(gone), names=names, back=back)


def our_environment(summary: Path) -> dict[str, str]:
    """Return what lets ansible-runner find Ansible and our callbacks, and say at once what is done.

    The process also learns whose it is: the desk may be killed before that process has begun.
    """
    return {
        "MYNN_DESK": str(os.getpid()),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONUNBUFFERED": "1",
        "ANSIBLE_CALLBACK_PLUGINS": str(PROJECT / "plugins/callback"),
        "ANSIBLE_STDOUT_CALLBACK": "progress",
        "MYNN_SUMMARY": str(summary),
        VARIABLE: "",  # what playbooks print is English; what they write for the class is in its language
    }
