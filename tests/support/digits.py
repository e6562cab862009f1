"""MNIST on this computer, and a small part of it."""

import json
import os
import subprocess
import sys
from itertools import islice
from pathlib import Path

from mynn.files import locked
from tests.support.programs import ROOT


def mnist_folder() -> Path:
    """Return the folder of MNIST: MNIST_DIR if it has the CSVs, otherwise one that the role mnist fills."""
    folder = Path(os.environ.get("MNIST_DIR") or "nowhere")
    if not all((folder / name).is_file() for name in ("mnist_train.csv", "mnist_test.csv")):
        folder = ROOT / "build/mnist"
        run_role("mnist", {"__mnist_folder": str(folder)})
    return folder


def run_role(name: str, settings: dict[str, str], tasks: str = "main") -> None:
    """Run a role, or one of its files of tasks, on this computer."""
    ansible = (Path(sys.executable).with_name("ansible"), "localhost", "--playbook-dir", "playbooks")
    role = (*ansible, "-m", "include_role", "-a", f"name={name} tasks_from={tasks}", "-e", json.dumps(settings))
    (ROOT / "build").mkdir(exist_ok=True)
    with locked(ROOT / f"build/{name}.lock"):  # the workers of pytest-xdist arrive here at the same time
        subprocess.run(role, cwd=ROOT, check=True)


def copy_digits(mnist: Path, folder: Path, *, training: int, testing: int) -> Path:
    """Copy the first digits of both sets into a folder, and return the folder."""
    for name, count in (("mnist_train.csv", training), ("mnist_test.csv", testing)):
        with (mnist / name).open(encoding="ascii") as file:
            (folder / name).write_text("".join(islice(file, count)), encoding="ascii")
    return folder
