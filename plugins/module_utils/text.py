"""Safe printing of text from a Pi, such as a student's file name, and the pattern of host names."""

from __future__ import annotations

import re

COLOUR = re.compile(r"\x1b\[[0-9;]*m")
SUSPECT = re.compile(r"[^ -~]")
# A label of a host name, as in RFC 1123.
HOST_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
OTHER_THAN_LINES = re.compile(r"[^ -~\n\t]")
SHOWN = 1000  # most changes in a diff


def printable(value: object, longest: int = 300) -> str:
    """Return a text on one line; control characters, escapes and bidirectional marks become Python escapes."""
    text = SUSPECT.sub(_escaped, str(value)[: longest + 1])
    return text if len(text) <= longest else f"{text[:longest]} …"


def printable_lines(value: object) -> str:
    """Return a text with its lines and tabs but without colours, otherwise escaped as in `printable`."""
    return OTHER_THAN_LINES.sub(_escaped, COLOUR.sub("", str(value).replace("\r\n", "\n")))


def diff_of(changes: list[str]) -> dict[str, str]:
    """Return changes as an Ansible diff, one per line."""
    more = [f"and {len(changes) - SHOWN} more"] if len(changes) > SHOWN else []
    return {"before": "", "after": "".join(f"{printable(line, 5000)}\n" for line in changes[:SHOWN] + more)}


def _escaped(match: re.Match[str]) -> str:
    letter = match[0]
    return letter if letter.isprintable() else repr(letter)[1:-1]
