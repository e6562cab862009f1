"""Check that a translation keeps its source's placeholders, code, formulas, links, tags and numbers."""

from __future__ import annotations

import re
from collections import Counter

# Compared in this order: matches are removed from the text before the next pattern is applied.
KEPT = {
    "placeholder": re.compile(r"\{(?:[^{}]|\{[^{}]*\})*\}|%\(\w+\)[sd]"),
    "code": re.compile(r"`[^`]+`"),
    "formula": re.compile(r"\$[^$]+\$"),
    "link": re.compile(r"(?<=\])\([^)\s]+\)|https?://\S+"),
    "tag": re.compile(r"</?\w+[^<>]*>"),
}
NUMBER = re.compile(r"\d+(?:[.,]\d+)?")


def faults(source: str, translation: str) -> list[str]:
    """Return a sentence for each part that a translation lacks or adds."""
    found = []
    around = [(text[: -len(text.lstrip())], text[len(text.rstrip()) :]) for text in (source, translation)]
    if around[0] != around[1]:
        found.append("the spaces around it are not the source's")
    for kind, pattern in KEPT.items():
        ours, theirs = (Counter(pattern.findall(text)) for text in (source, translation))
        found += [f"{kind} {one} is missing" for one in ours - theirs]
        found += [f"{kind} {one} is not in the source" for one in theirs - ours]
        source, translation = (pattern.sub(" ", text) for text in (source, translation))
    ours, theirs = Counter(numbers(re.sub(r"(?<=\d),(?=\d{3}\b)", "", source))), Counter(numbers(translation))
    found += [f"number {one} is missing" for one in ours - theirs]
    found += [f"number {one} is not in the source" for one in theirs - ours]
    return found


def numbers(text: str) -> list[str]:
    """Return the numbers in a text, with decimal points and without gaps."""
    return [one.replace(",", ".") for one in NUMBER.findall(re.sub(r"(?<=\d)[\u00a0\u202f](?=\d{3}\b)", "", text))]
