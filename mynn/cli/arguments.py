"""What several verbs take: numbers that make sense, names of pictures, folders of data, files of networks."""

from __future__ import annotations

import argparse
from pathlib import Path

from mynn.mnist import mnist_folder

NETWORK = Path("my_network.npz")  # where to look for a network if none is named, and what the lessons call theirs


def whole(text: str, least: int = 0) -> int:
    """Return the whole number that a text is, if it is not less than the least; anything else is refused."""
    number = int(text)
    if number < least:
        raise argparse.ArgumentTypeError(f"{text} is less than {least}")
    return number


def positive(text: str) -> int:
    """Return the whole number from 1 on that a text is."""
    return whole(text, 1)


def picture_name(text: str) -> Path:
    """Return the path of a picture to be written, which the command line names."""
    if not text.lower().endswith(".png"):
        raise argparse.ArgumentTypeError(f"{text} does not end in .png")
    return Path(text)


def json_option() -> argparse.ArgumentParser:
    """Return a parent for verbs that can answer in JSON."""
    parent = argparse.ArgumentParser(add_help=False)
    parent.add_argument("--json", action="store_true", help="print one JSON object")
    return parent


def data_option() -> argparse.ArgumentParser:
    """Return a parent for verbs that need MNIST (and can answer in JSON)."""
    parent = argparse.ArgumentParser(add_help=False, parents=[json_option()])
    parent.add_argument(
        "--data",
        type=Path,
        default=mnist_folder(),
        metavar="FOLDER",
        help="the folder of the MNIST CSVs (%(default)s)",
    )
    return parent


def network_option() -> argparse.ArgumentParser:
    """Return a parent for verbs that need a trained network."""
    parent = argparse.ArgumentParser(add_help=False)
    parent.add_argument(
        "--network",
        type=Path,
        default=NETWORK,
        metavar="FILE",
        help="what `mynn train --save FILE` wrote (%(default)s)",
    )
    return parent
