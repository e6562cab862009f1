"""What the command line takes: numbers that make sense, and names of pictures."""

from __future__ import annotations

import argparse
from pathlib import Path


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
