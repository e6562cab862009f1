"""Language of a student's pages and kernels: the class's default, until the student chooses on the start page.

It is an environment variable of the server, read by `mynn.translation` at once and inherited by each new kernel.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from mynn.files import write_text
from mynn.translation import LANGUAGES, VARIABLE
from mynn_server.linux import read_regular

CHOICE = ".language"  # in the student's folder
JUPYTERS = {"de": "de_DE", "fr": "fr_FR", "es": "es_ES"}  # Jupyter's language packs, which a Pi has


def recall(folder: Path) -> None:
    """Set the language that the student chose before. The student can change the file, so it may hold anything."""
    with suppress(OSError, UnicodeDecodeError):
        if (code := read_regular(folder / CHOICE, 10).decode().strip()) in LANGUAGES:
            os.environ[VARIABLE] = code


def choose(folder: Path, code: str) -> None:
    """Set a language and store it. OSError: the file cannot be written. ValueError: there is no such language."""
    if code not in LANGUAGES:
        raise ValueError(f"there is no language {code!r}")
    write_text(folder / CHOICE, code)
    os.environ[VARIABLE] = code


def is_ours(folder: str) -> bool:
    """Return whether a folder in the student's folder holds translated lessons."""
    return folder != "en" and folder in LANGUAGES
