"""Pages from templates: labels, and the desk's, in the class's language. Text in them is escaped."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from ansible_collections.mynn.pi.plugins.module_utils.text import printable_lines
from mynn_control import page_words
from mynn_control.words import _, colon, in_figures, language, safe

FOLDERS = [Path(__file__).parent / name for name in ("templates", "desk/templates")]


class Templates(FileSystemLoader):
    """Loads a template in the class's language."""

    def get_source(self, environment: Environment, template: str) -> tuple[str, str, Callable[[], bool]]:
        """Return it, translated before it is compiled."""
        source, path, unchanged = super().get_source(environment, template)
        if language() != "en" and template.endswith(".j2"):
            source = page_words.translated(source, _).replace('<html lang="en-GB"', f'<html lang="{language()}"')
        return source, path, unchanged


def shown(text: str) -> str:
    """Return a text as pages show it: safe, with its lines."""
    return safe(text, printable_lines)


ENVIRONMENT = Environment(
    autoescape=True,
    finalize=lambda part: shown(part) if isinstance(part, str) and not isinstance(part, Markup) else part,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
ENVIRONMENT.globals["_"], ENVIRONMENT.filters["figures"] = _, in_figures
# The desk's buttons for commands: as they are in its templates, from which the catalogs have them.
BUTTONS = {"adopt": "Adopt", "collect": "Collect", "handout": "Hand out", "labels": "Labels", "reset": "Reset"}
BUTTONS |= {"restore": "Restore", "site": "Set up", "update": "Update", "verify": "Verify"}
BUTTONS["reset DISCARD=yes"] = "Reset, and discard what was not collected"


def for_templates(*functions: Callable[..., Any]) -> None:
    """Let templates use functions, as filters of their names."""
    ENVIRONMENT.filters |= {function.__name__: function for function in functions}


@cache
def _environment(_language: str) -> Environment:
    """Return the templates of a language, each of which is compiled once."""
    return ENVIRONMENT.overlay(loader=Templates(FOLDERS))


def render(name: str, parts: dict[str, Any]) -> str:
    """Return a page from NAME.html.j2. Text among the parts is escaped."""
    return _environment(language()).get_template(f"{name}.html.j2").render(parts)


def marked(text: str) -> Markup:
    """Return a sentence as HTML, with the desk's buttons in place of commands in backquotes; others are code."""
    return Markup(re.sub("`(.*?)`", _command, str(escape(shown(text)))))


def _command(found: re.Match[str]) -> str:
    label = BUTTONS.get(found[1].removeprefix("make ").partition(" PI=")[0].partition(" FROM=")[0])
    return f"<em>{escape(_(label))}</em>" if label else f"<code>{found[1]}</code>"


for_templates(colon, marked)
