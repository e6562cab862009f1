import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]

# What the tests start, kernels for one, is to import mynn from this tree.
os.environ["PYTHONPATH"] = str(PROJECT)


@pytest.fixture(scope="session")
def mnist() -> Path:
    """The folder of the MNIST CSVs: MNIST_DIR if it holds them, else what the role mnist fetches."""
    folder = Path(os.environ.get("MNIST_DIR") or "nowhere")
    if all((folder / name).is_file() for name in ("mnist_train.csv", "mnist_test.csv")):
        return folder
    fetch = PROJECT / "roles/mnist/library/mnist_fetch.py"
    run = subprocess.run([sys.executable, fetch], check=True, stdout=subprocess.PIPE, text=True)
    return Path(run.stdout.strip())
