"""The network on the card: trained once on the control node, here on the small MNIST, and copied to each Pi."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mynn import NeuralNetwork
from tests.support.local_pis import NAMES, LocalPis
from tests.support.small_mnist import FILES, IDX, make_mirror

pytestmark = pytest.mark.slow


class Pis(LocalPis):
    """Two Pis that do not have the network yet."""

    def __init__(self, folder: Path) -> None:
        self.networks = [folder / name / "networks" / "digits.npz" for name in NAMES]
        settings = {
            "networks_folder": f"{folder}/{{{{ inventory_hostname }}}}/networks",
            "__mynn_networks": f"{folder}/cache/networks",
            "mnist_cache": f"{folder}/cache/mnist",
            "mnist_mirrors": [make_mirror(folder / "mirror")],
            "__mnist_files": FILES,
            "__mnist_idx": IDX,
        }
        super().__init__(folder, "mynn", settings)
        task = {"ansible.builtin.import_role": {"name": "mynn", "tasks_from": "network"}}
        (folder / "play.yml").write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": [task]}]))
        for network in self.networks:
            network.parent.parent.mkdir()

    def changes(self, *options: str) -> int:
        """Run the tasks; count the second Pi's changes, as the first one's include those on the control node."""
        return self.run(*options, pi=NAMES[1])[0]


def test_check_mode_first_run_second_run_and_repair(tmp_path: Path) -> None:
    pis = Pis(tmp_path)
    assert pis.changes("--check", "--diff") == 1
    assert not any(network.parent.exists() for network in pis.networks)

    assert pis.changes() == 1
    for path in pis.networks:
        network = NeuralNetwork.load(path)
        assert network.wih.shape == (200, 784) and network.learning_rate == 0.1
        assert path.stat().st_mode & 0o777 == 0o644 and path.parent.stat().st_mode & 0o777 == 0o755

    # Now MNIST is no longer needed.
    assert pis.changes("-e", '{"mnist_mirrors": [], "mnist_cache": "/nowhere"}') == 0

    pis.networks[1].write_bytes(pis.networks[1].read_bytes()[:-1000])
    assert pis.changes("--check") == 1
    assert pis.changes() == 1
    NeuralNetwork.load(pis.networks[1])
