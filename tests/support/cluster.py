"""A cluster of virtual Pis, and experiments on it, for the tests and the benchmark of a board."""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.classroom import ROOT, Classroom, on, root
from tests.support.ports import free_port

WORKER_PORT = 8785
# 64 jobs.
SWEEP = ("--hidden", "10", "30", "--rate", "0.1", "0.2", "0.3", "0.4", "--seeds", "8")


@dataclass
class ClassCluster:
    """The cluster of some Pis of a classroom, with ports of its own on this computer."""

    classroom: Classroom
    names: Sequence[str]
    folder: Path
    settings: str = field(init=False)

    def __post_init__(self) -> None:
        """Choose its ports."""
        ports = {"cluster_port": free_port(), "cluster_dashboard_port": free_port()}
        self.settings = json.dumps({"cluster_folder": str(self.folder), **ports})

    def playbook(self, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a playbook against these Pis."""
        limit = ",".join(["localhost", *self.names])
        return self.classroom.playbook(name, "--limit", limit, "-e", self.settings, *arguments)

    def run(self, name: str) -> str:
        """Run a playbook against these Pis, which must succeed, and return its output."""
        done = self.playbook(name)
        assert done.returncode == 0
        return done.stdout

    def sweep(self, *arguments: str, jobs: Sequence[str] = SWEEP) -> tuple[str, float]:
        """Return what a sweep on the cluster prints, and how many seconds it takes."""
        return sweep("--scheduler", str(self.folder), *arguments, jobs=jobs)

    def disturb(self) -> None:
        """Kill the second Pi's worker, and freeze the third Pi."""
        root(on(self.classroom, self.names[1]), "systemctl kill --signal=KILL mynn-cluster")
        self.classroom.fleet.container(self.names[2]).freeze(True)

    def recover(self) -> None:
        """Thaw the third Pi."""
        self.classroom.fleet.container(self.names[2]).freeze(False)


def sweep(*arguments: str, jobs: Sequence[str] = SWEEP) -> tuple[str, float]:
    """Return what a sweep prints, and how many seconds it takes."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "mynn", "experiment", "sweep", "--json", "--out", out, *jobs, *arguments]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=3600, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout, time.monotonic() - began
