"""Collections of students' work, on the control node: how they are named, written, found and checked."""

from __future__ import annotations

import errno
import glob
import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from ansible_collections.mynn.pi.plugins.module_utils.chunks import (
    BLOCK,
    FOLDER,
    WHY,
    File,
    is_work,
    unquote,
    write_chunk,
)
from ansible_collections.mynn.pi.plugins.module_utils.text import printable
from ansible_collections.mynn.pi.plugins.module_utils.tree import MOST

SUMS = "SHA256SUMS"
BESIDE = ".home"  # for what is beside the student's folder: ada.home, a name that no student can have
LATEST = (1 << 32) - 1  # seconds: the latest time that every file system can store


def local(quoted: str) -> str:
    """Return a file's unquoted name. OSError: it leads out of the home, or cannot be work."""
    with suppress(ValueError):
        name = unquote(quoted)
        if "\0" not in name and is_work(name) and re.fullmatch(r"[\w.~/%-]{1,7000}", quoted, re.ASCII):
            return name
    raise OSError(errno.EINVAL, "the Pi reported a file with an invalid name", printable(quoted, 80))


def name_of(student: str, quoted: str) -> str:
    """Return a home's file's path in a collection, from its quoted name; . is the home."""
    name = "" if quoted == "." else local(quoted)
    return f"{student}/{name[len(FOLDER) :]}" if name.startswith(FOLDER) else f"{student}{BESIDE}/{name}"


def label(student: str, quoted: str) -> str:
    """Return that path for use in a sentence: a very long one is cut in the middle."""
    name = name_of(student, quoted)
    return name if len(name) <= 80 else f"{name[:60]}…{name[-15:]}"


def in_home(name: str) -> tuple[str, str]:
    """Return the student whose file this is in a collection, and its path in the home."""
    folder, _, inner = name.partition("/")
    student = folder.removesuffix(BESIDE)
    return student, inner if student != folder else FOLDER + inner


def listed(answer: Any, limit: int) -> tuple[dict[str, File], dict[str, str]]:
    """Check a Pi's list of a student's files. Returns them by quoted name, and why others cannot be had.

    ValueError: the list is malformed, or has more than `limit` bytes.
    """
    try:
        files = {quoted: _file(quoted, *about) for quoted, about in answer["files"].items()}
        left = {quoted: WHY[why] for quoted, why in answer["left"].items()}
    except (AttributeError, LookupError, TypeError) as error:
        raise ValueError(f"a malformed list of files: {error!r}") from None
    if len(files) + len(left) > MOST + 1 or sum(file.size for file in files.values()) > limit:
        raise ValueError("more files than a Pi gives")
    return files, left


def _file(quoted: str, size: int, sum_: str, time: int, executable: bool) -> File:
    if size < 0 or not re.fullmatch("[0-9a-f]{64}", sum_) or not isinstance(time, int):
        raise ValueError("a malformed file")
    return File(quoted, int(size), sum_, min(max(time, 0), LATEST), bool(executable))


def changes_of(answer: Any) -> list[tuple[str, str]]:
    """Check and return a Pi's list of changes. ValueError: it is malformed."""
    if not isinstance(answer, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in answer):
        raise ValueError("malformed changes")
    return [(str(before), str(after)) for before, after in answer]


def copy(source: Path, place: Path) -> None:
    """Copy a file, with its holes, to a path where there is none."""
    with source.open("rb") as old, place.open("xb") as new:
        begin = 0
        while block := old.read(BLOCK):
            write_chunk(new, begin, block)
            begin += len(block)
    shutil.copystat(source, place)


def some(names: list[str]) -> str:
    """Return names for use in a sentence, ten at most."""
    rest = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return ", ".join(printable(name) for name in names[:10]) + rest


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
    """Return a Pi's collections, the newest first, of all dates that begin with `date`."""
    folders = [path.parent for path in root.glob(f"[!.]*/{glob.escape(pi)}/{SUMS}")]
    return sorted((path for path in folders if path.parent.name.startswith(date)), reverse=True)


def files_in(folder: Path) -> Iterator[str]:
    """Yield the paths of all files in a folder of this computer that are not hidden."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if path.is_file() and not any(part.startswith(".") for part in name.parts):
            yield str(name)
