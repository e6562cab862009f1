#!/usr/bin/env python3
"""Build the package's wheel on the control node, unless this very tree was built before.

    build.py PROJECT FOLDER

Prints the wheel's path: FOLDER/SUM-OF-THE-SOURCES/mynn-VERSION-py3-none-any.whl. It appears whole or not at all, so
several runs may build at once.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path


def sources(project: Path) -> list[Path]:
    """Return what the wheel is made of."""
    return [project / "pyproject.toml", project / "LICENSE", *sorted((project / "mynn").rglob("*.py"))]


def build(project: Path, to: Path) -> None:
    """Build in a copy: a build leaves files beside the sources, and would pack what an earlier one left."""
    copy = to / "source"
    for path in sources(project):
        target = copy / path.relative_to(project)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet"]
    offline = ["--no-index", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, *offline, "--wheel-dir", str(to / "wheel"), str(copy)], check=True)


def main() -> None:
    """Find or build the wheel, and print where it is."""
    project, folder = (Path(argument).resolve() for argument in sys.argv[1:])
    total = hashlib.sha256()
    for path in sources(project):
        total.update(str(path.relative_to(project)).encode() + b"\0" + path.read_bytes())
    built = folder / total.hexdigest()[:12]
    if not built.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".building-") as temporary:
            build(project, Path(temporary))
            try:
                Path(temporary, "wheel").rename(built)
            except OSError:
                if not built.is_dir():  # otherwise another run was quicker
                    raise
    [wheel] = built.glob("*.whl")
    print(wheel)


if __name__ == "__main__":
    main()
