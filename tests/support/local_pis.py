"""Two Pis that are folders on this computer, on which Ansible runs a role."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

from tests.support.programs import ANSIBLE_PLAYBOOK, ROOT

NAMES = ("pi-01", "pi-02")


class LocalPis:
    """Two Pis, and a role to run on them, whose settings name folders on this computer instead of a Pi's."""

    def __init__(self, folder: Path, role: str, settings: dict[str, Any], roles: Path = ROOT / "roles") -> None:
        (folder / "play.yml").write_text(json.dumps([{"hosts": "all", "gather_facts": False, "roles": [role]}]))
        (folder / "settings.json").write_text(json.dumps(settings))
        self.command = [
            *(ANSIBLE_PLAYBOOK, f"{folder}/play.yml", "-i", f"{','.join(NAMES)},", "-c", "local"),
            *("-e", f"@{folder}/settings.json"),
        ]
        self.environment = os.environ | {"ANSIBLE_ROLES_PATH": str(roles), "COLUMNS": "9999"}

    def run(self, *options: str, pi: str = NAMES[0]) -> tuple[int, str]:
        """Run the role, which must succeed. Return how many changes it reports for a Pi, and the output."""
        code, output = self.attempt(*options)
        assert code == 0, output
        recap = re.search(rf"{pi} .*changed=(\d+)", output)
        assert recap
        return int(recap[1]), output

    def attempt(self, *options: str) -> tuple[int, str]:
        """Run the role. Return the exit code and the output."""
        run = subprocess.run([*self.command, *options], env=self.environment, capture_output=True, text=True)
        return run.returncode, run.stdout + run.stderr
