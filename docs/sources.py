"""Sphinx extension that fills in the reference pages from the sources when the manual is built.

A page has `<!-- settings -->`, or another name in `PAGES` or `FILES`, where the text goes.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import pkgutil
import re
import runpy
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from mynn import __version__
from mynn.outline import outline
from mynn_control import project
from mynn_control.settings import Setting, sections

ROOT = Path(__file__).resolve().parents[1]
# The folder in which `make release` makes one with this manual; otherwise empty.
RELEASE = os.environ.get("MYNN_RELEASE", "")
SUMS = ("SHA256SUMS", "SHA256SUMS.sig", "allowed_signers")  # written after the manual


def settings() -> str:
    """Return a section for the settings that several roles share, and one for each role."""
    parts = []
    for title, about, own in sections():
        parts.append(f"## {title}\n" + (f"\n{about}.\n" if about else ""))
        parts += map(setting, own)
    return "\n".join(parts)


def setting(of: Setting) -> str:
    """Return the section of one setting."""
    kind = of.option["type"] + (f" of {of.option['elements']}" if "elements" in of.option else "")
    parts = [f"### {of.name}\n", f"{plain(of.description)} (`{kind}`)\n"]
    if "choices" in of.option:
        parts.append(f"One of {', '.join(f'`{choice}`' for choice in of.option['choices'] if choice)}.\n")
    if of.reason:
        parts.append(f"{plain(of.reason)}\n")
    if "\n" in of.default:
        parts.append(f"```yaml\n{of.name}:{of.default}\n```\n")
    elif of.default:
        parts.append(f"Default: `{of.default}`\n")
    return "\n".join(parts)


def plain(text: str) -> str:
    """Return prose as Markdown that shows it as it is, except code between backticks."""
    parts = text.split("`")
    parts[::2] = [re.sub(r"([*<>\[\]{}|_\\])", r"\\\1", part) for part in parts[::2]]
    return "`".join(parts)


def make() -> str:
    """Return a table of the Makefile's commands with their help texts."""
    lines = (ROOT / "Makefile").read_text(encoding="utf-8").splitlines()
    commands = [match for line in lines if (match := re.match(r"([a-z-]+):.*?## (.+)", line))]
    rows = [f"| `make {match[1]}` | {plain(match[2])} |" for match in commands]
    return "\n".join(["| command | what it does |", "|---|---|", *rows])


def lessons() -> str:
    """Return a table of the lessons, in their order, from each notebook's metadata."""
    rows = []
    for name, lesson in outline(ROOT / "notebooks").items():
        if not lesson.learn:
            raise RuntimeError(f'{name}.ipynb: its metadata has no "mynn" with lesson, minutes and learn')
        rows.append(f"| {plain(lesson.title)} | {plain(lesson.learn)}.<br>`{name}` | {lesson.minutes} min |")
    return "\n".join(["| lesson | what is learnt, and the lesson's file | on a Pi Zero |", "|---|---|---|", *rows])


def mynn() -> str:
    """Return the output of `mynn --help`, and the help of each of its verbs."""
    sections = []
    for verbs, text in helps([]):
        title = " ".join(["mynn", *verbs])
        sections.append(f"## {title}\n\n```text\n{text.strip()}\n```\n")
    if len(sections) < 2:
        raise RuntimeError("`mynn --help` names no verbs")
    return "\n".join(sections)


def helps(verbs: list[str]) -> Iterator[tuple[list[str], str]]:
    """Yield the help of a verb, and of its own verbs."""
    output = io.StringIO()
    words = ["mynn", *verbs, "--help"]
    with (
        contextlib.redirect_stdout(output),
        contextlib.suppress(SystemExit),
        mock.patch.object(sys, "argv", words),
        mock.patch.dict(os.environ, {"COLUMNS": "100", "NO_COLOR": "1"}),
    ):
        runpy.run_module("mynn", run_name="__main__")
    text = output.getvalue()
    yield verbs, text
    if re.search(r"\.\.\.$", text.split("\n\n")[0]):
        for name in re.findall(r"^    (\w+)\b", text, re.M):
            yield from helps([*verbs, name])


def api() -> str:
    """Return a section for each public module of the package."""
    import mynn as package

    sections = [f"`from mynn import ...` gives {', '.join(f'`{name}`' for name in package.__all__)}.\n"]
    for name in sorted(module.name for module in pkgutil.walk_packages(package.__path__, "mynn.")):
        if not any(part.startswith("_") for part in name.split(".")):
            sections.append(f"## {name}\n\n```{{eval-rst}}\n.. automodule:: {name}\n```\n")
    return "\n".join(sections)


def manifest() -> Path:
    """Return the release's repository for Imager."""
    return next(Path(RELEASE).glob("*.rpi-imager-manifest"))


def link(name: str, before: str = "", text: str = "") -> str:
    """Return a link to a file of the release, which is elsewhere or in the folder above the manual."""
    told = json.loads(manifest().read_bytes())
    below, _, _image = told["os_list"][0]["url"].rpartition("/")
    return f'<a href="{before}{below if below.startswith("http") else ".."}/{name}">{text or name}</a>'


def imager() -> str:
    """Return what opens Imager with the images of the release."""
    if not RELEASE:
        newest = project.address("Homepage")
        return f"See the [newest release]({newest})." if newest else "This copy of the manual belongs to no release."
    name = manifest().name
    if "http" not in link(name):
        return f"Double-click {link(name)}, which is in the folder above this manual."
    opening = link(name, "rpi-imager://open?repo=", "Open these images in Imager")
    return (
        f"**{opening}**. It asks whether to switch to this repository: choose *Switch repository*. If nothing opens, "
        f"download {link(name)} and double-click it."
    )


def downloads() -> str:
    """Return a table of the files of the release."""
    if not RELEASE:
        return "None."
    rows = ["| file | MB |", "|---|---|"]
    for suffix in ("img.xz", "whl", "tar.gz"):
        for path in sorted(Path(RELEASE).glob(f"*.{suffix}")):
            rows.append(f"| {link(path.name)} | {path.stat().st_size / 1e6:.1f} |")
    others = ("release-notes.md", f"mynn-manual-{__version__}.zip", *SUMS)
    return "\n".join([*rows, *(f"| {link(name)} | |" for name in others)])


def file(name: str) -> str:
    """Return a file of the project's top folder, with its links adapted to a page in docs/develop."""
    text = (ROOT / name).read_text(encoding="utf-8").replace("](docs/", "](../")
    for other, page in FILES.items():
        text = text.replace(f"]({other})", f"]({page}.md)")
    # A link to the forge's own pages, which are beside the project's files there.
    there = rf"[\1]({project.address()}/\2)" if project.address() else r"\1"
    return re.sub(r"\[([^]]+)\]\(\.\./\.\./([^)]+)\)", there, text)


# Stands in pages for the project's address, also in the manual of a copy that is not published.
UNKNOWN = "ADDRESS-OF-THIS-PROJECT"
PAGES: dict[str, Callable[[], str]] = {
    "settings": settings,
    "make": make,
    "lessons": lessons,
    "mynn": mynn,
    "api": api,
    "imager": imager,
    "downloads": downloads,
}
# Files of the top folder, and their pages in docs/develop.
FILES = {"CHANGELOG.md": "changelog", "CONTRIBUTING.md": "contributing", "SECURITY.md": "security-policy"}


def fill_in(_app: object, _page: str, source: list[str]) -> None:
    """Replace a page's markers with their texts."""
    for marker in re.findall(r"(?m)^<!-- (.+) -->$", source[0]):
        text = file(marker) if marker in FILES else PAGES[marker]()
        source[0] = source[0].replace(f"<!-- {marker} -->", text)
    source[0] = source[0].replace(UNKNOWN, project.address() or UNKNOWN)


def docstring(_app: object, _what: str, _name: str, _it: object, _options: object, lines: list[str]) -> None:
    """Turn a docstring, which is plain text, into reStructuredText that looks the same."""
    paragraphs = [part.split("\n") for part in "\n".join(lines).strip("\n").split("\n\n")]
    lines[:] = []
    for paragraph in paragraphs:
        if all(re.match(r"`\w+`  ", line) for line in paragraph):
            rows = (re.match(r"`(\w+)` +(.*)", line) for line in paragraph)
            lines += [f"- ``{row[1]}``: {escaped(row[2])}" for row in rows if row]
        elif any(line.startswith(" ") for line in paragraph):
            lines += ["::", "", *(f"    {line}" for line in paragraph)]
        else:
            lines += [escaped(line) for line in paragraph]
        lines.append("")


def escaped(text: str) -> str:
    """Return text as reStructuredText that shows it as it is; text between backticks is code."""
    parts = re.split(r"`+", text)
    parts[::2] = [re.sub(r"([*|_\\])", r"\\\1", part) for part in parts[::2]]
    return "".join(f"``{part}``" if index % 2 and part else part for index, part in enumerate(parts))


def connect(app: Any) -> None:
    """Register the functions with Sphinx."""
    app.connect("source-read", fill_in)
    app.connect("autodoc-process-docstring", docstring)
    app.connect("html-page-context", level_headings, priority=900)  # after the theme's handler


def level_headings(_app: Any, _page: str, _template: str, context: dict[str, Any], _tree: Any) -> None:
    """Give the headings in the list of pages an aria-level, which Sphinx leaves out."""
    tree = context["furo_navigation_tree"]
    context["furo_navigation_tree"] = tree.replace('role="heading"', 'role="heading" aria-level="2"')
