"""Translations for pupils and teachers: the catalogs in locale/, and the files that are built from them.

    python -m mynn_control.languages update     # bring the catalogs up to date with the sources
    python -m mynn_control.languages check      # print how much of each language is translated, and its errors
    python -m mynn_control.languages build      # build files for Python, browsers and notebooks; make does this

Each language has five catalogs: `mynn` (sentences in Python), `browser` (in scripts and pages), `lessons` (the
notebooks), `teach` (the manual's pages for teaching, extracted by Sphinx) and `desk` (the teacher's pages, labels and
settings).
"""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

from mynn.files import replacing
from mynn.translation import CATALOGS, LANGUAGES
from mynn_control import lesson_messages, page_messages, translation
from mynn_control.translation_faults import faults

ROOT = Path(__file__).resolve().parent.parent
LOCALE = ROOT / "locale"
TRANSLATED = [code for code in LANGUAGES if code != "en"]
TEMPLATES, SCRIPTS = "mynn_control/**.html.j2", ("mynn/**.js", "mynn_server/page/**.js")
# By catalog: its source files, and Babel's extraction method for them. The first pattern that matches counts.
SOURCES = {
    "mynn": [("mynn/**.py", "python"), ("mynn_server/**.py", "python")],
    "browser": [
        *((pattern, "javascript") for pattern in SCRIPTS),
        ("mynn_server/page/*.html", "mynn_control.page_messages:messages"),
        ("mynn_server/page/try/*.html", "mynn_control.page_messages:messages"),
    ],
    "lessons": [("notebooks/*.ipynb", "mynn_control.lesson_messages:messages")],
    "desk": [
        ("mynn_control/**.py", "python"),
        (TEMPLATES, "jinja2.ext:babel_extract"),
        ("playbooks/group_vars/all/defaults.yml", "mynn_control.settings:messages"),
    ],
}
MANUAL = ROOT / "build/locale"  # docs/conf.py reads it
PAGES, NOTEBOOKS = ROOT / "mynn_server/page", ROOT / "notebooks"
# Numbers that stand alone in an element of a page, or in a cell of a lesson's table.
FIGURES, CELLS = re.compile(r"(?<=>)\d[\d.± ]*(?=<)"), re.compile(r"(?<=\|)[ *]*\d[\d.±%* ]*(?=\|)")
PLACE = re.compile(r"\{\w+\}")
OPTIONS: dict[str, dict[str, str]] = {
    TEMPLATES: {"newstyle_gettext": "true", "trimmed": "true", "silent": "false"},
    **{pattern: {"parse_template_string": "true"} for pattern in SCRIPTS},
}
KEYWORDS = {"_": None, "gettext": None, "N_": None, "ngettext": (1, 2), "on": (2,)}  # `on` is in explain.py


def sources(name: str) -> Catalog:
    """Return a catalog of the sources' current texts, without translations."""
    if name == "teach":
        return _manual()
    found = Catalog(project="mynn-pi", copyright_holder="The mynn-pi authors", fuzzy=False)
    extracted = extract_from_dir(ROOT, SOURCES[name], OPTIONS, KEYWORDS, ["Translators:"])
    for path, line, text, comments, _context in extracted:
        found.add(text, locations=[(path, line)], auto_comments=comments)
    return found


def _manual() -> Catalog:
    with tempfile.TemporaryDirectory() as folder:
        options = ["-q", "-b", "gettext", "-D", "gettext_compact=1"]
        subprocess.run([sys.executable, "-m", "sphinx", *options, ROOT / "docs", folder], check=True)
        with Path(folder, "teach.pot").open("rb") as file:
            found = read_po(file)
    for message in found:
        message.locations = [(path[path.index("docs/") :], line) for path, line in message.locations]
    return found


def read(code: str, name: str) -> Catalog:
    """Return a language's catalog; an empty one if it does not exist yet."""
    path = LOCALE / code / f"{name}.po"
    if not path.exists():
        return Catalog(locale=code)
    with path.open("rb") as file:
        return read_po(file, locale=code)


def update() -> None:
    """Bring the catalogs up to date with the sources. Changed texts are English until they are translated again."""
    for name in (*SOURCES, "teach"):
        template = sources(name)
        for code in TRANSLATED:
            catalog = read(code, name)
            catalog.update(template, no_fuzzy_matching=True, update_creation_date=False)
            catalog.obsolete.clear()
            for message in catalog:
                message.flags.discard("python-format")  # "97 % of" is not a format
            path = LOCALE / code / f"{name}.po"
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                write_po(file, catalog, width=100, include_lineno=False)


def messages(catalog: Catalog) -> Iterator[tuple[Message, list[tuple[str, str]]]]:
    """Yield each message with its pairs of source and translation: two if it has a plural."""
    for message in catalog:
        if message.id:
            ids = [message.id] if isinstance(message.id, str) else list(message.id)
            string = message.string or ""
            yield message, list(zip(ids, [string] * len(ids) if isinstance(string, str) else string, strict=False))


def check() -> int:
    """Print how much of each language is translated, and its errors. Returns the number of errors."""
    wrong = 0
    for code in TRANSLATED:
        catalogs = {f"{name}.po": read(code, name) for name in (*SOURCES, "teach")}
        pairs = [(name, *pair) for name, one in catalogs.items() for _, both in messages(one) for pair in both]
        left = Counter(name for name, _, text in pairs if not text)
        where = "".join(f", {count} missing in {name}" for name, count in left.items())
        print(f"{code}: {len(pairs) - left.total()} of {len(pairs)} texts are translated{where}")
        for name, source, text in pairs:
            for fault in faults(source, text) if text else []:
                print(f"  {name}, “{source[:60]}”: {fault}")
                wrong += 1
    return wrong


def build() -> None:
    """Build the files for Python, browsers and notebooks from the catalogs. Unchanged files are left alone."""
    for code in TRANSLATED:
        for name, content in built(code).items():
            path = ROOT / name
            if not path.exists() or path.read_bytes() != content:
                path.parent.mkdir(parents=True, exist_ok=True)
                with replacing(path) as file:
                    file.write(content)


def built(code: str) -> dict[Path, bytes]:
    """Return the contents of the files built from a language's catalogs, by path in the project."""
    words = read(code, "browser")
    browser, lessons = texts_of(words), texts_of(read(code, "lessons"))
    made = {
        CATALOGS / f"{code}.mo": compiled(read(code, "mynn")),
        translation.CATALOGS / f"{code}.mo": compiled(read(code, "desk")),
        CATALOGS / f"{code}.js": script(code, texts_of(words, "mynn/")),
        MANUAL / code / "LC_MESSAGES/teach.mo": compiled(read(code, "teach")),
    }
    made |= {PAGES / code / name: content for name, content in pages(code, browser).items()}
    made |= {NOTEBOOKS / code / path.name: lesson(path, lessons) for path in NOTEBOOKS.glob("*.ipynb")}
    return {path.relative_to(ROOT): content for path, content in made.items()}


def compiled(catalog: Catalog) -> bytes:
    """Return a catalog in the format of Python's gettext (.mo)."""
    file = io.BytesIO()
    write_mo(file, catalog)
    return file.getvalue()


def texts_of(catalog: Catalog, folder: str = "") -> Mapping[str, str | list[str]]:
    """Return a catalog's translations by source text: two for a source with a plural.

    folder: if given, only texts in its files: a widget is shipped with them, and needs no others.
    """
    return {
        pairs[0][0]: pairs[0][1] if len(pairs) == 1 else [translation for _, translation in pairs]
        for message, pairs in messages(catalog)
        if all(translation for _, translation in pairs)
        and (not folder or any(path.startswith(folder) for path, _ in message.locations))
    }


def pages(code: str, browser: Mapping[str, str | list[str]]) -> dict[str, bytes]:
    """Return the pages in a language and their catalog, by path below mynn_server/page/."""
    names = [page.relative_to(PAGES) for page in PAGES.rglob("*.html")]
    translated = {str(name): html(PAGES / name, browser, code) for name in names if name.parts[0] not in LANGUAGES}
    return {**translated, "catalog.js": script(code, browser)}


def script(code: str, browser: Mapping[str, str | list[str]]) -> bytes:
    """Return the JavaScript module catalog.js of a language."""
    return f"export const catalog = {json.dumps({'': code} | dict(browser), ensure_ascii=False)};\n".encode()


def html(page: Path, browser: Mapping[str, str | list[str]], code: str) -> bytes:
    """Return a page in a language."""
    other = page_messages.translated(page.read_text(encoding="utf-8"), lambda text: str(browser.get(text, text)))
    other = with_commas(FIGURES, other)
    return other.replace('<html lang="en-GB">', f'<html lang="{code}">').encode()


def lesson(notebook: Path, known: Mapping[str, str | list[str]]) -> bytes:
    """Return a lesson in a language, as a notebook file."""
    content = json.loads(notebook.read_bytes())
    other = lesson_messages.translated(content, lambda text, _kind: str(known.get(text, text)))
    for cell in other["cells"]:
        if cell["cell_type"] == "markdown":
            cell["source"] = [with_commas(CELLS, line) for line in cell["source"]]
    return (json.dumps(other, ensure_ascii=False, indent=1) + "\n").encode()


def with_commas(figures: re.Pattern[str], text: str) -> str:
    """Return a text with decimal commas in the matching figures: all of the translated languages use them."""
    return figures.sub(lambda match: match[0].replace(".", ","), text)


def main(verb: str) -> None:
    """Do what the command line says."""
    match verb:
        case "update":
            update()
        case "check":
            sys.exit(1 if check() else 0)
        case "build":
            build()
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1])
