"""Collections of students' work, on the control node: how they are named, written, found and checked."""

from __future__ import annotations

import glob
import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from ansible_collections.mynn.pi.plugins.module_utils.chunks import FOLDER, WHY, File, checked, is_work
from ansible_collections.mynn.pi.plugins.module_utils.text import printable
from ansible_collections.mynn.pi.plugins.module_utils.tree import MOST

SUMS = "SHA256SUMS"
BESIDE = ".home"  # for what is beside the student's folder: ada.home, a name that no student can have
LATEST = (1 << 32) - 1  # seconds: the latest time that every file system can store
LONGEST = 5000  # bytes of a name


def name_of(student: str, name: str) -> str:
    """Return the path in a collection of a file in a home; . is the home. ValueError: it is no work."""
    if name != "." and (len(os.fsencode(checked(name))) > LONGEST or not is_work(name)):
        raise ValueError(f"an invalid name: {printable(name, 80)}")
    return f"{student}/{name[len(FOLDER) :]}" if name.startswith(FOLDER) else f"{student}{BESIDE}/{name}"


def label(student: str, name: str) -> str:
    """Return that path for use in a sentence: a very long one is cut in the middle."""
    name = name_of(student, name)
    return name if len(name) <= 80 else f"{name[:60]}…{name[-15:]}"


def in_home(name: str) -> tuple[str, str]:
    """Return the student whose file this is in a collection, and its path in the home."""
    folder, _, inner = name.partition("/")
    student = folder.removesuffix(BESIDE)
    return student, inner if student != folder else FOLDER + inner


def listed(answer: Any, limit: int) -> tuple[dict[str, File], dict[str, str]]:
    """Check a Pi's list of a student's files. Returns them by name, and why others cannot be had.

    ValueError: the list is malformed, or has more than `limit` bytes.
    """
    try:
        files = {name: _file(name, *about) for name, about in answer["files"].items()}
        left = {name: WHY[why] for name, why in answer["left"].items()}
    except (AttributeError, LookupError, TypeError) as error:
        raise ValueError(f"a malformed list of files: {error!r}") from None
    if len(files) + len(left) > MOST or sum(file.size for file in files.values()) > limit:
        raise ValueError("more files than a Pi gives")
    return files, left


def _file(name: str, size: int, sum_: str, time: int, executable: bool) -> File:
    if size < 0 or not re.fullmatch("[0-9a-f]{64}", sum_) or not isinstance(time, int):
        raise ValueError("a malformed file")
    return File(name, int(size), sum_, min(max(time, 0), LATEST), bool(executable))


def changes_of(answer: Any) -> list[str]:
    """Check and return a Pi's list of changes. ValueError: it is malformed."""
    if not isinstance(answer, list):
        raise ValueError("malformed changes")
    return [str(change) for change in answer]


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
