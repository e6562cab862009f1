"""Of which sources a compiled kernel is. setup.py runs this file, too, where numpy may be missing."""

from __future__ import annotations

import zlib
from pathlib import Path


def sources_of(folder: Path) -> str:
    """Return the name, by their contents, of the kernel's sources in this folder: a function that the kernel has.

    Where there are none, as in a wheel, it is the beginning of that name.
    """
    sources = sorted(folder.glob("*.[ch]"))
    content = b"".join(path.read_bytes() for path in [*sources, *folder.parents[1].glob("setup.py")])
    return f"mynn_sources_{zlib.crc32(content):08x}" if sources else "mynn_sources_"
