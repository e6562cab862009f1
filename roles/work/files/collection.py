"""Collections of what students made, on the control node: how they are named, written, found and checked."""

from __future__ import annotations

import glob
import hashlib
import os
import re
import urllib.parse
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from pieces import shown

SUMS = "SHA256SUMS"


def local(word: str) -> str:
    """Return a percent-encoded name as this computer writes it. OSError: it leads out of the folder."""
    name = os.fsdecode(urllib.parse.unquote_to_bytes(word))
    if any(part in ("", ".", "..") for part in name.split("/")) or "\0" in name:
        raise OSError(22, "the Pi says that it has a file of this name, which no file can have", word)
    return name


def some(names: list[str]) -> str:
    """Return names as a sentence has them, the first ten at most."""
    rest = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return ", ".join(shown(name) for name in names[:10]) + rest


def sum_of(path: Path) -> str | None:
    """Return the SHA256 of a file, or None if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def write_sums(folder: Path, sums: dict[str, str]) -> None:
    """Write a collection's SHA256SUMS. sums: by the file's path in the collection."""
    lines = []
    for name, sum_ in sorted(sums.items()):
        escaped = name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
        lines.append(f"{chr(92) if escaped != name else ''}{sum_}  {escaped}\n")
    (folder / SUMS).write_bytes(os.fsencode("".join(lines)))


def read_sums(folder: Path) -> dict[str, str]:
    """Return a collection's sums, by the file's path in it; none where there is no collection."""
    sums = {}
    with suppress(FileNotFoundError):
        for line in os.fsdecode((folder / SUMS).read_bytes()).split("\n")[:-1]:
            sum_, _, name = line.removeprefix("\\").partition("  ")
            if line.startswith("\\"):
                letters = {"\\\\": "\\", "\\n": "\n", "\\r": "\r"}
                pairs = re.split(r"(\\.)", name)
                name = "".join(letters.get(part, part) for part in pairs)
            sums[name] = sum_
    return sums


def collections_of(root: Path, pi: str, date: str = "") -> list[Path]:
    """Return a Pi's collections of a date, or of all dates that begin so; the newest first."""
    found = [path.parent for path in root.glob(f"[!.]*/{glob.escape(pi)}/{SUMS}")]
    return sorted((path for path in found if path.parent.name.startswith(date)), reverse=True)


def files_in(folder: Path) -> Iterator[str]:
    """Give the names of all files in a folder of this computer that are not hidden."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if path.is_file() and not any(part.startswith(".") for part in name.parts):
            yield str(name)
