"""The lessons, and which versions of them were handed out."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.mynn.pi.plugins.module_utils.tree import FOLDER

# Lessons; pictures; and lessons in another language, in a folder that is called by its code.
PATTERNS = ("[!.]*.ipynb", "[!.]*/[!.]*.png", "[a-z][a-z]/[!.]*.ipynb")
HANDED_OUT = ".handed_out.json"  # beside the untouched copies


def lessons_in(folder: Path) -> dict[str, bytes]:
    """Return the notebooks in a folder, and what is in its folders, by name: `a.ipynb`, `de/a.ipynb`, `b/c.png`."""
    paths = (path for pattern in PATTERNS for path in folder.glob(pattern) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(paths)}


def links_in(folder: Path) -> dict[str, str]:
    """Return the links in the folder of the untouched lessons, by name, each with the path that it leads to."""
    return {path.name: str(path.readlink()) for path in sorted(folder.glob("*")) if path.is_symlink()}


@dataclass
class Memory:
    """Which versions of each lesson were handed out, as SHA256 sums.

    known: by name, every version that a student may have; a file with one of these sums is untouched.
    given: by student and name, the newest version that the student got; it is not handed out again.
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
        """Return `known` by the lessons' paths in a home."""
        return {FOLDER + name: sums for name, sums in self.known.items()}

    def bytes(self) -> bytes:
        """Return the file's contents, for `read`."""
        stored = {"known": self.known, "students": self.given}
        return json.dumps(stored, indent=1, sort_keys=True).encode() + b"\n"
