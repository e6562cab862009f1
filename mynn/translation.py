"""Translation by gettext: texts are in English in the code, and their translations in `locale/`.

    print(_("There are {count} digits.").format(count=len(digits)))
    print(ngettext("{count} task", "{count} tasks", count).format(count=count))

The environment variable MYNN_LANGUAGE sets the language. Without it, or without a translation, texts stay English.
"""

from __future__ import annotations

import os
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gettext import GNUTranslations

VARIABLE = "MYNN_LANGUAGE"
# Language code → the language's own name. locale/ has a folder for each language but English.
LANGUAGES = {"en": "English", "de": "Deutsch", "fr": "Français", "es": "Español"}
CATALOGS = Path(__file__).parent / "catalogs"


def language() -> str:
    """Return the code of the reader's language."""
    code = os.environ.get(VARIABLE, "")
    return code if code in LANGUAGES else "en"


def lessons_folder(folder: Path) -> str:
    """Return the subfolder of lessons in the reader's language, such as "de/", or "" for the folder itself."""
    return f"{language()}/" if language() != "en" and (folder / language()).is_dir() else ""


def _(text: str, folder: Path | None = None) -> str:
    """Return a text in the reader's language. The caller fills its {placeholders} with `format`.

    folder: the folder of catalogs, if not mynn's
    """
    catalog = _catalog(folder or CATALOGS, language())
    return catalog.gettext(text) if catalog and text else text  # "" would return the catalog's header


def ngettext(one: str, many: str, count: int, folder: Path | None = None) -> str:
    """Return the singular or plural text for a number, in the reader's language."""
    catalog = _catalog(folder or CATALOGS, language())
    if catalog is None:
        return one if count == 1 else many
    return catalog.ngettext(one, many, count)


def N_(text: str) -> str:
    """Return a text unchanged, like gettext_noop: extraction finds it here, and `_` translates it where it is used."""
    return text


def browser_catalog() -> str:
    """Return the catalog in the reader's language for translation.js, as JavaScript."""
    path = CATALOGS / f"{language()}.js"
    return (path if path.exists() else Path(__file__).with_name("catalog.js")).read_text(encoding="utf-8")


def in_figures(text: str) -> str:
    """Convert a number in Python's notation, such as "12,345.6" or "93.8%", to that of the reader's language."""
    if language() == "en":
        return text
    text = re.sub(r"(?<!\d)(\d),(\d{3})(?![\d,])", r"\1\2", text)  # four digits are not grouped
    text = re.sub(r" ?%$", "\N{NO-BREAK SPACE}%", text)
    return text.translate({ord(","): "\N{NARROW NO-BREAK SPACE}", ord("."): ","})


@cache
def _catalog(folder: Path, code: str) -> GNUTranslations | None:
    path = folder / f"{code}.mo"
    if not path.exists():  # English has none
        return None
    from gettext import GNUTranslations  # imported late: each module costs a Pi Zero time

    with path.open("rb") as file:
        return GNUTranslations(file)
