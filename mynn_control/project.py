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


def address(page: str = "Source", project: Path = ROOT) -> str:
    """Return the address of a page of the project; "" if it is not published.

    Source is the project itself, which git clones, too. Homepage is the first page of its newest release.
    """
    about = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))
    return str(about["project"]["urls"].get(page, ""))
