"""argparse types and parent parsers that several verbs share."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from mynn import checks
from mynn.mnist import mnist_folder


def whole(least: int = 0, most: int | None = None) -> Callable[[str], int]:
    """Return an argparse type for whole numbers from `least` to `most`."""

    def convert(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
        if number < least:
            raise argparse.ArgumentTypeError(f"{text} is less than {least}")
        if most is not None and number > most:
            raise argparse.ArgumentTypeError(f"{text} is more than {most}")
        return number

    return convert


natural = whole()
positive = whole(1)
hidden = whole(1, 100_000)  # hidden nodes: 100,000 take 650 MB in float64


def rate(text: str) -> float:
    """Convert text to a valid learning rate (argparse type)."""
    try:
        return checks.learning_rate(float(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: {error}") from None


def angle(text: str) -> float:
    """Convert text to an angle, 0 to 180 degrees (argparse type)."""
    with suppress(ValueError):
        if 0 <= float(text) <= 180:  # also refuses nan
            return float(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not from 0 to 180")


def json_option() -> argparse.ArgumentParser:
    """Return a parent parser with --json."""
    parent = argparse.ArgumentParser(add_help=False)
    parent.add_argument("--json", action="store_true", help="print one JSON object")
    return parent


def data_option() -> argparse.ArgumentParser:
    """Return a parent parser with --data (the MNIST folder) and --json."""
    parent = argparse.ArgumentParser(add_help=False, parents=[json_option()])
    what = "the folder of the MNIST CSVs (%(default)s)"
    parent.add_argument("--data", type=Path, default=mnist_folder(), metavar="FOLDER", help=what)
    return parent
