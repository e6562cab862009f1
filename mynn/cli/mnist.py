"""`mynn mnist`: convert MNIST's published IDX files to CSV."""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path
from typing import Any

from mynn import mnist
from mynn.errors import DataError, os_errors_as
from mynn.files import replacing

# Number of digits -> name, number of digits in the small CSV, SHA-256 of the full CSV.
PARTS = {
    60_000: ("mnist_train", 100, "fb60bc58af4dac3554e394af262b3184479833d3cc540ff8783f274b73492d5d"),
    10_000: ("mnist_test", 10, "51c292478d94ec3a01461bdfa82eb0885d262eb09e615679b2d69dedb6ad09e7"),
}
OURS = Path(__file__).parents[2] / "roles/mnist/files"  # in a clone of the project
FILES = ("train-images-idx3-ubyte", "t10k-images-idx3-ubyte")


def add(verbs: Any) -> None:
    """Add the verb to the command's parser."""
    verb = verbs.add_parser(
        "mnist",
        help="make the CSVs of MNIST, to train on",
        description=f"Make the CSVs of MNIST in a folder, from its published files {' and '.join(FILES)}, as they are "
        "or compressed (.gz, .xz), with those of the labels beside them. Without FILE, from those in a clone of the "
        "project. The result is checked.",
    )
    verb.add_argument("folder", type=Path, metavar="FOLDER")
    verb.add_argument("files", type=Path, nargs="*", metavar="FILE", default=[OURS / f"{name}.xz" for name in FILES])
    verb.set_defaults(run=_mnist)


def _mnist(options: argparse.Namespace) -> int:
    folder = options.folder
    if missing := [path for path in options.files if not path.exists()]:
        published = f"name MNIST's files as they were published: mynn mnist {folder} {' '.join(FILES)}"
        raise DataError(f"{missing[0]}: no such file; {published}")
    for path in options.files:
        _make(folder, path)
    print(f"MNIST is in {folder}: `mynn train --data {folder}`, or set MNIST_DIR={folder.absolute()} for all commands")
    return 0


def _make(folder: Path, path: Path) -> None:
    """Write the two CSVs of one part, and the array that read_csv caches beside the full one."""
    examples = mnist.read_csv(path)
    name, few, known = PARTS.get(len(examples), ("", 0, ""))
    lines = _lines(examples) if name else []
    if hashlib.sha256(b"".join(lines)).hexdigest() != known:
        raise DataError(f"{path}: these are not MNIST's digits; fetch the file again")
    with os_errors_as("{reason}; choose another folder", path=folder):
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder / f"{name}_{few}.csv", lines[:few])
        _write(folder / f"{name}.csv", lines)
    mnist.read_csv(folder / f"{name}.csv")


def _lines(examples: mnist.Examples) -> list[bytes]:
    text = [b"%d" % value for value in range(256)]
    both = zip(examples.labels.tolist(), examples.pixels, strict=True)
    return [b",".join(map(text.__getitem__, (label, *pixels.tobytes()))) + b"\n" for label, pixels in both]


def _write(path: Path, lines: list[bytes]) -> None:
    """Write a file, unless it exists with these contents. Raises DataError if it has others."""
    if not path.exists():
        with replacing(path) as file:
            file.writelines(lines)
    elif path.read_bytes() != b"".join(lines):
        raise DataError(f"{path}: this file exists and is not MNIST's; choose another folder, or remove it")
