"""What the programs that pack an image share: how they end, and that what they make appears whole."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path


class PackingError(Exception):
    """Why a file is not made: what was wrong, where, and what to do."""


@contextmanager
def ends_with_a_sentence(program: str) -> Iterator[None]:
    """End the program where it cannot go on, with a sentence instead of a traceback, and exit code 1."""
    try:
        yield
    except PackingError as error:
        sys.exit(f"{program}: {error}.")
    except OSError as error:
        sys.exit(f"{program}: {error.filename or 'a file'} could not be read or written: {error.strerror}.")


@contextmanager
def unfinished(place: Path) -> Iterator[Path]:
    """Have a folder `.NAME.parts` beside a place, for what is not finished; what a killed run left there goes."""
    parts = place.with_name(f".{place.name}.parts")
    shutil.rmtree(parts, ignore_errors=True)
    parts.mkdir(parents=True)
    try:
        yield parts
    finally:
        shutil.rmtree(parts)


def need(programs: Mapping[str, str]) -> None:
    """Raise PackingError unless all programs are there; each is given with Debian's package that has it."""
    missing = sorted({package for program, package in programs.items() if not shutil.which(program)})
    if missing:
        raise PackingError(f"programs are missing: apt install {' '.join(missing)}")


def name_of_image(parser: argparse.ArgumentParser) -> None:
    """Let a command line say which image is meant, and its date."""
    parser.add_argument("--name", required=True, help="the image's name")
    parser.add_argument("--version", required=True, help="the image's version")
    parser.add_argument("--epoch", type=int, required=True, help="its date (seconds since 1970)")
