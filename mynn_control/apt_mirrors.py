"""The mirrors that the package cache forwards requests to, and what is accepted of a Pi's sources.

Pis are not trusted: only what matches the patterns here reaches apt on this computer.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from ansible_collections.mynn.pi.plugins.module_utils.text import HOST_LABEL

MIRROR = re.compile(rf"((?:{HOST_LABEL}\.)*{HOST_LABEL})(?::([1-9]\d{{0,4}}))?", re.ASCII)
WORD = r"[A-Za-z0-9][A-Za-z0-9_~+-]*(?:\.[A-Za-z0-9_~+-]+)*"  # so no .. and no option
SITE = re.compile(rf"http://([^/]+)((?:/{WORD})*/?)", re.ASCII)
SUITE = re.compile(rf"{WORD}(?:/{WORD})*", re.ASCII)
MOST_SOURCES = 1000
# What prints a Pi's sources, and this computer's own.
LIST_SOURCES = ["apt-get", "indextargets", "--format", "$(SITE) $(RELEASE) $(COMPONENT)", "Created-By: Packages"]


@dataclass(frozen=True, order=True)
class Mirror:
    """A host and a port."""

    host: str
    port: int = 80

    def __str__(self) -> str:
        return self.host if self.port == 80 else f"{self.host}:{self.port}"


def mirror(text: str) -> Mirror:
    """Return the mirror of HOST or HOST:PORT. ValueError: the text is neither."""
    found = MIRROR.fullmatch(text)
    if not found or len(found[1]) > 253 or int(found[2] or 80) > 65535:
        raise ValueError(f"not a mirror (HOST or HOST:PORT): {text!a}")
    return Mirror(found[1].lower(), int(found[2] or 80))


def own_sources() -> list[list[str]]:
    """Return the site, suite and component of each source of this computer's own apt; none if it has no apt."""
    if not shutil.which("apt-get"):
        return []
    listed = subprocess.run(LIST_SOURCES, capture_output=True, text=True, check=False).stdout
    return [words for line in listed.splitlines() if len(words := line.split()) == 3]


def own_mirrors() -> Iterator[Mirror]:
    """Yield the mirrors of this computer's own apt."""
    for site, _, _ in own_sources():
        if found := SITE.fullmatch(site):
            with suppress(ValueError):
                yield mirror(found[1])


def source_lines(listed: str, mirrors: Iterable[Mirror]) -> tuple[list[str], int]:
    """Return what a Pi's LIST_SOURCES printed as one-line sources, and how many were left out.

    Only sources from these mirrors are kept. The Pis check signatures when they install.
    """
    lines = {line for line in listed.splitlines()[:MOST_SOURCES] if line}
    kept = {f"deb [trusted=yes] {line}" for line in lines if is_source(line, mirrors)}
    return sorted(kept), len(lines) - len(kept)


def is_source(line: str, mirrors: Iterable[Mirror]) -> bool:
    """Return whether this is a site, suite and component of a mirror."""
    words = line.split(" ")
    site = SITE.fullmatch(words[0])
    if len(words) != 3 or not site or not SUITE.fullmatch(words[1]) or not SUITE.fullmatch(words[2]):
        return False
    try:
        return mirror(site[1]) in mirrors
    except ValueError:
        return False
