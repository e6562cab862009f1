"""What a translation must keep of its source: placeholders, code, formulas, links and numbers."""

from __future__ import annotations

import re
from collections import Counter

# What is compared, in this order: each is taken out of the text before the next is looked for.
KEPT = {
    "placeholder": re.compile(r"\{(?:[^{}]|\{[^{}]*\})*\}|%\(\w+\)[sd]"),
    "code": re.compile(r"`[^`]+`"),
    "formula": re.compile(r"\$[^$]+\$"),
    "link": re.compile(r"(?<=\])\([^)\s]+\)|https?://\S+"),
    "tag": re.compile(r"</?\w+[^<>]*>"),
}
NUMBER = re.compile(r"\d+(?:[.,]\d+)?")


def faults(source: str, translation: str) -> list[str]:
    """Return what a translation lacks of its source, or adds to it, in words."""
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
    """Return the numbers of a text, with a decimal point and without gaps."""
    return [one.replace(",", ".") for one in NUMBER.findall(re.sub(r"(?<=\d)[\u00a0\u202f](?=\d{3}\b)", "", text))]
