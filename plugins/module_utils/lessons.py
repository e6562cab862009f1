"""Lessons in a folder, and the record of versions that were handed out."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.mynn.pi.plugins.module_utils.tree import FOLDER

# Lessons; pictures; and translated lessons, in a folder that is named by language code.
PATTERNS = ("[!.]*.ipynb", "[!.]*/[!.]*.png", "[a-z][a-z]/[!.]*.ipynb")
HANDED_OUT = ".handed_out.json"  # beside the untouched copies


def lessons_in(folder: Path) -> dict[str, bytes]:
    """Return the contents of lessons and pictures, by path in the folder: `a.ipynb`, `de/a.ipynb`, `b/c.png`."""
    paths = (path for pattern in PATTERNS for path in folder.glob(pattern) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(paths)}


def links_in(folder: Path) -> dict[str, str]:
    """Return the links in the folder of the untouched lessons: name → target."""
    return {path.name: str(path.readlink()) for path in sorted(folder.glob("*")) if path.is_symlink()}


@dataclass
class Memory:
    """Record of the lessons' versions that were handed out, as SHA256 sums.

    known: name → all versions that a student may have; a file with one of these sums is untouched.
    given: student → name → the last version that the student was given; it is not handed out again.
    """

    known: dict[str, list[str]]
    given: dict[str, dict[str, str]]

    @classmethod
    def read(cls, pristine: Path) -> Memory:
        """Read the record in the folder of the untouched lessons; a missing or damaged one counts as empty."""
        try:
            stored = json.loads((pristine / HANDED_OUT).read_bytes())
            known = {str(name): [str(sum_) for sum_ in sums] for name, sums in stored["known"].items()}
            given = {who: {str(name): str(sum_) for name, sum_ in of.items()} for who, of in stored["students"].items()}
            return cls(known, given)
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            return cls({}, {})

    def known_in_home(self) -> dict[str, list[str]]:
        """Return `known` with the lessons' paths in a home as keys."""
        return {FOLDER + name: sums for name, sums in self.known.items()}

    def bytes(self) -> bytes:
        """Return the record as `read` parses it."""
        stored = {"known": self.known, "students": self.given}
        return json.dumps(stored, indent=1, sort_keys=True).encode() + b"\n"
