"""What teachers read, in the class's language: as in mynn.words, from a catalog of its own, `desk`."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from ansible_collections.mynn.pi.plugins.module_utils.text import printable
from mynn import words
from mynn.words import in_figures, language, marked

CATALOGS = Path(__file__).parent / "catalogs"
GAP = re.compile("([\N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}])")  # in numbers, and in French before a colon


def _(text: str) -> str:
    """Return a text in the class's language. Its {places} are filled in afterwards, by `format`."""
    return words._(text, CATALOGS)


def ngettext(one: str, many: str, count: int) -> str:
    """Return the one of two texts that belongs to a number, in the class's language."""
    return words.ngettext(one, many, count, CATALOGS)


def colon(text: str) -> str:
    """Return a text with a colon, before which French has a gap."""
    return _("{text}:").format(text=text)


def safe(text: object, show: Callable[[str], str] = lambda part: printable(part, 1000)) -> str:
    """Return a sentence as one of the functions that make text safe to print shows it, but with its gaps."""
    return "".join(part if GAP.fullmatch(part) else show(part) for part in GAP.split(str(text)))


__all__ = ["_", "colon", "in_figures", "language", "marked", "ngettext", "safe"]
