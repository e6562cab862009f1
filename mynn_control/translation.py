"""Translations for teachers, into the class's language: like mynn.translation, with the catalog `desk`."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from ansible_collections.mynn.pi.plugins.module_utils.text import printable
from mynn import translation
from mynn.translation import N_, in_figures, language

CATALOGS = Path(__file__).parent / "catalogs"
GAP = re.compile("([\N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}])")  # in numbers, and in French before a colon


def _(text: str) -> str:
    """Return a text in the class's language. The caller fills in its {places} with `format`."""
    return translation._(text, CATALOGS)


def ngettext(one: str, many: str, count: int) -> str:
    """Return the singular or the plural for a number, in the class's language."""
    return translation.ngettext(one, many, count, CATALOGS)


def colon(text: str) -> str:
    """Return a text with a colon; French has a gap before it."""
    return _("{text}:").format(text=text)


def safe(text: object, show: Callable[[str], str] = lambda part: printable(part, 1000)) -> str:
    """Return a sentence that `show` has made safe to print, with its non-breaking spaces kept."""
    return "".join(part if GAP.fullmatch(part) else show(part) for part in GAP.split(str(text)))


__all__ = ["N_", "_", "colon", "in_figures", "language", "ngettext", "safe"]
