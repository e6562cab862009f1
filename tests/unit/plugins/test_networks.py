"""The network on the card: trained once by the control node, and pushed to each Pi. Here MNIST has 110 digits."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mynn import NeuralNetwork
from tests.support.programs import ROOT
from tests.unit.plugins.test_mnist_fetch import ARCHIVES, FILES, IDX, put

pytestmark = pytest.mark.slow

PLAY = """
- hosts: all
  gather_facts: false
  roles: [networks]
"""


class Pis:
    """Two Pis that are folders of this machine."""

    def __init__(self, folder: Path) -> None:
        self.networks = [folder / name / "networks" / "digits.npz" for name in ("pi-01", "pi-02")]
        self.cache = folder / "cache"
        (folder / "play.yml").write_text(PLAY)
        settings = {
            "networks_folder": f"{folder}/{{{{ inventory_hostname }}}}/networks",
            "networks_cache": f"{self.cache}/networks",
            "mnist_cache": f"{self.cache}/mnist",
            "mnist_mirrors": [put(ARCHIVES, folder / "mirror")],
            "__mnist_files": FILES,
            "__mnist_idx": IDX,
        }
        (folder / "settings.json").write_text(json.dumps(settings))
        self.command = [
            *(str(Path(sys.executable).with_name("ansible-playbook")), f"{folder}/play.yml"),
            *("-i", "pi-01,pi-02,", "-c", "local", "-e", f"@{folder}/settings.json"),
        ]
        self.environment = {name: text for name, text in os.environ.items() if name != "MNIST_MIRRORS"}
        self.environment |= {"ANSIBLE_ROLES_PATH": str(ROOT / "roles"), "COLUMNS": "9999"}
        for network in self.networks:
            network.parent.parent.mkdir()

    def run(self, *options: str) -> tuple[int, str]:
        """Run the role. Returns how many changes it reports for the second Pi, and all that it prints."""
        run = subprocess.run([*self.command, *options], env=self.environment, capture_output=True, text=True)
        printed = run.stdout + run.stderr
        assert run.returncode == 0, printed
        recap = re.search(r"pi-02 .*changed=(\d+)", printed)
        assert recap
        return int(recap[1]), printed


def test_the_role_tells_does_and_rests(tmp_path: Path) -> None:
    pis = Pis(tmp_path)
    assert pis.run("--check", "--diff")[0] == 1
    assert not any(network.parent.exists() for network in pis.networks)

    assert pis.run()[0] == 1
    for path in pis.networks:
        network = NeuralNetwork.load(path)
        assert network.wih.shape == (200, 784) and network.learning_rate == 0.1
        assert path.stat().st_mode & 0o777 == 0o644 and path.parent.stat().st_mode & 0o777 == 0o755

    # Now nothing is needed any more: not MNIST, and one task goes to each Pi.
    changes, printed = pis.run("-e", '{"mnist_mirrors": [], "mnist_cache": "/nowhere"}')
    assert changes == 0
    assert len(re.findall(r"ok: \[pi-02", printed)) == 2, "the settings are checked here"
    assert pis.run("--check", "--diff")[0] == 0

    pis.networks[1].write_bytes(pis.networks[1].read_bytes()[:-1000])
    assert pis.run("--check")[0] == 1
    assert pis.run()[0] == 1
    NeuralNetwork.load(pis.networks[1])
