"""A small MNIST, 130 digits in the real formats."""

from __future__ import annotations

import hashlib
import lzma
import random
from pathlib import Path
from typing import Any

from ansible_collections.mynn.pi.plugins.modules import mnist

IMAGES = "train-images-idx3-ubyte.xz"


def make_source(folder: Path) -> Path:
    """Make a folder with the IDX files: 110 digits for training and 20 for testing; mostly background."""
    folder.mkdir(parents=True)
    chance = random.Random(7)
    for part, count in (("train", 110), ("t10k", 20)):
        labels = bytes(chance.randrange(10) for _ in range(count))
        pixels = bytes(chance.choice((0, 0, 0, chance.randrange(256))) for _ in range(784 * count))
        for name, content in (("labels-idx1", bytes(8) + labels), ("images-idx3", bytes(16) + pixels)):
            (folder / f"{part}-{name}-ubyte.xz").write_bytes(lzma.compress(content))
    return folder


def files_of(source: Path) -> dict[str, dict[str, Any]]:
    """Return the size and the sum of each file that is made of these."""
    return {
        name: {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in mnist.contents(source)
    }
