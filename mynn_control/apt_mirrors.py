"""Mirrors that the package cache may use, and the check of a Pi's apt sources.

A mirror is HOST or HOST:PORT. Pis are not trusted: only text that matches these patterns reaches apt on this computer.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Collection, Iterator

MIRROR = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)*(:[0-9]+)?", re.ASCII)
WORD = r"[A-Za-z0-9][A-Za-z0-9_~+-]*(?:\.[A-Za-z0-9_~+-]+)*"  # excludes `..` and options
SITE = re.compile(rf"http://([^/]+)((?:/{WORD})*/?)", re.ASCII)
SUITE = re.compile(rf"{WORD}(?:/{WORD})*", re.ASCII)
MOST_SOURCES = 1000
# The command that lists apt's sources, on a Pi and on this computer.
LIST_SOURCES = ["apt-get", "indextargets", "--format", "$(SITE) $(RELEASE) $(COMPONENT)", "Created-By: Packages"]


def mirror(text: str) -> str:
    """Return a mirror in the form for comparisons. ValueError: the text is not a mirror."""
    name = text.lower().removesuffix(":80")
    if not MIRROR.fullmatch(name):
        raise ValueError(f"not a mirror (HOST or HOST:PORT): {text!a}")
    return name


def own_sources() -> list[list[str]]:
    """Return the site, suite and component of each source of this computer's apt; [] without apt."""
    if not shutil.which("apt-get"):
        return []
    listed = subprocess.run(LIST_SOURCES, capture_output=True, text=True, check=False).stdout
    return [words for line in listed.splitlines() if len(words := line.split()) == 3]


def own_mirrors() -> Iterator[str]:
    """Yield the HTTP mirrors of this computer's apt."""
    for site, _, _ in own_sources():
        match = SITE.fullmatch(site)
        if match and MIRROR.fullmatch(match[1].lower()):
            yield mirror(match[1])


def source_lines(listed: str, mirrors: Collection[str]) -> tuple[list[str], int]:
    """Return a Pi's output of LIST_SOURCES as one-line sources, and the number of skipped ones.

    Only sources on these mirrors are kept. The Pis check signatures when they install.
    """
    lines = {line for line in listed.splitlines()[:MOST_SOURCES] if line}
    kept = {f"deb [trusted=yes] {line}" for line in lines if is_source(line, mirrors)}
    return sorted(kept), len(lines) - len(kept)


def is_source(line: str, mirrors: Collection[str]) -> bool:
    """Return whether a line is a site, suite and component on one of these mirrors."""
    address, *names = line.split(" ")
    site = SITE.fullmatch(address)
    is_named = len(names) == 2 and all(map(SUITE.fullmatch, names))
    return is_named and site is not None and site[1].lower().removesuffix(":80") in mirrors
