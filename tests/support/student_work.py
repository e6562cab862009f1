"""A Pi with one student, for the tests of both sides of collecting, handing out, restoring and resetting work."""

import gzip
import io
import os
from pathlib import Path
from typing import Any

from ansible_collections.mynn.pi.plugins.module_utils.parcel import pack, place_of
from ansible_collections.mynn.pi.plugins.module_utils.students_folder import sha256
from ansible_collections.mynn.pi.plugins.module_utils.tree import File
from ansible_collections.mynn.pi.plugins.modules import lessons, student_work
from tests.support.student import STUDENT, account, give_to_student, read_files

LIMIT = 5000
IN = "notebooks/"  # file names are relative to the home
LESSONS = {"part2.ipynb": b"two", "pictures/pen.png": b"pen"}


class Pi:
    """A Pi with a student's home, the lessons, and the skeleton from which homes are created."""

    def __init__(self, root: Path, limit: int = LIMIT, given: dict[str, bytes] = LESSONS) -> None:
        self.home = root / "home"
        self.folder = self.home / "notebooks"
        self.pristine = root / "pristine"
        self.skel = root / "skel"
        self.limit = limit
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
        given = {"limit": self.limit, "kept": {}, "discard": False, **given}
        return student_work.do(verb, self.folder, self.pristine, account(self.home), given, dry, self.skel)

    def list(self) -> tuple[dict[str, File], dict[str, str]]:
        """Return the student's files by name, and why others cannot be had."""
        files, left = self.do("list")
        return {file[0]: File(*file) for file in files}, left

    def parcel(self) -> Path:
        """Return where the parcel is, in a folder that is there."""
        place_of(self.pristine).parent.mkdir(exist_ok=True)
        return place_of(self.pristine)

    def receive(self, files: dict[File, bytes], over_lessons: bool = False) -> None:
        """Let the Pi unpack a parcel with these files."""
        with gzip.open(self.parcel(), "wb") as parcel:
            pack(parcel, [*files], lambda file: io.BytesIO(files[file]))
        self.do("write", files=[*files], over_lessons=over_lessons)

    def send(self, files: dict[str, bytes], over_lessons: bool = False) -> Any:
        """Send files. Check that the plan predicts the changes and that then nothing more is needed."""
        given = {file_of(IN + name, content): content for name, content in files.items()}
        asked: Any = {"files": [*given], "over_lessons": over_lessons}
        before = self.files()
        plan = self.do("plan", dry=True, **asked)
        assert self.files() == before
        assert self.do("plan", **asked) == plan
        self.receive({file: content for file, content in given.items() if file.name in plan[0]}, over_lessons)
        assert self.do("plan", **asked) == [[], [], {}]
        return plan[0]

    def files(self) -> dict[str, bytes]:
        """Return the contents of each regular file in the student's folder, by its path; 16 MiB of it at most."""
        paths = [path for path in self.folder.rglob("*") if path.is_file() and not path.is_symlink()]
        return {str(path.relative_to(self.folder)): path.open("rb").read(1 << 24) for path in paths}

    def check_baseline(self) -> None:
        """Check that the home is as it was when it was new."""
        lessons = {IN + name: content for name, content in LESSONS.items()}
        assert read_files(self.home) == lessons | {".profile": b"# as new"}
        assert {path.name for path in self.home.iterdir()} == {"notebooks", ".profile"}
        assert {path.stat().st_uid for path in self.home.rglob("*")} == {STUDENT.pw_uid}


def file_of(name: str, content: bytes) -> File:
    """Return a file as the control node describes it. name: its path in the home."""
    return File(name, len(content), sha256(content), 1600000000, False)
