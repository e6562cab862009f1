"""A small MNIST, 130 digits in the real formats, and mirrors that have it."""

from __future__ import annotations

import gzip
import hashlib
import lzma
import random
from pathlib import Path
from typing import Any

from ansible_collections.mynn.pi.plugins.modules import mnist_fetch


def make_mnist() -> dict[str, bytes]:
    """Return the files by name: 110 digits for training and 20 for testing; mostly background, as in the real MNIST."""
    chance = random.Random(7)
    files: dict[str, bytes] = {}
    for part, csv, count in (("train", "mnist_train", 110), ("t10k", "mnist_test", 20)):
        labels = [chance.randrange(10) for _ in range(count)]
        images = [[chance.choice((0, 0, 0, chance.randrange(256))) for _ in range(784)] for _ in range(count)]
        sides = (28).to_bytes(4) * 2
        pixels = b"".join(map(bytes, images))
        files[f"{part}-images-idx3-ubyte"] = b"\0\0\x08\x03" + count.to_bytes(4) + sides + pixels
        files[f"{part}-labels-idx1-ubyte"] = b"\0\0\x08\x01" + count.to_bytes(4) + bytes(labels)
        lines = [",".join(map(str, [label, *image])) for label, image in zip(labels, images, strict=True)]
        small = 100 if part == "train" else 10
        files[f"{csv}.csv"] = ("\n".join(lines) + "\n").encode()
        files[f"{csv}_{small}.csv"] = ("\n".join(lines[:small]) + "\n").encode()
    return files


MNIST = make_mnist()
MNIST |= {name: content for name, content in mnist_fetch.made_from(MNIST) if name.endswith(".npy")}
CONTENTS: dict[str, dict[str, Any]] = {
    name: {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()} for name, content in MNIST.items()
}
IDX = {name: content for name, content in CONTENTS.items() if name.endswith("-ubyte")}
ON_A_PI = {name: content for name, content in MNIST.items() if name not in IDX}
FILES = {name: CONTENTS[name] for name in ON_A_PI}
FORMS: dict[str, dict[str, bytes]] = {
    "gz": {f"{name}.gz": gzip.compress(MNIST[name]) for name in IDX},
    "xz": {f"{name}.xz": lzma.compress(MNIST[name]) for name in IDX},
    "plain": {name: MNIST[name] for name in IDX},
}
ARCHIVES = FORMS["xz"]
IMAGES = "train-images-idx3-ubyte"


def make_mirror(folder: Path, files: dict[str, bytes] = ARCHIVES) -> str:
    """Make a folder that serves as a mirror of these files; return its path."""
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return str(folder)
