"""The project's version, which stands in mynn/__init__.py, and its address, which stands in pyproject.toml."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def version(project: Path = ROOT) -> str:
    """Return mynn's version, which is also that of images and of a release."""
    text = (project / "mynn/__init__.py").read_text(encoding="utf-8")
    return str(re.findall(r'^__version__ = "(.+)"', text, re.M)[0])


def address(project: Path = ROOT) -> str:
    """Return the address of the project's page, from which git clones it, too; "" if it is not published."""
    about = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))
    return str(about["project"]["urls"].get("Source", ""))
