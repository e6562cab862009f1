"""The project's address, which stands in pyproject.toml."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def address(page: str = "Source") -> str:
    """Return where the project is, for people and git, or another page of `urls`; "" if it is not published."""
    about = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return str(about["project"]["urls"].get(page, ""))
