"""Lessons in a student's folder: whatever the student does, nothing of the student's is lost."""

import fcntl
import json
import os
import pwd
import random
import resource
import shutil
import signal
import stat
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import ansible_mitogen
import pytest

from ansible_collections.mynn.pi.plugins.filter.known import unless_known
from ansible_collections.mynn.pi.plugins.module_utils import students_folder
from ansible_collections.mynn.pi.plugins.module_utils.files import locked
from ansible_collections.mynn.pi.plugins.module_utils.students_folder import LARGE
from ansible_collections.mynn.pi.plugins.modules import lessons, pi_facts

ROLES = Path(__file__).resolve().parents[3] / "roles"
# As root, the module works in the folder with the powers of another account; there is one on every Debian.
STUDENT = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
Lessons = dict[str, bytes]
V1: Lessons = {"part2.ipynb": b"two, first", "part3.ipynb": b"three, first"}
V2: Lessons = V1 | {"part2.ipynb": b"two, second"}
V3: Lessons = V1 | {"part2.ipynb": b"two, third"}
PICTURES: Lessons = V1 | {"pictures/pen_4.png": b"four, first", "pictures/pen_5.png": b"five, first"}


class Classroom:
    """A student's folder, and the untouched copies."""

    def __init__(self, root: Path) -> None:
        self.home = root / "home"
        self.folder = self.home / "notebooks"
        self.pristine = root / "opt" / "notebooks"
        self.home.mkdir()
        os.chown(self.home, STUDENT.pw_uid, STUDENT.pw_gid)

    def run(self, given: Lessons, dry: bool = False) -> list[Any]:
        """Hand the lessons out. Returns what changed."""
        changes: list[Any] = lessons.run(given, {STUDENT.pw_name: self.folder}, self.pristine, dry)
        return changes

    def settle(self, given: Lessons) -> None:
        """Hand the lessons out, and see that check mode tells the truth and a second run does nothing."""
        before, would = self.files(), self.run(given, dry=True)
        assert self.files() == before, "check mode changes nothing"
        assert self.run(given) == would, "check mode says what will be"
        assert self.run(given) == []
        assert self.run(given, dry=True) == []
        assert files(self.pristine) == given | {lessons.HANDED_OUT: (self.pristine / lessons.HANDED_OUT).read_bytes()}
        for path in self.pristine.rglob("*"):
            assert path.stat().st_mode & 0o7777 == (0o755 if path.is_dir() else 0o644)

    def write(self, name: str, content: bytes) -> None:
        """Do as Jupyter does: write in place."""
        if not (self.folder / name).parent.is_dir():
            (self.folder / name).parent.mkdir()
            self.own((self.folder / name).parent.name)
        (self.folder / name).write_bytes(content)
        self.own(name)

    def own(self, name: str) -> None:
        """Make what the test made the student's."""
        os.chown(self.folder / name, STUDENT.pw_uid, STUDENT.pw_gid, follow_symlinks=False)

    def files(self) -> Lessons:
        """Return each file in the student's folder, by its name."""
        return files(self.folder)


def files(folder: Path) -> Lessons:
    """Return each file in a folder and its folders, by its name."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def room(open_folder: Path) -> Classroom:
    return Classroom(open_folder)


def test_lessons_come_belong_to_the_student_and_are_updated(room: Classroom) -> None:
    room.settle(V1)
    assert room.files() == V1
    for path in (room.folder, *room.folder.iterdir()):
        assert path.stat().st_uid == STUDENT.pw_uid
    assert (room.folder / "part2.ipynb").stat().st_mode & 0o7777 == 0o644
    room.settle(V2)
    assert room.files() == V2


def test_a_touched_lesson_is_left_alone_and_the_new_one_put_beside_it_once(room: Classroom) -> None:
    room.settle(V1)
    room.write("part2.ipynb", b"mine")
    room.settle(V1)
    assert room.files() == V1 | {"part2.ipynb": b"mine"}, "nothing is new: nothing comes"
    room.settle(V2)
    assert room.files() == V2 | {"part2.ipynb": b"mine", "part2 (new).ipynb": b"two, second"}
    (room.folder / "part2 (new).ipynb").unlink()
    room.settle(V2)
    assert room.files() == V2 | {"part2.ipynb": b"mine"}, "what the student threw away does not come back"
    room.settle(V3)
    assert room.files() == V3 | {"part2.ipynb": b"mine", "part2 (new).ipynb": b"two, third"}


def test_an_untouched_new_one_is_updated_and_a_touched_one_left_alone(room: Classroom) -> None:
    room.settle(V1)
    room.write("part2.ipynb", b"mine")
    room.settle(V2)
    room.settle(V3)
    assert room.files() == V3 | {"part2.ipynb": b"mine", "part2 (new).ipynb": b"two, third"}
    room.write("part2 (new).ipynb", b"mine too")
    room.settle(V1)
    expected = {"part2.ipynb": b"mine", "part2 (new).ipynb": b"mine too", "part2 (new 2).ipynb": b"two, first"}
    assert room.files() == V1 | expected


def test_a_lesson_that_was_changed_back_is_untouched(room: Classroom) -> None:
    room.settle(V1)
    room.write("part2.ipynb", b"mine")
    room.settle(V2)
    room.write("part2.ipynb", b"two, first")
    room.settle(V3)
    assert room.files()["part2.ipynb"] == b"two, third"


def test_deleted_and_renamed_lessons_come_back_and_added_files_stay(room: Classroom) -> None:
    room.settle(V1)
    (room.folder / "part2.ipynb").rename(room.folder / "my part2.ipynb")
    (room.folder / "part3.ipynb").unlink()
    room.write("own.ipynb", b"own")
    (room.folder / "pictures").mkdir()
    room.settle(V2)
    assert room.files() == V2 | {"my part2.ipynb": b"two, first", "own.ipynb": b"own"}
    assert (room.folder / "pictures").is_dir()


def test_pictures_come_into_a_folder_of_their_own_and_are_treated_as_lessons(room: Classroom) -> None:
    room.settle(PICTURES)
    assert room.files() == PICTURES
    for path in (room.folder / "pictures").rglob("*"):
        assert path.stat().st_uid == STUDENT.pw_uid
    room.write("pictures/pen_4.png", b"mine")
    room.write("pictures/photo_7.jpg", b"mine too")
    (room.folder / "pictures/pen_5.png").unlink()
    mine = {"pictures/pen_4.png": b"mine", "pictures/photo_7.jpg": b"mine too"}
    room.settle(PICTURES)
    assert room.files() == PICTURES | mine
    new = {"pictures/pen_4.png": b"four, second", "pictures/pen_5.png": b"five, second"}
    room.settle(PICTURES | new)
    assert room.files() == PICTURES | new | mine | {"pictures/pen_4 (new).png": b"four, second"}
    shutil.rmtree(room.folder / "pictures")
    room.settle(PICTURES | new)
    assert room.files() == PICTURES | new
    room.settle(V1)
    assert room.files() == PICTURES | new, "what is taught no more stays with the student"


@pytest.mark.parametrize("what", ["a file", "a link", "a link to a folder", "another's", "closed"])
def test_whatever_is_in_place_of_the_pictures_folder_is_left_alone(what: str, room: Classroom, tmp_path: Path) -> None:
    room.settle(V1)
    place = room.folder / "pictures"
    if what == "a file":
        place.write_bytes(b"mine")
    elif what.startswith("a link"):
        place.symlink_to(tmp_path if what == "a link to a folder" else tmp_path / "nothing")
    else:
        place.mkdir(0 if what == "closed" else 0o755)
    if what != "another's":
        room.own("pictures")
    elif os.geteuid() != 0:
        pytest.skip("only root can make another's folder")
    room.run(PICTURES)
    if what == "closed":
        assert room.files() == PICTURES, "the student's own folder is opened, as the one it is in"
    else:
        assert room.files() == V1 | ({"pictures": b"mine"} if what == "a file" else {})
        assert list(tmp_path.iterdir()) == []
        assert room.run(PICTURES) == room.run(PICTURES, dry=True) == []
        place.unlink() if what != "another's" else place.rmdir()
        room.settle(PICTURES)
        assert room.files() == PICTURES


def test_a_killed_runs_rests_go_from_the_pictures_folder_too(room: Classroom) -> None:
    room.settle(PICTURES)
    room.write(f"pictures/{students_folder.OURS}x.new", b"four, fir")
    room.settle(PICTURES)
    assert room.files() == PICTURES


def test_a_lesson_that_is_taught_no_more_stays_with_the_student(room: Classroom) -> None:
    room.settle(V1)
    room.settle({"part3.ipynb": V1["part3.ipynb"]})
    assert room.files() == V1
    room.settle(V2)
    assert room.files() == V2, "taught again, it is still known as ours"


@pytest.mark.parametrize(
    "damage", [None, b"", b"{", b"[]", b'{"known": 1, "given": 2}', b'{"known": {"a": 1}}', b"\xff"]
)
def test_without_a_memory_nothing_is_lost(damage: bytes | None, room: Classroom) -> None:
    room.settle(V1)
    room.write("part3.ipynb", b"mine")
    store = room.pristine / lessons.HANDED_OUT
    store.unlink() if damage is None else store.write_bytes(damage)
    room.settle(V2)
    assert set(room.files().values()) == {b"two, first", b"two, second", b"three, first", b"mine"}


def test_links_lead_nowhere(room: Classroom, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"root's")
    secret.chmod(0o600)
    room.settle(V1)
    (room.folder / "part2.ipynb").unlink()
    (room.folder / "part2.ipynb").symlink_to(secret)
    (room.folder / "part2 (new).ipynb").symlink_to(tmp_path / "made by a run")
    (room.folder / "part3.ipynb").unlink()
    os.mkfifo(room.folder / "part3.ipynb")
    for name in ("part2.ipynb", "part2 (new).ipynb", "part3.ipynb"):
        room.own(name)
    room.settle(V2 | {"part3.ipynb": b"three, second"})
    assert secret.read_bytes() == b"root's"
    assert not (tmp_path / "made by a run").exists()
    assert (room.folder / "part2 (new 2).ipynb").read_bytes() == b"two, second"
    assert (room.folder / "part3 (new).ipynb").read_bytes() == b"three, second"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root could do harm")
def test_a_folder_that_is_a_link_gives_no_powers(room: Classroom, tmp_path: Path) -> None:
    roots = tmp_path / "roots"
    roots.mkdir(mode=0o755)
    for parent in (tmp_path, *tmp_path.parents[:2]):
        parent.chmod(0o755)
    room.folder.symlink_to(roots)
    room.run(V1)
    assert list(roots.iterdir()) == []
    assert room.files() == V1


def test_a_link_comes_where_nothing_is_and_replaces_nothing(room: Classroom, tmp_path: Path) -> None:
    def run(dry: bool = False, target: Path = tmp_path) -> Any:
        return lessons.run(V1, {STUDENT.pw_name: room.folder}, room.pristine, dry, links={"mnist_dataset": str(target)})

    link = room.folder / "mnist_dataset"
    would = run(dry=True)
    assert not link.exists()
    assert run() == would and run() == run(dry=True) == []
    for place in (link, room.pristine / "mnist_dataset"):
        assert str(place.readlink()) == str(tmp_path)
    assert link.lstat().st_uid == STUDENT.pw_uid

    link.unlink()
    assert len(run(dry=True)) == len(run()) == 1, "as a lesson that was deleted, it comes back"
    link.unlink()
    room.write("mnist_dataset/mnist_test_10.csv", b"the student's own")
    assert run() == [] and not link.is_symlink()
    (link / "mnist_test_10.csv").unlink()
    link.rmdir()
    link.symlink_to("nowhere")
    assert run() == [] and str(link.readlink()) == "nowhere"

    assert len(run(dry=True, target=tmp_path / "new")) == len(run(target=tmp_path / "new")) == 2
    assert str((room.pristine / "mnist_dataset").readlink()) == str(tmp_path / "new")
    assert lessons.run(V1, {STUDENT.pw_name: room.folder}, room.pristine) != []
    assert not (room.pristine / "mnist_dataset").is_symlink()


@pytest.mark.parametrize("what", ["a link", "a broken link", "a file", "a pipe", "another's folder"])
def test_what_is_in_the_folders_place_is_kept_beside_it(what: str, room: Classroom) -> None:
    room.run(V1)
    room.write("own", b"mine")
    room.folder.rename(room.home / "elsewhere")
    (room.home / "notebooks (old)").write_bytes(b"taken")
    if what.endswith("link"):
        room.folder.symlink_to(room.home / "elsewhere" if what == "a link" else "nowhere")
    elif what == "a file":
        room.folder.write_bytes(b"mine")
    elif what == "a pipe":
        os.mkfifo(room.folder)
    elif os.geteuid() == 0:
        room.folder.mkdir()
    else:
        pytest.skip("only root can make another's folder")
    if what != "another's folder":
        os.chown(room.folder, STUDENT.pw_uid, STUDENT.pw_gid, follow_symlinks=False)
    kind = stat.S_IFMT(room.folder.lstat().st_mode)
    assert room.run(PICTURES, dry=True) == room.run(PICTURES)
    assert room.files() == PICTURES
    assert room.run(PICTURES) == []
    assert files(room.home / "elsewhere") == V1 | {"own": b"mine"}
    assert (room.home / "notebooks (old)").read_bytes() == b"taken"
    kept = room.home / "notebooks (old 2)"
    assert stat.S_IFMT(kept.lstat().st_mode) == kind
    assert what != "a file" or kept.read_bytes() == b"mine"


def test_a_home_that_is_closed_to_the_student_is_opened(room: Classroom, monkeypatch: pytest.MonkeyPatch) -> None:
    account = pwd.struct_passwd((STUDENT.pw_name, "x", STUDENT.pw_uid, STUDENT.pw_gid, "", str(room.home), ""))
    monkeypatch.setattr(pwd, "getpwnam", lambda name: account)
    room.run(V1)
    room.write("own", b"mine")
    room.folder.chmod(0)
    room.home.chmod(0)
    look = room.run(V2, dry=True)
    assert room.home.stat().st_mode & 0o777 == 0, "a look changes nothing"
    assert room.run(V2) == look
    assert room.home.stat().st_mode & 0o777 == room.folder.stat().st_mode & 0o777 == 0o700
    assert room.files() == V2 | {"own": b"mine"}
    assert room.run(V2) == []


def test_a_lock_of_a_students_stops_nobody(room: Classroom, monkeypatch: pytest.MonkeyPatch) -> None:
    """A student may lock whatever a student can open, for as long as the student likes."""
    monkeypatch.setattr(lessons, "QUEUE", 1)
    room.run(V1)
    if os.geteuid() != 0:
        pytest.skip("only root can become a student who holds locks")
    ready = room.home / "ready"
    student = os.fork()
    if student == 0:
        os.setresuid(STUDENT.pw_uid, STUDENT.pw_uid, STUDENT.pw_uid)
        held = []
        for path in (room.pristine.parent, *room.pristine.parent.rglob("*")):
            with suppress(PermissionError):
                held.append(os.open(path, os.O_RDONLY))
                fcntl.flock(held[-1], fcntl.LOCK_EX | fcntl.LOCK_NB)
        ready.write_text(str(len(held)))
        time.sleep(60)
        os._exit(0)
    try:
        while not ready.exists() or not ready.read_text():
            time.sleep(0.01)
        assert int(ready.read_text()) > len(V1), "the student does hold the folders and the files in them"
        room.run(V2)
        assert room.files() == V2
    finally:
        os.kill(student, signal.SIGKILL)
        os.waitpid(student, 0)


def test_another_run_is_waited_for_and_not_for_ever(room: Classroom, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lessons, "QUEUE", 0.3)
    room.run(V1)
    lock = room.pristine.with_name(f".{room.pristine.name}.lock")
    assert lock.stat().st_mode & 0o777 == 0o600, "whoever can open it can hold it for ever"
    with locked(lock), pytest.raises(TimeoutError, match="another run is still using this"):
        room.run(V2)
    assert room.files() == V1


def test_a_lesson_for_which_every_name_is_taken_does_not_come_and_the_rest_does(room: Classroom) -> None:
    room.settle(V1)
    room.write("part2.ipynb", b"mine")
    for number in range(1, students_folder.BESIDE):
        room.write(f"part2 (new{f' {number}' if number > 1 else ''}).ipynb", b"mine")
    given = {name: content + b", now" for name, content in V1.items()}
    room.settle(given)
    assert room.files()["part3.ipynb"] == given["part3.ipynb"]


def test_what_only_has_the_name_of_a_rest_stays(room: Classroom) -> None:
    room.settle(V1)
    (room.folder / f"{students_folder.OURS}a.new").mkdir()
    (room.folder / f"{students_folder.OURS}b.new").symlink_to("nowhere")
    room.settle(V2)
    assert len(list(room.folder.glob(f"{students_folder.OURS}*"))) == 2


def test_folders_and_others_files_in_a_lessons_place_are_left_alone(room: Classroom) -> None:
    room.settle(V1)
    (room.folder / "part2.ipynb").unlink()
    (room.folder / "part2.ipynb").mkdir()
    (room.folder / "part3.ipynb").chmod(0)
    with (room.folder / "part2 (new).ipynb").open("wb") as file:
        file.truncate(LARGE + 1)
    for name in ("part2.ipynb", "part2 (new).ipynb"):
        room.own(name)
    room.settle({"part2.ipynb": b"two, second", "part3.ipynb": b"three, second"})
    assert (room.folder / "part2.ipynb").is_dir()
    assert (room.folder / "part2 (new).ipynb").stat().st_size == LARGE + 1
    assert (room.folder / "part2 (new 2).ipynb").read_bytes() == b"two, second"
    assert (room.folder / "part3.ipynb").stat().st_mode & 0o777 == 0
    assert (room.folder / "part3 (new).ipynb").read_bytes() == b"three, second"


def test_a_closed_folder_is_opened_and_a_missing_one_made(room: Classroom) -> None:
    room.settle(V1)
    room.folder.chmod(0)
    room.run(V2)
    assert room.files() == V2
    shutil.rmtree(room.folder)
    room.settle(V2)
    assert room.files() == V2


@pytest.mark.parametrize("save", ["in place", "by renaming", "never, but delete", "after deleting"])
def test_a_student_who_saves_at_the_same_moment_loses_nothing(
    save: str, room: Classroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    room.settle(V1)
    place, link, moments = room.folder / "part2.ipynb", os.link, ["this one"]
    if save == "after deleting":
        place.unlink()

    def link_at_that_moment(source: Path, target: Path) -> None:
        # The run has just seen that the lesson is untouched or absent, and is about to put the new one there.
        if moments and save != "in place":
            moments.clear()
            place.unlink(missing_ok=True)
            if save != "never, but delete":
                place.with_name("saved").write_bytes(b"mine")
                place.with_name("saved").rename(place)
        link(source, target)
        if save == "in place" and place.read_bytes() == V1["part2.ipynb"]:
            place.write_bytes(b"mine")

    monkeypatch.setattr(os, "link", link_at_that_moment)
    room.run(V2)
    monkeypatch.undo()
    mine = {"part2.ipynb": b"mine", "part2 (new).ipynb": b"two, second"}
    assert room.files() == V2 | ({} if save == "never, but delete" else mine)
    room.settle(V2)


def test_what_a_killed_run_left_goes_but_never_a_students_bytes(room: Classroom) -> None:
    room.settle(V1)
    rests = {".new": b"two, fir", ".old": b"two, first", "x.old": b"mine"}
    for suffix, content in rests.items():
        room.write(f"{students_folder.OURS}{suffix}", content)
    room.settle(V1)
    assert [path.read_bytes() for path in room.folder.glob(".*")] == [b"mine"]


def test_a_student_who_saves_all_the_time_loses_nothing(room: Classroom) -> None:
    room.settle(V1)
    path = room.folder / "part2.ipynb"

    saving = os.fork()
    if saving == 0:
        for number in range(2000):
            with path.open("wb") as file:  # as Jupyter does: in place
                file.write(b"mine, %d" % number)
        os._exit(0)
    version = 0
    while os.waitpid(saving, os.WNOHANG) == (0, 0):
        version += 1
        room.run(V1 | {"part2.ipynb": b"version %d" % version})
    assert version > 3
    assert path.read_bytes() == b"mine, 1999"


def test_each_of_several_students_is_given_what_he_has_not_had(room: Classroom) -> None:
    """Both by the same account here: only the folders and the memory are apart."""
    other = room.home / "other"
    room.settle(V1)
    room.write("part2.ipynb", b"mine")
    room.settle(V2)
    (room.folder / "part2 (new).ipynb").unlink()
    store = room.pristine / lessons.HANDED_OUT
    remembered = json.loads(store.read_bytes())
    assert list(remembered["students"]) == [STUDENT.pw_name]
    # Another student, of whom nothing is remembered; and the first, of whom all is.
    remembered["students"] = {"another": {}, **remembered["students"]}
    store.write_text(json.dumps(remembered))
    other.mkdir()
    os.chown(other, STUDENT.pw_uid, STUDENT.pw_gid)
    memory = lessons.Memory.read(room.pristine)
    lessons.as_student(STUDENT, lambda: lessons.hand_out(other, V2, {}, memory, memory.given["another"], False))
    room.run(V2)
    assert files(other) == V2
    assert room.files() == V2 | {"part2.ipynb": b"mine"}


def test_what_was_remembered_of_the_only_student_holds_for_each(room: Classroom) -> None:
    """As Pis remember it that were made when there could be one only."""
    room.settle(V1)
    room.write("part2.ipynb", b"mine")
    store = room.pristine / lessons.HANDED_OUT
    remembered = json.loads(store.read_bytes())
    [given] = remembered.pop("students").values()
    store.write_text(json.dumps(remembered | {"given": given}))
    room.run(V1)
    assert room.files() == V1 | {"part2.ipynb": b"mine"}
    room.settle(V1)


def test_an_account_that_is_missing_is_named(room: Classroom) -> None:
    with pytest.raises(KeyError, match="nobody-at-all"):
        lessons.run(V1, {"nobody-at-all": room.folder}, room.pristine)


def test_a_full_card_loses_nothing_and_the_next_run_completes(room: Classroom) -> None:
    room.settle(V1)
    room.write("part3.ipynb", b"mine")
    (room.folder / "part2.ipynb").unlink()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            room.run(V1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.name for path in room.folder.iterdir()] == ["part3.ipynb"], "nothing half-written is left"
    room.settle(V1)
    assert room.files() == V1 | {"part3.ipynb": b"mine"}


def act(room: Classroom, chance: random.Random, number: int) -> None:
    """Do something that a student may do."""
    names = sorted(str(path.relative_to(room.folder)) for path in room.folder.rglob("*"))
    ours = ["part2.ipynb", "part2 (new).ipynb", "part3.ipynb", "pictures/4.png", "pictures/4 (new).png"]
    name = chance.choice([*names, *ours, "own.ipynb", "pictures/own.png"])
    path, other = room.folder / name, room.folder / chance.choice([*names, f"other {number}.ipynb"])
    what = chance.choice(["edit", "delete", "rename", "copy", "link", "folder", "move a folder"])
    if path.parent.is_file() or (what == "link" and not path.parent.is_dir()):
        return
    if what == "edit" and not path.is_dir():
        room.write(name, b"student's %d" % number)
    elif what == "delete" and path.is_file():
        path.unlink()
    elif what == "rename" and path.is_file() and not other.is_dir():
        path.rename(other)
    elif what == "copy" and path.is_file() and not other.is_dir():
        room.write(other.name, path.read_bytes())
    elif what == "link" and path.is_file() and not other.exists():
        os.link(path, other)
    elif what == "folder" and not path.exists():
        path.mkdir(parents=True)
        for made in {name, str(Path(name).parent)}:
            room.own(made)
    elif what == "move a folder" and path.is_dir() and not other.exists():
        path.rename(room.folder / f"folder {number}")


@pytest.mark.slow
@pytest.mark.parametrize("forgetful", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_whatever_a_student_does_nothing_is_lost(seed: int, forgetful: bool, room: Classroom) -> None:
    chance = random.Random(seed)
    ours = {name: {V1.get(name, b"")} for name in ("part2.ipynb", "part3.ipynb", "pictures/4.png")}
    room.settle(V1)
    for number in range(20):
        taught = [name for name in ours if chance.random() < 0.9] or ["part2.ipynb"]
        given = {name: b"%s %d" % (name.encode(), chance.randrange(4)) for name in taught}
        for _ in range(chance.randrange(5)):
            act(room, chance, number)
        if forgetful and chance.random() < 0.2:
            (room.pristine / lessons.HANDED_OUT).unlink()
        before = room.files()
        room.settle(given)
        after = room.files()
        for name, content in before.items():
            is_ours = any(content in versions for versions in ours.values())
            assert after.get(name) == content or is_ours, f"{name} was {content!r}, the student's"
        for name, content in given.items():
            untouched = name not in before or (before[name] in ours[name] and not forgetful)
            taken = (room.folder / name).is_dir() or not lessons.may_be_folder((room.folder / name).parent)
            assert after.get(name) == content or not untouched or taken
            ours[name].add(content)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["linear", "mitogen_linear"])
def test_ansible_hands_out_the_very_bytes(strategy: str, room: Classroom, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    cells = [{"cell_type": "code", "source": ["print('{{ not.a.template }}', '{% raw %}', 'é', [1], {})\n"]}]
    (source / "a.ipynb").write_text(json.dumps({"cells": cells, "nbformat": 4}, ensure_ascii=False) + "\n\n")
    (source / "b.ipynb").write_bytes(b"\r\n\r\n[17, None] \t")
    (source / "pictures").mkdir()
    (source / "pictures/a_4.png").write_bytes(bytes(range(256)))
    given = files(source)
    (source / "pictures/make.py").write_text("stays here")
    settings = {
        "classroom_folders": {STUDENT.pw_name: str(room.folder)},
        "lessons_pristine": str(room.pristine),
        "lessons_source": str(source),
        "mnist_folder": f"{tmp_path}/mnist/",
    }
    (tmp_path / "play.yml").write_text("- {hosts: all, gather_facts: false, roles: [lessons]}\n")
    command = [
        *(str(Path(sys.executable).with_name("ansible-playbook")), f"{tmp_path}/play.yml"),
        *("-i", "pi-01,", "-c", "local", "-e", json.dumps(settings)),
    ]
    plugins = Path(ansible_mitogen.__file__).parent / "plugins" / "strategy"
    environment = os.environ | {"ANSIBLE_ROLES_PATH": str(ROLES), "ANSIBLE_STRATEGY": strategy}
    environment["ANSIBLE_STRATEGY_PLUGINS"] = str(plugins)

    def play(*options: str) -> str:
        run = subprocess.run([*command, *options], env=environment, capture_output=True, text=True)
        assert run.returncode == 0, run.stdout + run.stderr
        return run.stdout

    printed = play("--check", "--diff")
    assert "changed=1 " in printed
    assert f"+{room.folder}/a.ipynb" in printed
    assert not room.folder.exists()
    assert "changed=1 " in play()
    assert room.files() == given
    room.write("a.ipynb", b"mine")
    (source / "a.ipynb").write_bytes(b"new")
    assert "changed=1 " in play()
    assert room.files() == given | {"a.ipynb": b"mine", "a (new).ipynb": b"new"}
    assert "changed=0 " in play()
    assert "changed=0 " in play("--check", "--diff")
    # What the Pi has is not sent again, but taken from there.
    found = pi_facts.files([f"{room.pristine}/**/*"])
    facts = ["-e", json.dumps({"__system_pi": {"files": {path: pi_facts.state(Path(path)) for path in found}}})]
    assert "changed=0 " in play(*facts)
    (room.folder / "b.ipynb").unlink()
    assert "changed=1 " in play(*facts)
    assert room.files() == given | {"a.ipynb": b"mine", "a (new).ipynb": b"new"}


def test_lessons_that_a_pi_has_are_left_out() -> None:
    sums = {"/p/a.ipynb": "0644 a9993e364706816aba3e25717850c26c9cd0d89d", "/p/m/b.png": "0644 da39"}  # of abc
    assert unless_known({"a.ipynb": "YWJj", "m/b.png": "YWJj", "c.ipynb": ""}, "/p", sums) == {
        "a.ipynb": None,
        "m/b.png": "YWJj",
        "c.ipynb": "",
    }
    sums["/p/a.ipynb"] = sums["/p/a.ipynb"].replace("0644", "0600")
    assert unless_known({"a.ipynb": "YWJj"}, "/p", sums) == {"a.ipynb": "YWJj"}


@pytest.mark.slow
def test_a_run_killed_at_any_moment_is_completed_by_the_next(room: Classroom) -> None:
    room.settle(V1)
    room.write("part3.ipynb", b"mine")
    began = time.monotonic()
    room.run(V2)
    took = time.monotonic() - began
    for turn in range(40):
        given = {"part2.ipynb": b"two %d" % turn, "part3.ipynb": b"three %d" % turn}
        child = os.fork()
        if child == 0:
            room.run(given)
            os._exit(0)
        time.sleep(took * turn / 30)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        room.run(given)
        files = room.files()
        assert files["part3.ipynb"] == b"mine"
        assert files["part2.ipynb"] == given["part2.ipynb"]
        assert files["part3 (new).ipynb"] == given["part3.ipynb"]
        assert list(room.folder.glob(f"{students_folder.OURS}*")) == []
        room.settle(given)
