"""Of which sources a compiled kernel was built. setup.py runs this file too, where numpy may be missing."""

from __future__ import annotations

import zlib
from pathlib import Path

FUNCTIONS = ["mynn_level", "mynn_moments", "mynn_resample", "mynn_sources"]
FUNCTIONS += [f"mynn_{verb}_{real}" for verb in ("train", "query") for real in ("double", "float")]


def name_of(folder: Path) -> str:
    """Return what a kernel built of the sources in this folder has in it; "" where there are none, as in a wheel.

    By their contents: git gives files other times when it checks them out, and an archive gives them old ones.
    """
    total, sources = 0, sorted(folder.glob("*.[ch]"))
    for path in [*sources, folder.parents[1] / "setup.py"] if sources else []:
        total = zlib.crc32(path.read_bytes(), total)
    return f"mynn_{total:08x}" if sources else ""


def is_of(library: Path, folder: Path) -> bool:
    """Whether a library was built of the sources in this folder; true if it has none."""
    return name_of(folder).encode() in library.read_bytes()
