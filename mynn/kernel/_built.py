"""Fingerprint of the kernel's sources, to detect an outdated library. setup.py runs this, perhaps without numpy."""

from __future__ import annotations

import zlib
from pathlib import Path


def sources_of(folder: Path) -> str:
    """Return the name, with a checksum of the sources in this folder, of an empty function in each compiled kernel.

    Without sources, as in a wheel, return only its prefix, which every kernel contains.
    """
    sources = sorted(folder.glob("*.[ch]"))
    content = b"".join(path.read_bytes() for path in [*sources, *folder.parents[1].glob("setup.py")])
    return f"mynn_sources_{zlib.crc32(content):08x}" if sources else "mynn_sources_"
