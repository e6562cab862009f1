"""The lessons, and which versions of them were handed out."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.mynn.pi.plugins.module_utils.chunks import FOLDER

PATTERNS = ("[!.]*.ipynb", "[!.]*/[!.]*.png")
HANDED_OUT = ".handed_out.json"  # beside the untouched copies


def lessons_in(folder: Path) -> dict[str, bytes]:
    """Return the notebooks in a folder, and the pictures in its folders, by name: `a.ipynb`, `pictures/b.png`."""
    paths = (path for pattern in PATTERNS for path in folder.glob(pattern) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(paths)}


@dataclass
class Lesson:
    """A notebook's description of itself: its first heading, and its metadata `mynn`."""

    title: str
    number: int = 1000  # the lesson's place in the order; without metadata it is last
    minutes: int = 0
    learn: str = ""


def outline(folder: Path) -> dict[str, Lesson]:
    """Return the lessons in a folder by their names without `.ipynb`, in the order in which a class has them."""
    lessons = {
        name.removesuffix(".ipynb"): _described(name.removesuffix(".ipynb"), content)
        for name, content in lessons_in(folder).items()
        if name.endswith(".ipynb")
    }
    return dict(sorted(lessons.items(), key=lambda item: (item[1].number, item[0])))


def _described(stem: str, notebook_json: bytes) -> Lesson:
    """Return a notebook's description of itself. Whatever is missing or damaged keeps its default."""
    lesson = Lesson(stem.replace("_", " "))
    with suppress(ValueError, LookupError, TypeError, AttributeError):
        notebook = json.loads(notebook_json)
        text = "\n".join("".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "markdown")
        if heading := re.search(r"^# +(.+)$", text, re.M):
            lesson.title = re.sub(r"[*`$]", "", heading[1]).strip() or lesson.title
        about = notebook["metadata"]["mynn"]
        lesson.number = int(about["lesson"])
        lesson.minutes, lesson.learn = int(about["minutes"]), str(about["learn"])
    return lesson


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
