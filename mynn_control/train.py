"""Train the network that comes with the lessons, on the control node.

    python -m mynn_control.train CACHE FOLDER

CACHE has MNIST's archive, as the module mnist_fetch makes it. FOLDER must not exist yet, and will hold the network,
digits.npz: it appears whole or not at all, so several runs may train at once. The same seed makes the same network, but
for the computer's rounding.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
HIDDEN_NODES, LEARNING_RATE, EPOCHS, SEED = 200, 0.1, 5, 1


def train(archive: Path, place: Path) -> None:
    """Train on all of MNIST's training digits, and save the network."""
    # With the compiled kernel, wherever there is a compiler; without, it takes a minute instead of ten seconds.
    build = [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"]
    subprocess.run(build, cwd=PROJECT, check=False, capture_output=True)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # a network of ours is too small to be worth a second thread
    import numpy as np

    from mynn import Examples, NeuralNetwork

    with tarfile.open(archive, "r:gz") as tar:
        packed = tar.extractfile("mnist_train.csv.npy")
        assert packed, "the role mnist has checked the archive"
        rows = np.load(io.BytesIO(packed.read()))
    network = NeuralNetwork(784, HIDDEN_NODES, 10, LEARNING_RATE, seed=SEED)
    network.fit(Examples(rows[:, 0], rows[:, 1:]), epochs=EPOCHS)
    network.save(place)


def main() -> None:
    """Train, and let the folder appear at the end."""
    cache, folder = (Path(argument).expanduser() for argument in sys.argv[1:])
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".training-") as temporary:
        made = Path(temporary, "made")
        made.mkdir()
        train(cache / "mnist.tar.gz", made / "digits.npz")
        try:
            made.rename(folder)
        except OSError:
            if not folder.is_dir():  # otherwise another run was quicker
                raise


if __name__ == "__main__":
    main()
