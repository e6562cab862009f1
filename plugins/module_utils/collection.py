"""Collections (backups) of students' work on the control node: names, checksums, search and validation."""

from __future__ import annotations

import glob
import os
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from ansible_collections.mynn.pi.plugins.module_utils.students_folder import measured
from ansible_collections.mynn.pi.plugins.module_utils.text import printable
from ansible_collections.mynn.pi.plugins.module_utils.tree import FOLDER, MOST, File, checked, is_work

SUMS = "SHA256SUMS"
ESCAPES: dict[str, str | int | None] = {"\\": "\\\\", "\n": "\\n", "\r": "\\r"}  # as sha256sum writes them
BESIDE = ".home"  # suffix for files outside the student's folder: ada.home, a name that no student can have
LATEST = (1 << 32) - 1  # seconds: the latest time that every file system can store
LONGEST = 5000  # bytes of a path in the home
# The Pi's code → why work was left out. Anything that is left out without such a code is not work.
WHY = {
    "closed": "the student may not read it",
    "beyond": "it exceeds the limit for one student",
    "deep": "its path is too long",
    "many": "there are too many files",
}


def name_of(student: str, name: str) -> str:
    """Return the path that a file in a home has in a collection; . is the home. ValueError: not a path of work."""
    if name != "." and (len(os.fsencode(checked(name))) > LONGEST or not is_work(name)):
        raise ValueError(f"an invalid name: {printable(name, 80)}")
    return f"{student}/{name[len(FOLDER) :]}" if name.startswith(FOLDER) else f"{student}{BESIDE}/{name}"


def label(student: str, name: str) -> str:
    """Return the path of `name_of` for a message; a very long one is cut in the middle."""
    name = name_of(student, name)
    return name if len(name) <= 80 else f"{name[:60]}…{name[-15:]}"


def in_home(name: str) -> tuple[str, str]:
    """Return the student and the path in the home of a collection's file: the inverse of `name_of`."""
    folder, _, inner = name.partition("/")
    student = folder.removesuffix(BESIDE)
    return student, inner if student != folder else FOLDER + inner


def fields(answer: Any, *kinds: type) -> list[Any]:
    """Return a Pi's answer, a list of values of these types. ValueError: the answer is anything else."""
    if not isinstance(answer, list) or list(map(type, answer)) != list(kinds):
        raise ValueError("a malformed answer")
    return answer


def listed(answer: Any, student: str, limit: int) -> tuple[dict[str, File], dict[str, str]]:
    """Check a Pi's list of a student's files. Returns files and reasons for missing ones, by path in a collection.

    ValueError: the list is malformed, or has too many files or more than `limit` bytes of them.
    """
    listed, why = fields(answer, list, dict)
    try:
        files = {
            name_of(student, name): File(name, int(size), str(sum_), min(max(int(time), 0), LATEST), bool(executable))
            for name, size, sum_, time, executable in listed
        }
        left = {label(student, name): WHY[reason] for name, reason in why.items()}
    except (LookupError, TypeError, AttributeError, ArithmeticError) as error:
        raise ValueError(f"a malformed list of files: {error!r}") from None
    if any(file.size < 0 or not re.fullmatch("[0-9a-f]{64}", file.sum) for file in files.values()):
        raise ValueError("a malformed file")
    if len(files) + len(left) > MOST or sum(file.size for file in files.values()) > limit:
        raise ValueError("more files than a Pi gives")
    return files, left


def some(names: list[str]) -> str:
    """Return at most ten names for a message, and the number of the others."""
    rest = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return ", ".join(printable(name) for name in names[:10]) + rest


def described(path: Path, name: str = "") -> File:
    """Measure a file of this computer. name: its path in a home. OSError: it cannot be read."""
    return measured(path.resolve(), sys.maxsize, name)


def write_sums(folder: Path, sums: dict[str, str]) -> None:
    """Write a collection's SHA256SUMS. sums: path in the collection → sum."""
    lines = []
    for name, sum_ in sorted(sums.items()):
        escaped = name.translate(str.maketrans(ESCAPES))
        lines.append(f"{chr(92) if escaped != name else ''}{sum_}  {escaped}\n")
    (folder / SUMS).write_bytes(os.fsencode("".join(lines)))


def read_sums(folder: Path) -> dict[str, str]:
    """Return a collection's sums by path in the collection; empty without a collection."""
    sums = {}
    letters = {code: letter for letter, code in ESCAPES.items()}
    with suppress(FileNotFoundError):
        for line in os.fsdecode((folder / SUMS).read_bytes()).split("\n")[:-1]:
            sum_, _, name = line.removeprefix("\\").partition("  ")
            if line.startswith("\\"):
                name = re.sub(r"\\[\\nr]", lambda match: letters[match[0]], name)
            sums[name] = sum_
    return sums


def newest(root: Path, pi: str, date: str = "") -> Path:
    """Return a Pi's newest collection whose date begins with `date`; `root` if the Pi has none."""
    folders = [path.parent for path in root.glob(f"[!.]*/{glob.escape(pi)}/{SUMS}")]
    return max((path for path in folders if path.parent.name.startswith(date)), default=root)


def files_of(folder: Path) -> tuple[dict[str, dict[File, Path]], list[str]]:
    """Return a collection's intact files by student, and the names of changed and missing ones."""
    files: dict[str, dict[File, Path]] = {}
    changed = []
    for name, sum_ in read_sums(folder).items():
        student, inner = in_home(name)
        file = None
        with suppress(OSError):
            file = described(folder / name, inner)
        if file and file.sum == sum_:
            files.setdefault(student, {})[file] = folder / name
        else:
            changed.append(name)
    return files, changed


def files_in(folder: Path) -> Iterator[str]:
    """Yield the relative paths of a folder's files, without hidden files and folders."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if path.is_file() and not any(part.startswith(".") for part in name.parts):
            yield str(name)
