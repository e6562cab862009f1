"""Pages from templates. Text in them is escaped, and those in templates/ load nothing and run no script."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ansible_collections.mynn.pi.plugins.module_utils.text import printable_lines

TEMPLATES = Path(__file__).parent / "templates"


def render(
    name: str,
    parts: dict[str, Any],
    *,
    filters: dict[str, Callable[..., Any]] | None = None,
    folder: Path = TEMPLATES,
) -> str:
    """Return a page from a folder's NAME.html.j2. Text among the parts is escaped. NAME.css is its style."""
    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        finalize=lambda part: printable_lines(part) if isinstance(part, str) and not isinstance(part, Markup) else part,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= filters or {}
    return environment.get_template(f"{name}.html.j2").render(parts, style=f"{name}.css")
