"""What people read, in their language: English, which stands in the code, or what `locale/` has for it.

    print(_("There are {count} digits.").format(count=len(digits)))
    print(ngettext("{count} task", "{count} tasks", count).format(count=count))

The variable MYNN_LANGUAGE says which language; without it, and where a translation is missing, it is English.
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
# By their codes, as each calls itself; locale/ has a folder for each but English.
LANGUAGES = {"en": "English", "de": "Deutsch", "fr": "Français", "es": "Español"}
CATALOGS = Path(__file__).parent / "catalogs"


def language() -> str:
    """Return the code of the reader's language."""
    code = os.environ.get(VARIABLE, "")
    return code if code in LANGUAGES else "en"


def lessons_folder(folder: Path) -> str:
    """Return where in a folder of lessons those in the reader's language are: "de/", or "" for the folder itself."""
    return f"{language()}/" if language() != "en" and (folder / language()).is_dir() else ""


def _(text: str, folder: Path | None = None) -> str:
    """Return a text in the reader's language. Its {places} are filled in afterwards, by `format`.

    folder: of the catalogs, if not ours.
    """
    catalog = _catalog(folder or CATALOGS, language())
    return catalog.gettext(text) if catalog and text else text  # for "" a catalog has what it says of itself


def ngettext(one: str, many: str, count: int, folder: Path | None = None) -> str:
    """Return the one of two texts that belongs to a number, in the reader's language."""
    catalog = _catalog(folder or CATALOGS, language())
    if catalog is None:
        return one if count == 1 else many
    return catalog.ngettext(one, many, count)


def marked(text: str) -> str:
    """Return a text as it is: it is translated by `_` where it is used, and goes into the catalogs from here."""
    return text


def browser_catalog() -> str:
    """Return what words.js needs for the reader's language, as JavaScript."""
    path = CATALOGS / f"{language()}.js"
    return (path if path.exists() else Path(__file__).with_name("catalog.js")).read_text(encoding="utf-8")


def in_figures(text: str) -> str:
    """Return a number that Python has written, such as "12,345.6" or "93.8%", as the reader's language has it."""
    if language() == "en":
        return text
    text = re.sub(r"(?<!\d)(\d),(\d{3})(?![\d,])", r"\1\2", text)  # four digits have no gap
    text = re.sub(r" ?%$", "\N{NO-BREAK SPACE}%", text)
    return text.translate({ord(","): "\N{NARROW NO-BREAK SPACE}", ord("."): ","})


@cache
def _catalog(folder: Path, code: str) -> GNUTranslations | None:
    path = folder / f"{code}.mo"
    if not path.exists():  # as that of English
        return None
    from gettext import GNUTranslations  # only now: a Pi Zero takes its time for each module

    with path.open("rb") as file:
        return GNUTranslations(file)
