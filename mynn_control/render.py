"""Pages from templates: labels, and the desk's, in the class's language. Text in them is escaped."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from ansible_collections.mynn.pi.plugins.module_utils.text import printable_lines
from mynn_control.words import _, colon, in_figures, language, ngettext, safe


def shown(text: str) -> str:
    """Return a text as pages show it: safe, with its lines."""
    return safe(text, printable_lines)


def part(value: Any) -> Any:
    """Return a part of a page as it is shown. Only what is marked as HTML is HTML."""
    return shown(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def gettext(text: str, **places: Any) -> Markup:
    """Return what stands in a template between {% trans %} and {% endtrans %}, in the class's language."""
    return Markup(_(text)) % {name: part(value) for name, value in places.items()}


ENVIRONMENT = Environment(
    autoescape=True,
    extensions=["jinja2.ext.i18n"],
    finalize=part,
    loader=FileSystemLoader([Path(__file__).parent / name for name in ("templates", "desk/templates")]),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
ENVIRONMENT.policies["ext.i18n.trimmed"] = True
ENVIRONMENT.install_gettext_callables(_, ngettext, newstyle=True)  # type: ignore[attr-defined]
ENVIRONMENT.globals |= {"_": _, "gettext": gettext, "language": language}  # Jinja's own would not use `part`
ENVIRONMENT.filters["figures"] = in_figures
# The desk's buttons for commands: as they are in its templates, from which the catalogs have them.
BUTTONS = {"adopt": "Adopt", "collect": "Collect", "handout": "Hand out", "labels": "Labels", "reset": "Reset"}
BUTTONS |= {"restore": "Restore", "site": "Set up", "update": "Update", "verify": "Verify"}
BUTTONS["reset DISCARD=yes"] = "Reset, and discard what was not collected"


def for_templates(*functions: Callable[..., Any]) -> None:
    """Let templates use functions, as filters of their names."""
    ENVIRONMENT.filters |= {function.__name__: function for function in functions}


def render(name: str, parts: dict[str, Any]) -> str:
    """Return a page from NAME.html.j2. Text among the parts is escaped."""
    return ENVIRONMENT.get_template(f"{name}.html.j2").render(parts)


def marked(text: str) -> Markup:
    """Return a sentence as HTML, with the desk's buttons in place of commands in backquotes; others are code."""
    return Markup(re.sub("`(.*?)`", _command, str(escape(shown(text)))))


def _command(found: re.Match[str]) -> str:
    label = BUTTONS.get(found[1].removeprefix("make ").partition(" PI=")[0].partition(" FROM=")[0])
    return f"<em>{escape(_(label))}</em>" if label else f"<code>{found[1]}</code>"


for_templates(colon, marked)
