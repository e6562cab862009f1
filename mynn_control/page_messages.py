"""Extract and translate the texts of a Pi's page (HTML): its paragraphs, and attributes that people read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from html import escape
from itertools import groupby
from typing import IO, Any

from bs4 import BeautifulSoup
from bs4.element import NavigableString, PageElement, PreformattedString, Tag

Translate = Callable[[str], str]

WITHIN = {"a", "b", "br", "code", "em", "i", "kbd", "small", "span", "strong"}  # inline elements
UNREAD = {"pre", "script", "style"}
SAYING = ("alt", "aria-label", "title", "placeholder", "data-done", "data-ended", "data-label", "data-left")
JINJA = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.S)  # the sign-in page is a Jupyter template
WORD = re.compile(r"[^\W\d_]{2,}")


def messages(file: IO[bytes], _keywords: Any, _tags: Any, **_options: Any) -> Iterator[tuple[int, str, str, list[str]]]:
    """Yield a page's messages, as an extraction method of Babel: 1, "", the text, []."""
    found: list[str] = []

    def note(text: str) -> str:
        found.append(text)
        return text

    translated(file.read().decode(), note)
    yield from ((1, "", text, []) for text in found)


def translated(page: str, translate: Translate) -> str:
    """Return a page in another language. `translate` returns a text unchanged if it has no translation."""
    soup = BeautifulSoup(page, "html.parser")
    _translate(soup, translate)
    return str(soup)


def _translate(parent: Tag, translate: Translate) -> None:
    """Translate an element's content: each paragraph as a whole, but in a row of links, each link by itself."""
    for within, group in groupby(list(parent.children), key=_is_within):
        nodes = list(group)
        if within and any(isinstance(node, NavigableString) and _has_words(node) for node in nodes):
            text = "".join(str(node) if isinstance(node, Tag) else escape(str(node), quote=False) for node in nodes)
            bare = text.strip()
            start, end = text.split(bare)
            nodes[0].insert_before(BeautifulSoup(start + translate(" ".join(bare.split())) + end, "html.parser"))
            for node in nodes:
                node.extract()
            continue
        for node in nodes:
            if isinstance(node, Tag) and node.name not in UNREAD:
                for name in SAYING:
                    if _has_words(said := str(node.get(name, ""))):
                        node[name] = translate(said)
                _translate(node, translate)


def _is_within(node: PageElement) -> bool:
    return node.name in WITHIN if isinstance(node, Tag) else not isinstance(node, PreformattedString)


def _has_words(text: str) -> bool:
    return WORD.search(JINJA.sub("", text)) is not None
