"""What a page says in words: its paragraphs, and what its attributes say. The rest of it stays, byte for byte.

A page may be a template: {{ a place }} is a part of what is said, {% a statement %} ends a paragraph.

(The Translate Toolkit's html2po knows pages, too. It writes the attributes of the whole page anew, and breaks some.)
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from itertools import groupby
from typing import IO, Any

Translate = Callable[[str], str]
Token = tuple[str, str]  # what it is, and it: "" for what ends a paragraph

WITHIN = {"a", "b", "code", "em", "i", "kbd", "small", "span", "strong"}  # a paragraph
UNREAD = {"pre", "script", "style"}
PLACE, STATEMENT = range(0xE000, 0xF000), range(0xF000, 0xF900)  # characters that stand for them, in private use
JINJA = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.S)
SAYING = re.compile(r'(?<=\s)((?:alt|aria-label|title|placeholder|data-(?:done|ended|label|left))=")([^"]+)(?=")')
WORD = re.compile(r"[^\W\d_]{2,}")


def messages(file: IO[bytes], _keywords: Any, _tags: Any, **_options: Any) -> Iterator[tuple[int, str, str, list[str]]]:
    """Yield a page's messages, as a method of Babel's `extract`: 1, "", the text, []."""
    found: list[str] = []

    def note(text: str) -> str:
        found.append(text)
        return text

    translated(file.read().decode(), note)
    yield from ((1, "", text, []) for text in found)


def translated(page: str, translate: Translate) -> str:
    """Return a page in another language. `translate` returns a text as it is where it has no other."""
    template = _Template()
    parser = _Tokens()
    parser.feed(template.without(page))
    parser.close()

    def translate_whole(text: str) -> str:
        return template.without(translate(template.whole(text)))

    groups = groupby(_closed(parser.tokens), key=lambda token: token[0] != "")
    return template.whole(
        "".join(
            _run(list(tokens), translate_whole)
            if is_run
            else "".join(_attributes(text, translate_whole) for _, text in tokens)
            for is_run, tokens in groups
        )
    )


class _Template:
    """Puts a character in the place of whatever is Jinja's, which is like no HTML, and puts it back."""

    def __init__(self) -> None:
        self._letters: dict[str, str] = {}

    def without(self, text: str) -> str:
        return JINJA.sub(self._letter, text)

    def whole(self, text: str) -> str:
        parts = {letter: part for part, letter in self._letters.items()}
        return "".join(parts.get(letter, letter) for letter in text)

    def _letter(self, part: re.Match[str]) -> str:
        letters = PLACE if part[0].startswith("{{") else STATEMENT
        return self._letters.setdefault(part[0], chr(letters[len(self._letters)]))


class _Tokens(HTMLParser):
    """Takes a page apart, into texts and tags as they are written."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=False)
        self.tokens: list[Token] = []
        self._unread = False

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self._unread = tag in UNREAD
        self.tokens.append(("text" if tag == "br" else "open" if tag in WITHIN else "", self.get_starttag_text() or ""))

    handle_startendtag = handle_starttag

    def handle_endtag(self, tag: str) -> None:
        self._unread = False
        self.tokens.append(("close" if tag in WITHIN else "", f"</{tag}>"))

    def handle_data(self, data: str) -> None:
        for is_statement, letters in groupby(data, key=lambda letter: self._unread or ord(letter) in STATEMENT):
            self.tokens.append(("" if is_statement else "text", "".join(letters)))

    def handle_entityref(self, name: str) -> None:
        self.tokens.append(("text", f"&{name};"))

    def handle_charref(self, name: str) -> None:
        self.tokens.append(("text", f"&#{name};"))

    def handle_decl(self, decl: str) -> None:
        self.tokens.append(("", f"<!{decl}>"))

    def handle_comment(self, data: str) -> None:
        self.tokens.append(("", f"<!--{data}-->"))


def _closed(tokens: list[Token]) -> list[Token]:
    """Return the tokens; a tag whose other half is in another paragraph, beyond a statement, ends one, too."""
    loose, opened = set(), []
    for number, (kind, _) in enumerate([*tokens, ("", "")]):
        if kind == "open":
            opened.append(number)
        elif kind == "close" and opened:
            opened.pop()
        elif kind != "text":
            loose |= {number, *opened}
            opened = []
    return [("" if number in loose else kind, text) for number, (kind, text) in enumerate(tokens)]


def _run(tokens: list[Token], translate: Translate) -> str:
    """Return a run of texts, and of tags within a paragraph, translated: as a whole, or each of its links by itself."""
    parts, depth, outside = [[]], 0, ""  # type: ignore[var-annotated]
    for kind, text in tokens:
        depth += {"open": 1, "close": -1}.get(kind, 0)
        if not depth and kind == "text":
            outside += text
        if (kind == "open" and depth == 1) or (kind == "text" and not depth):
            parts.append([])
        parts[-1].append((kind, text))
    whole = "".join(text for _, text in tokens)
    if not WORD.search(outside):
        return "".join(_element(part, translate) for part in parts)
    bare = whole.strip()
    start = whole.index(bare)
    text = " ".join(bare.split())
    other = translate(text)
    return whole if other == text else whole[:start] + other + whole[start + len(bare) :]


def _element(part: list[Token], translate: Translate) -> str:
    """Return an element within a paragraph, with its inside translated; or a text without words, as it is."""
    if len(part) > 2 and part[0][0] == "open" and part[-1][0] == "close":
        return _attributes(part[0][1], translate) + _run(part[1:-1], translate) + part[-1][1]
    return "".join(_attributes(text, translate) for _, text in part)


def _attributes(tag: str, translate: Translate) -> str:
    """Return a tag with what its attributes say translated."""
    if not tag.startswith("<"):
        return tag

    def other(match: re.Match[str]) -> str:
        text = html.unescape(match[2])
        if not WORD.search(text):
            return match[0]
        said = translate(text)
        return match[0] if said == text else match[1] + html.escape(said)

    return SAYING.sub(other, tag)
