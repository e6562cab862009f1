"""The mirrors that the cache forwards requests to, and what is accepted from a Pi's source lists.

Pis are not trusted: only what matches the patterns here reaches apt on the control node.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from urllib.parse import urlsplit

from ansible_collections.mynn.pi.plugins.module_utils.text import HOST_LABEL

MIRROR = re.compile(rf"((?:{HOST_LABEL}\.)*{HOST_LABEL})(?::([1-9]\d{{0,4}}))?", re.ASCII)
PATH = re.compile(r"(?:/[A-Za-z0-9._~+-]+)*/?", re.ASCII)
SUITE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(?:/[A-Za-z0-9][A-Za-z0-9._-]*)*/?|\./", re.ASCII)
COMPONENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*", re.ASCII)
ONE_LINE = re.compile(r"\s*deb\s+(?:\[[^\]]*\]\s*)?(\S+)\s+(\S+)((?:\s+[^\s#]+)*)\s*(?:#.*)?", re.ASCII)
MOST_LINES = 1000  # of a list


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


def site(address: str) -> tuple[Mirror, str]:
    """Return the mirror and the path of an HTTP address. ValueError: it cannot be a mirror's."""
    url = urlsplit(address)
    if url.scheme != "http" or not PATH.fullmatch(url.path) or ".." in url.path or url.query or url.fragment:
        raise ValueError(f"not an address of a mirror over HTTP: {address!a}")
    return mirror(url.netloc), url.path


def own_sites() -> list[tuple[str, str]]:
    """Return the addresses and suites of this computer's own apt; none if it has no apt."""
    if not shutil.which("apt-get"):
        return []
    command = ["apt-get", "indextargets", "--format", "$(SITE) $(RELEASE)", "Identifier: Packages"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return sorted({(words[0], words[1]) for line in listed.splitlines() if len(words := line.split()) == 2})


def own_mirrors() -> Iterator[Mirror]:
    """Yield the mirrors of this computer's own apt."""
    for address, _ in own_sites():
        try:
            yield site(address)[0]
        except ValueError:
            continue


def entries(text: str, is_deb822: bool) -> Iterator[tuple[str, str, list[str]]]:
    """Yield address, suite and components of each binary source in a list, unchecked."""
    lines = text.splitlines()[:MOST_LINES]
    if not is_deb822:
        for line in lines:
            if found := ONE_LINE.fullmatch(line):
                yield found[1], found[2], found[3].split()
        return
    for paragraph in re.split(r"\n\s*\n", "\n".join(line for line in lines if not line.startswith("#"))):
        fields = {
            name.strip().lower(): value.split()
            for name, _, value in (line.partition(":") for line in re.sub(r"\n[ \t]+", " ", paragraph).splitlines())
        }
        if "deb" in fields.get("types", []) and fields.get("enabled") not in (["no"], ["false"], ["off"], ["0"]):
            for address, suite in product(fields.get("uris", []), fields.get("suites", [])):
                yield address, suite, fields.get("components", [])


def source_lines(lists: dict[str, str], mirrors: Iterable[Mirror]) -> tuple[list[str], int]:
    """Return the sources in the lists, rewritten as one-line sources, and how many were left out. lists: by file name.

    Only sources from these mirrors are kept, without options. The Pis check signatures when they install.
    """
    kept: set[str] = set()
    left_out = 0
    for name, text in lists.items():
        for address, suite, components in entries(text, name.endswith(".sources")):
            try:
                host, path = site(address)
                well = host in mirrors and SUITE.fullmatch(suite) and ".." not in suite
                well = well and all(map(COMPONENT.fullmatch, components))
            except ValueError:
                well = False
            if well:
                kept.add(" ".join(["deb [trusted=yes]", f"http://{host}{path}", suite, *components]))
            else:
                left_out += 1
    return sorted(kept), left_out
