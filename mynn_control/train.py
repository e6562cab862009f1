"""Train the networks that come with the lessons, on the control node, and pack digits for training in browsers.

    python -m mynn_control.train ARCHIVE FOLDER

ARCHIVE is the MNIST archive that the module mnist makes. FOLDER must not exist yet. It gets digits.npz, the lessons'
network, and in the folder try, files for the page /try/: a small network, and digits (a label and 784 pixels of a byte
each), compressed here once. It appears whole or not at all, so several runs may train at once. The same seed makes the
same networks, apart from the computer's rounding.
"""

from __future__ import annotations

import gzip
import io
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mynn import NeuralNetwork

PROJECT = Path(__file__).resolve().parents[1]
HIDDEN_NODES, SMALL, LEARNING_RATE, EPOCHS, SEED = 200, 50, 0.1, 5, 1
FINEST = 1 / 256  # rounding step of the small network's weights: 67 kB instead of 150, as accurate on 10,000 digits
DIGITS = {"digits.bin": ("mnist_train.csv.npy", 10_000), "test.bin": ("mnist_test.csv.npy", 1_000)}


def rows(archive: Path, name: str) -> Any:
    """Return a file of the MNIST archive, shape (n, 785)."""
    import numpy as np

    with tarfile.open(archive, "r:gz") as tar:
        packed = tar.extractfile(name)
        assert packed, "the role mnist has checked the archive"
        return np.load(io.BytesIO(packed.read()))


def train(training: Any, hidden_nodes: int) -> NeuralNetwork:
    """Return a network trained on rows of digits, shape (n, 785)."""
    from mynn import Examples, NeuralNetwork

    network = NeuralNetwork(784, hidden_nodes, 10, LEARNING_RATE, seed=SEED)
    network.fit(Examples(training[:, 0], training[:, 1:]), epochs=EPOCHS)
    return network


def make(archive: Path, folder: Path) -> None:
    """Write all files into an empty folder."""
    import numpy as np

    from mynn.checkpoint import for_browser

    training = rows(archive, "mnist_train.csv.npy")
    train(training, HIDDEN_NODES).save(folder / "digits.npz")
    page = folder / "try"
    page.mkdir()
    small = train(training, SMALL)
    files = {"network.bin": for_browser(*(np.rint(weights / FINEST) * FINEST for weights in (small.wih, small.who)))}
    files |= {name: rows(archive, source)[:count].tobytes() for name, (source, count) in DIGITS.items()}
    for name, content in files.items():
        # Level 9 takes twenty times as long for 2 % less.
        (page / f"{name}.gz").write_bytes(gzip.compress(content, 6, mtime=0))


def main() -> None:
    """Make the files in a temporary folder, and rename it at the end."""
    archive, folder = (Path(argument).expanduser() for argument in sys.argv[1:])
    # Build the compiled kernel if there is a compiler: training then takes ten seconds instead of a minute.
    build = [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"]
    subprocess.run(build, cwd=PROJECT, check=False, capture_output=True)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # our networks are too small for a second thread
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".training-") as temporary:
        made = Path(temporary, "made")
        made.mkdir()
        make(archive, made)
        try:
            made.rename(folder)
        except OSError:
            if not folder.is_dir():  # otherwise another run was quicker
                raise


if __name__ == "__main__":
    main()
