"""What several verbs take: numbers that make sense, and folders of data."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from mynn import checks
from mynn.mnist import mnist_folder


def whole(least: int = 0, most: int | None = None) -> Callable[[str], int]:
    """Return what makes a whole number from `least` to `most` of a text; anything else is refused."""

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
hidden = whole(1, 100_000)  # hidden nodes: so many take 650 MB


def rate(text: str) -> float:
    """Return the learning rate that a text is, if it makes sense."""
    try:
        return checks.learning_rate(float(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: {error}") from None


def angle(text: str) -> float:
    """Return the angle that a text is: 0 to 180 degrees."""
    with suppress(ValueError):
        if 0 <= float(text) <= 180:  # nan is not
            return float(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not from 0 to 180")


def help_of(parser: argparse.ArgumentParser) -> Callable[[argparse.Namespace], int]:
    """Return what a command runs of which nothing but the name was typed: it prints its help."""

    def run(_: argparse.Namespace) -> int:
        parser.print_help()
        return 0

    return run


def json_option() -> argparse.ArgumentParser:
    """Return a parent for verbs that can answer in JSON."""
    parent = argparse.ArgumentParser(add_help=False)
    parent.add_argument("--json", action="store_true", help="print one JSON object")
    return parent


def data_option() -> argparse.ArgumentParser:
    """Return a parent for verbs that need MNIST (and can answer in JSON)."""
    parent = argparse.ArgumentParser(add_help=False, parents=[json_option()])
    what = "the folder of the MNIST CSVs (%(default)s)"
    parent.add_argument("--data", type=Path, default=mnist_folder(), metavar="FOLDER", help=what)
    return parent
