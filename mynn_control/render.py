"""Pages from templates: labels, and the desk's. Text in them is escaped."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from ansible_collections.mynn.pi.plugins.module_utils.text import printable_lines

FOLDERS = [Path(__file__).parent / name for name in ("templates", "desk/templates")]
ENVIRONMENT = Environment(  # one for all, which compiles each template once
    loader=FileSystemLoader(FOLDERS),
    autoescape=True,
    finalize=lambda part: printable_lines(part) if isinstance(part, str) and not isinstance(part, Markup) else part,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
# The desk's buttons for commands.
BUTTONS = {"adopt": "Adopt", "collect": "Collect", "labels": "Labels", "restore": "Restore", "site": "Set up"}
BUTTONS |= {"update": "Update", "verify": "Verify", "reset DISCARD=yes": "Reset, and discard what was not collected"}


def for_templates(*functions: Callable[..., Any]) -> None:
    """Let templates use functions, as filters of their names."""
    ENVIRONMENT.filters |= {function.__name__: function for function in functions}


def render(name: str, parts: dict[str, Any]) -> str:
    """Return a page from NAME.html.j2. Text among the parts is escaped."""
    return ENVIRONMENT.get_template(f"{name}.html.j2").render(parts)


def marked(text: str) -> Markup:
    """Return a sentence as HTML, with the desk's buttons in place of commands in backquotes; others are code."""
    return Markup(re.sub("`(.*?)`", _command, str(escape(printable_lines(text)))))


def _command(found: re.Match[str]) -> str:
    label = BUTTONS.get(found[1].removeprefix("make ").partition(" PI=")[0])
    return f"<em>{label}</em>" if label else f"<code>{found[1]}</code>"


for_templates(marked)
