"""Self-contained pages, from the templates in templates/. They load nothing, and run no script but ours."""

from __future__ import annotations

import base64
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ansible_collections.mynn.pi.plugins.module_utils.text import printable_lines

TEMPLATES = Path(__file__).parent / "templates"


def render(name: str, parts: dict[str, Any], *, filters: dict[str, Callable[..., Any]] | None = None) -> str:
    """Return a page from NAME.html.j2, in the frame of page.html.j2. Text among the parts is escaped.

    NAME.css is its style. Its script, if there is NAME.js, follows live_page.js.
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        finalize=lambda part: printable_lines(part) if isinstance(part, str) and not isinstance(part, Markup) else part,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= filters or {}
    return environment.get_template(f"{name}.html.j2").render(parts, style=f"{name}.css")


def script(*names: str) -> dict[str, Any]:
    """Return the parts of a live page that are its script, and the script's checksum."""
    text = "".join((TEMPLATES / name).read_text(encoding="utf-8") for name in names)
    return {"script": Markup(text), "script_sum": base64.b64encode(sha256(text.encode()).digest()).decode()}
