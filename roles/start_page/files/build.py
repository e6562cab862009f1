#!/usr/bin/env python3
"""Pack the start page on the control node.

    build.py PROJECT

Prints the archive's path, PROJECT/build/start_page.zip. The same sources give the same archive, so nothing is sent to a
Pi that has it.
"""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time in a zip file


def main() -> None:
    """Write the archive, and print its path."""
    archive = Path(sys.argv[1]).resolve() / "build/start_page.zip"
    archive.parent.mkdir(exist_ok=True)
    new = archive.with_suffix(".new")
    with zipfile.ZipFile(new, "w") as packed:
        for name in ("kernel_parent.py", "kernels.py", "start_page.py"):
            packed.writestr(zipfile.ZipInfo(name, EPOCH), (HERE / name).read_bytes())
        for path in sorted(path for path in (HERE / "page").rglob("*") if path.is_file()):
            entry = zipfile.ZipInfo(path.relative_to(HERE / "page").as_posix(), EPOCH)
            packed.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED, 9)
    new.replace(archive)
    print(archive, end="")


if __name__ == "__main__":
    main()
