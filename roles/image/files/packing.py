"""Shared by the programs that pack an image: errors, temporary folders, options."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


class PackingError(Exception):
    """A file cannot be made; the message says what is wrong, where, and what to do."""


@contextmanager
def exit_on_error(program: str) -> Iterator[None]:
    """Exit with code 1 and a sentence, not a traceback, on PackingError and OSError."""
    try:
        yield
    except PackingError as error:
        sys.exit(f"{program}: {error}.")
    except OSError as error:
        sys.exit(f"{program}: {error.filename or 'a file'} could not be read or written: {error.strerror}.")


@contextmanager
def scratch_folder(place: Path) -> Iterator[Path]:
    """Make a folder `.NAME.parts` beside a path for unfinished files, and delete that of a killed run."""
    parts = place.with_name(f".{place.name}.parts")
    with suppress(FileNotFoundError):
        shutil.rmtree(parts)
    parts.mkdir(parents=True)
    try:
        yield parts
    finally:
        shutil.rmtree(parts)


def add_image_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that name the image and its date."""
    parser.add_argument("--name", required=True, help="the image's name")
    parser.add_argument("--version", required=True, help="the image's version")
    parser.add_argument("--epoch", type=int, required=True, help="its date (seconds since 1970)")
