"""Playbooks that the desk starts: those of PLAYBOOKS and no others. ansible-runner runs them."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ansible_runner

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

    @property
    def title(self) -> str:
        """What it does, in words."""
        return PLAYBOOKS[self.name]

    def play(
        self, pis: Pis, folder: Path, setting: dict[str, str], news: Callable[[], None], ending: Callable[[], bool]
    ) -> None:
        """Run the playbook to its end, or until `ending` is true.

        folder: the desk's. setting: environment variables. news: called when something is to be shown.
        """

        def handle(event: dict[str, Any]) -> bool:
            data = event.get("event_data", {})
            if event["event"] == "playbook_on_task_start":
                self.doing = printable(data["name"])
                news()
            elif event["event"] == "runner_on_ok" and data["task_action"] in DEBUG:
                message = data["res"].get("msg", "")
                self.said += map(str, message if isinstance(message, list) else [message])
            return False  # nothing of it is kept

        with tempfile.TemporaryDirectory(prefix="mynn-run-") as own:
            summary = Path(own, "summary.json")
            runner = ansible_runner.run(
                private_data_dir=own,
                project_dir=str(PROJECT),
                playbook=str(PROJECT / f"playbooks/{self.name}.yml"),
                inventory=str(pis.inventory),
                limit=pis.limit or None,
                extravars={"desk_folder": str(folder)},
                envvars=setting | self._environment(summary),
                quiet=True,
                suppress_env_files=True,
                event_handler=handle,
                cancel_callback=ending,
            )
            self.lost = json.loads(summary.read_bytes()) if summary.exists() else []
            if runner.status != "successful" and not self.lost:
                last = runner.stdout.read().strip().rpartition("\n")[2]
                self.said.append(f"It was cut off ({runner.status}). {printable(last)}")
        self.doing = ""

    def _environment(self, summary: Path) -> dict[str, str]:
        """Return what lets ansible-runner find Ansible beside this Python, and our callbacks."""
        return {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "ANSIBLE_CALLBACK_PLUGINS": str(PROJECT / "plugins/callback"),
            "MYNN_SUMMARY": str(summary),
        }
