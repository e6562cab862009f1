"""HTML pages from Jinja templates, in the class's language: labels, and pages of the desk. Text is escaped."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from ansible_collections.mynn.pi.plugins.module_utils.text import printable_lines
from mynn_control.translation import _, colon, in_figures, language, ngettext, safe


def shown(text: str) -> str:
    """Return a text for a page: safe to show, with its line breaks."""
    return safe(text, printable_lines)


def part(value: Any) -> Any:
    """Return a value for a page. Only Markup is taken as HTML."""
    return shown(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def gettext(text: str, **places: Any) -> Markup:
    """Return a template's text between {% trans %} and {% endtrans %}, in the class's language."""
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
ENVIRONMENT.globals |= {"_": _, "gettext": gettext, "language": language}  # Jinja's own gettext does not use `part`
ENVIRONMENT.filters["figures"] = in_figures
# Labels of the desk's buttons, by command. Its templates have the same ones, so the catalogs do, too.
BUTTONS = {"adopt": "Adopt", "collect": "Collect", "handout": "Hand out", "labels": "Labels", "reset": "Reset"}
BUTTONS |= {"restore": "Restore", "site": "Set up", "update": "Update", "verify": "Verify"}
BUTTONS["reset DISCARD=yes"] = "Reset, and discard what was not collected"


def for_templates(*functions: Callable[..., Any]) -> None:
    """Register functions as filters of templates, under their own names."""
    ENVIRONMENT.filters |= {function.__name__: function for function in functions}


def render(name: str, parts: dict[str, Any]) -> str:
    """Return the page of the template NAME.html.j2. Text in `parts` is escaped."""
    return ENVIRONMENT.get_template(f"{name}.html.j2").render(parts)


def with_buttons(text: str) -> Markup:
    """Return a sentence as HTML: commands in backquotes become names of the desk's buttons, or else code."""
    return Markup(re.sub("`(.*?)`", _command, str(escape(shown(text)))))


def _command(found: re.Match[str]) -> str:
    label = BUTTONS.get(found[1].removeprefix("make ").partition(" PI=")[0].partition(" FROM=")[0])
    return f"<em>{escape(_(label))}</em>" if label else f"<code>{found[1]}</code>"


for_templates(colon, with_buttons)
