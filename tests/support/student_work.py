"""A Pi with one student, for the tests of both sides of collecting, handing out, restoring and resetting work."""

import gzip
import os
from pathlib import Path
from typing import Any

from ansible_collections.mynn.pi.plugins.module_utils.parcel import place_of
from ansible_collections.mynn.pi.plugins.module_utils.students_folder import sha256
from ansible_collections.mynn.pi.plugins.module_utils.tree import File
from ansible_collections.mynn.pi.plugins.modules import lessons, student_work
from tests.support.student import STUDENT, account, give_to_student, read_files

LIMIT = 3 << 20
IN = "notebooks/"  # file names are relative to the home
LESSONS = {"part2.ipynb": b"two", "pictures/pen.png": b"pen"}


class Pi:
    """A Pi with a student's home, the lessons, and the skeleton from which homes are created."""

    def __init__(self, root: Path, given: dict[str, bytes] = LESSONS) -> None:
        self.home = root / "home"
        self.folder = self.home / "notebooks"
        self.pristine = root / "pristine"
        self.skel = root / "skel"
        for folder in (self.home, self.skel):
            folder.mkdir()
        (self.skel / ".profile").write_bytes(b"# as new")
        give_to_student(self.home)
        lessons.run(given, {STUDENT.pw_name: self.folder}, self.pristine)

    def write(self, name: str, content: bytes, owner: int = STUDENT.pw_uid) -> Path:
        """Write a file as the student would. Return its path."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        for made in (path, *path.parents[: len(Path(name).parts) - 1]):
            os.chown(made, owner, -1)
        return path

    def do(self, verb: str, *, dry: bool = False, **given: Any) -> Any:
        """Do what the module does. Return its answer."""
        given = {"limit": LIMIT, "kept": {}, "discard": False, **given}
        return student_work.do(verb, self.folder, self.pristine, account(self.home), given, dry, self.skel)

    def list(self, limit: int = LIMIT) -> tuple[dict[str, File], dict[str, str]]:
        """Return the student's files by name, and why others cannot be had."""
        files, left = self.do("list", limit=limit)
        return {file[0]: File(*file) for file in files}, left

    def packed(self, *files: File) -> bytes:
        """Let the Pi pack files. Return what is in the parcel."""
        place = place_of(self.pristine)
        place.parent.mkdir(exist_ok=True)
        self.do("pack", files=files)
        return gzip.decompress(place.read_bytes())

    def files(self) -> dict[str, bytes]:
        """Return the contents of each regular file in the student's folder, by its path; 16 MiB of it at most."""
        paths = [path for path in self.folder.rglob("*") if path.is_file() and not path.is_symlink()]
        return {str(path.relative_to(self.folder)): read_start(path) for path in paths}

    def check_baseline(self) -> None:
        """Check that the home is as it was when it was new."""
        lessons = {IN + name: content for name, content in LESSONS.items()}
        assert read_files(self.home) == lessons | {".profile": b"# as new"}
        assert {path.name for path in self.home.iterdir()} == {"notebooks", ".profile"}
        assert {path.stat().st_uid for path in self.home.rglob("*")} == {STUDENT.pw_uid}


def read_start(path: Path) -> bytes:
    """Return a file's first 16 MiB."""
    with path.open("rb") as file:
        return file.read(1 << 24)


def file_of(name: str, content: bytes) -> File:
    """Return a file as the control node describes it. name: its path in the home."""
    return File(name, len(content), sha256(content), 1600000000, False)
