"""Playbooks that the desk starts: those of PLAYBOOKS and no others. ansible-runner runs each in its own process."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.mynn.pi.plugins.module_utils.text import printable

PROJECT = Path(__file__).resolve().parents[2]
PLAYBOOKS = {"message": "Message", "off": "Switching off", "report": "How the Pis are"}
DEBUG = ("debug", "ansible.builtin.debug")


@dataclass(frozen=True)
class Pis:
    """The Pis of a desk: an inventory, and what Ansible's --limit takes; empty for all of them."""

    inventory: Path
    limit: str = ""


@dataclass
class Run:
    """A run of a playbook. doing: its task of now, while it runs. said: its messages.

    lost: of each Pi that was not finished its name, why, and what to do (the callback summary).
    """

    name: str
    doing: str = "It starts."
    said: list[str] = field(default_factory=list)
    lost: list[tuple[str, str, str]] = field(default_factory=list)
    process: subprocess.Popen[str] | None = field(default=None, repr=False)

    @property
    def title(self) -> str:
        """What it does, in words."""
        return PLAYBOOKS[self.name]

    def play(self, pis: Pis, folder: Path, setting: dict[str, str], news: Callable[[], None]) -> None:
        """Run the playbook to its end, or until the process is terminated.

        folder: the desk's. setting: environment variables. news: called when something is to be shown.
        """
        with tempfile.TemporaryDirectory(prefix="mynn-run-") as own:
            summary = Path(own, "summary.json")
            environment = os.environ | setting | our_environment(summary)
            with subprocess.Popen(
                [*self._command(pis, folder), own],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,  # Ctrl-C in the desk's terminal is the desk's
            ) as self.process:
                last = ""
                for line in self.process.stdout or ():
                    before = self.doing
                    last = self._read(line) or last
                    if self.doing != before:
                        news()
            self.lost = json.loads(summary.read_bytes()) if summary.exists() else []
            if self.process.returncode and not self.lost:
                self.said.append(f"It was cut off. {printable(last)}")

    def _command(self, pis: Pis, folder: Path) -> list[str]:
        """Return ansible-runner's command, but for its own folder."""
        settings = shlex.join(["-e", json.dumps({"desk_folder": str(folder)})])
        command = [sys.executable, "-m", "ansible_runner", "run", "--json", "--omit-env-files"]
        command += [f"--project-dir={PROJECT}", f"--playbook={PROJECT}/playbooks/{self.name}.yml"]
        command += [f"--inventory={pis.inventory}", f"--cmdline={settings}"]
        return command + ([f"--limit={pis.limit}"] if pis.limit else [])

    def _read(self, line: str) -> str:
        """Read one of ansible-runner's lines, an event as JSON, and return the text of it."""
        try:
            event: dict[str, Any] = json.loads(line)
        except ValueError:
            return line
        data = event.get("event_data", {})
        if event["event"] == "playbook_on_task_start":
            self.doing = printable(data["name"])
        elif event["event"] == "runner_on_ok" and data["task_action"] in DEBUG:
            message = data["res"].get("msg", "")
            self.said += map(str, message if isinstance(message, list) else [message])
        return str(event["stdout"]).strip().rpartition("\n")[2]


def our_environment(summary: Path) -> dict[str, str]:
    """Return what lets ansible-runner find Ansible and our callbacks, and say at once what is done."""
    return {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONUNBUFFERED": "1",
        "ANSIBLE_CALLBACK_PLUGINS": str(PROJECT / "plugins/callback"),
        "MYNN_SUMMARY": str(summary),
    }
