"""The language of a student's pages and programs: the class's, until the student chooses another on the start page.

It is in the server's environment, where `mynn.words` finds it: there at once, and in each kernel that is started.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from mynn.files import write_text
from mynn.words import LANGUAGES, VARIABLE
from mynn_server.linux import read_regular

CHOICE = ".language"  # in the student's folder


def recall(folder: Path) -> None:
    """Take the language that the student has chosen. The file is the student's: anything may be in its place."""
    with suppress(OSError, UnicodeDecodeError):
        if (code := read_regular(folder / CHOICE, 10).decode().strip()) in LANGUAGES:
            os.environ[VARIABLE] = code


def choose(folder: Path, code: str) -> None:
    """Take a language, and remember it. OSError: it cannot be written. ValueError: there is no such language."""
    if code not in LANGUAGES:
        raise ValueError(f"there is no language {code!r}")
    write_text(folder / CHOICE, code)
    os.environ[VARIABLE] = code


def is_ours(folder: str) -> bool:
    """Return whether a folder in the student's folder is that of a language's lessons."""
    return folder != "en" and folder in LANGUAGES
