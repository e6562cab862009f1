"""Fingerprint of the kernel's sources, to detect an outdated library. setup.py runs this, perhaps without numpy."""

from __future__ import annotations

import zlib
from pathlib import Path


def sources_of(folder: Path) -> str:
    """Return the name of the kernel's marker function, which contains a checksum of the sources in this folder.

    Without sources, as in a wheel, return only the prefix, which is the same in every kernel.
    """
    sources = sorted(folder.glob("*.[ch]"))
    content = b"".join(path.read_bytes() for path in [*sources, *folder.parents[1].glob("setup.py")])
    return f"mynn_sources_{zlib.crc32(content):08x}" if sources else "mynn_sources_"
