"""Playbook runs. The desk starts those in PLAYBOOKS only, each in its own process, with ansible-runner."""

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
SETTINGS = PROJECT / "playbooks/group_vars/all/settings.yml"  # edited by the teacher
DEBUG = ("debug", "ansible.builtin.debug")
WORDS = {"passwords": marked("new passwords"), "discard": marked("also without a collection")}  # for checkboxes
NO_PASSWORD = "Password (not shown): "  # prompt of plugins/strategy/classroom.py
PASSWORD = re.compile(r"[^\x00-\x1f\x7f]{0,200}")  # without control characters, for a terminal
AGAIN = marked("Start it again when you like: it goes on where it stopped.")
CUT_OFF = marked("It was cut off, because the desk ended.")
STOPPED = marked("You stopped it.")
STEP = re.compile(r"^[\d:]{8}  (\d+) of (\d+): ", re.M)  # printed by the callback plugin progress
FEW = 10  # most file names in a message


@dataclass(frozen=True)
class Playbook:
    """A playbook. fields: form fields besides `pi`. file: its name, if not the key. options: for ansible-playbook."""

    title: str
    fields: tuple[str, ...] = ()
    file: str = ""
    options: tuple[str, ...] = ()


PLAYBOOKS = {
    "message": Playbook(marked("Message"), ("what",)),
    "off": Playbook(marked("Switching off")),
    # Opening the tab Pis or Tasks runs it. With ten Pis at a time, it takes 230 MB less than with thirty.
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
    """The desk's Pis: an inventory, and a pattern for Ansible's --limit; empty for all of them."""

    inventory: Path
    limit: str = ""


@dataclass
class Run:
    """A run of a playbook. chosen: field → the teacher's choice. how: how it ended, in words; empty while it runs.

    doing: current task. step: its number and the number of all, as digits, if known. at: Pi → CSS class and current
    activity. messages: for the teacher. lost: name, reason and remedy for each Pi that was not finished (callback
    summary). password: for the Pis' account, for SSH if the playbook asks for it (--ask-pass), otherwise for sudo;
    deleted once the run has begun. wanted: whether sudo on some Pi needs a password, and got none or a wrong one.
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
    stopped: str = ""  # why the teacher or the desk ended it; empty otherwise

    @property
    def title(self) -> str:
        """The playbook's title and the choices, in words."""
        words = ", ".join(_(WORDS[name]) if name in WORDS else value for name, value in self.chosen.items() if value)
        title = _(PLAYBOOKS[self.name].title)
        return f"{colon(title)} {words}" if words else title

    @property
    def pi(self) -> str:
        """The only Pi in the run; empty for all."""
        return self.chosen.get("pi", "")

    def stop(self, why: str) -> None:
        """Stop the run. why: a sentence for the teacher."""
        self.stopped = self.stopped or why
        if self.process:
            self.process.terminate()

    def play(self, pis: Pis, settings: dict[str, Any], news: Callable[[], None]) -> None:
        """Run the playbook to its end, or until it is stopped.

        settings: extra variables. news: called after each line of output.
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
                start_new_session=True,  # Ctrl-C in the terminal reaches only the desk
            ) as self.process:
                assert self.process.stdin and self.process.stdout
                with self.process.stdin as file:
                    json.dump(self._asked(pis, settings, own), file)
                self.password = ""
                last = ""
                if self.stopped:  # before the process existed
                    self.process.terminate()
                for line in self.process.stdout:
                    last = self._read(line) or last
                    news()
            self.lost = json.loads(summary.read_bytes()) if summary.exists() else []
        self._end(self.process.returncode, last)

    def _asked(self, pis: Pis, settings: dict[str, Any], own: str) -> dict[str, Any]:
        """Return the arguments of ansible_runner.run. own: its working folder."""
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
            "settings": {"pexpect_timeout": 1},  # seconds between checks whether to end
            # Prompt → answer. Our strategy's prompt gets none: nobody can type there.
            "passwords": {f"{question} password: ": self.password, re.escape(NO_PASSWORD): ""},
        }

    def _read(self, line: str) -> str:
        """Process an event (a line of JSON), and return the last line that Ansible printed for it."""
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
        """Keep a task's message: of debug tasks, or in the run `look`, the changes that a reset would make."""
        message: Any = []
        if self.name == "look" and action == "student_work":
            changes = str(result.get("diff", {}).get("after", "")).splitlines()
            gone = [change.removesuffix(" removed") for change in changes if change.endswith(" removed")]
            gone = [path for path in gone if "/." not in path]  # hidden files of programs mean nothing to a teacher
            back = sum(not change.endswith(" removed") for change in changes)
            message = _touched(pi, gone, back)
        elif self.name != "look" and action in DEBUG:
            message = result.get("msg", "")
        lines = map(str, message if isinstance(message, list) else [message])
        self.messages += [line for line in lines if line not in self.messages]

    def _end(self, code: int, last: str) -> None:
        """Set how the run ended. code: the process's exit code. last: the last line of its output."""
        if self.stopped:
            self.how = self.stopped
        elif code and not self.lost:
            self.how = f"{_('It was cut off.')} {printable(last)}"
        else:
            self.how = _("Not finished on all Pis.") if self.lost else _("Finished.")
        self.doing, self.at = "", {}


def again(why: str) -> str:
    """Return why a run ended, translated, and that it can be started again. why: a marked sentence."""
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


def our_environment(summary: Path) -> dict[str, str]:
    """Return the environment in which ansible-runner finds Ansible and our callbacks, and prints without delay.

    MYNN_DESK is the desk's process ID, since the desk may be killed before the new process begins.
    """
    return {
        "MYNN_DESK": str(os.getpid()),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONUNBUFFERED": "1",
        "ANSIBLE_CALLBACK_PLUGINS": str(PROJECT / "plugins/callback"),
        "ANSIBLE_STDOUT_CALLBACK": "progress",
        "MYNN_SUMMARY": str(summary),
        VARIABLE: "",  # playbooks print English, but write for the class in its language
    }
