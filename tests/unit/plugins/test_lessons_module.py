"""Lessons in a student's folder: whatever the student does, none of the student's work is lost."""

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
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import ansible_mitogen
import pytest

from ansible_collections.mynn.pi.plugins.filter.known import unless_known
from ansible_collections.mynn.pi.plugins.module_utils import students_folder
from ansible_collections.mynn.pi.plugins.module_utils.file_state import state_of
from ansible_collections.mynn.pi.plugins.module_utils.files import locked
from ansible_collections.mynn.pi.plugins.module_utils.students_folder import LARGE
from ansible_collections.mynn.pi.plugins.modules import lessons, pi_facts
from tests.support.programs import ANSIBLE_PLAYBOOK, ROOT
from tests.support.student import STUDENT, account, as_root, give_to_student, read_files

Lessons = dict[str, bytes]
V1: Lessons = {"part2.ipynb": b"two, first", "part3.ipynb": b"three, first"}
V2: Lessons = V1 | {"part2.ipynb": b"two, second"}
V3: Lessons = V1 | {"part2.ipynb": b"two, third"}
PICTURES: Lessons = V1 | {"pictures/pen_4.png": b"four, first", "pictures/pen_5.png": b"five, first"}


class Pi:
    """A student's folder, and the pristine copies of the lessons."""

    def __init__(self, root: Path) -> None:
        self.home = root / "home"
        self.folder = self.home / "notebooks"
        self.pristine = root / "opt" / "notebooks"
        self.home.mkdir()
        give_to_student(self.home)

    def run(self, given: Lessons, dry: bool = False) -> list[Any]:
        """Run the module. Return what changed."""
        changes: list[Any] = lessons.run(given, {STUDENT.pw_name: self.folder}, self.pristine, dry)
        return changes

    def hand_out(self, given: Lessons) -> None:
        """Hand out lessons. Check that check mode predicts the changes and that a second run changes nothing."""
        before, predicted = self.files(), self.run(given, dry=True)
        assert self.files() == before, "check mode changes nothing"
        assert self.run(given) == predicted, "check mode predicts the changes"
        assert self.run(given) == []
        assert self.run(given, dry=True) == []
        assert read_files(self.pristine) == given | {
            lessons.HANDED_OUT: (self.pristine / lessons.HANDED_OUT).read_bytes()
        }
        for path in self.pristine.rglob("*"):
            assert path.stat().st_mode & 0o7777 == (0o755 if path.is_dir() else 0o644)

    def write(self, name: str, content: bytes) -> None:
        """Write a file as Jupyter does: in place."""
        if not (self.folder / name).parent.is_dir():
            (self.folder / name).parent.mkdir()
            self.own((self.folder / name).parent.name)
        (self.folder / name).write_bytes(content)
        self.own(name)

    def own(self, name: str) -> None:
        """Make the student the owner of what the test created."""
        give_to_student(self.folder / name)

    def files(self) -> Lessons:
        """Return the contents of each file in the student's folder, by its path."""
        return read_files(self.folder)


@pytest.fixture
def pi(open_folder: Path) -> Pi:
    return Pi(open_folder)


def test_lessons_are_copied_updated_and_owned_by_the_student(pi: Pi) -> None:
    pi.hand_out(V1)
    assert pi.files() == V1
    for path in (pi.folder, *pi.folder.iterdir()):
        assert path.stat().st_uid == STUDENT.pw_uid
    assert (pi.folder / "part2.ipynb").stat().st_mode & 0o7777 == 0o644
    pi.hand_out(V2)
    assert pi.files() == V2


def test_an_edited_lesson_is_kept_and_the_new_version_is_put_beside_it_once(pi: Pi) -> None:
    pi.hand_out(V1)
    pi.write("part2.ipynb", b"mine")
    pi.hand_out(V1)
    assert pi.files() == V1 | {"part2.ipynb": b"mine"}, "there is no new version, so nothing is put beside it"
    pi.hand_out(V2)
    assert pi.files() == V2 | {"part2.ipynb": b"mine", "part2 (new).ipynb": b"two, second"}
    (pi.folder / "part2 (new).ipynb").unlink()
    pi.hand_out(V2)
    assert pi.files() == V2 | {"part2.ipynb": b"mine"}, "a new version that the student deleted does not come back"
    pi.hand_out(V3)
    assert pi.files() == V3 | {"part2.ipynb": b"mine", "part2 (new).ipynb": b"two, third"}


def test_an_unedited_new_version_is_updated_and_an_edited_one_is_kept(pi: Pi) -> None:
    pi.hand_out(V1)
    pi.write("part2.ipynb", b"mine")
    pi.hand_out(V2)
    pi.hand_out(V3)
    assert pi.files() == V3 | {"part2.ipynb": b"mine", "part2 (new).ipynb": b"two, third"}
    pi.write("part2 (new).ipynb", b"mine too")
    pi.hand_out(V1)
    expected = {"part2.ipynb": b"mine", "part2 (new).ipynb": b"mine too", "part2 (new 2).ipynb": b"two, first"}
    assert pi.files() == V1 | expected


def test_a_lesson_that_was_changed_back_counts_as_unedited(pi: Pi) -> None:
    pi.hand_out(V1)
    pi.write("part2.ipynb", b"mine")
    pi.hand_out(V2)
    pi.write("part2.ipynb", b"two, first")
    pi.hand_out(V3)
    assert pi.files()["part2.ipynb"] == b"two, third"


def test_deleted_and_renamed_lessons_come_back_and_the_students_files_stay(pi: Pi) -> None:
    pi.hand_out(V1)
    (pi.folder / "part2.ipynb").rename(pi.folder / "my part2.ipynb")
    (pi.folder / "part3.ipynb").unlink()
    pi.write("own.ipynb", b"own")
    (pi.folder / "pictures").mkdir()
    pi.hand_out(V2)
    assert pi.files() == V2 | {"my part2.ipynb": b"two, first", "own.ipynb": b"own"}
    assert (pi.folder / "pictures").is_dir()


def test_pictures_go_into_a_folder_of_their_own_and_are_treated_like_lessons(pi: Pi) -> None:
    pi.hand_out(PICTURES)
    assert pi.files() == PICTURES
    for path in (pi.folder / "pictures").rglob("*"):
        assert path.stat().st_uid == STUDENT.pw_uid
    pi.write("pictures/pen_4.png", b"mine")
    pi.write("pictures/photo_7.jpg", b"mine too")
    (pi.folder / "pictures/pen_5.png").unlink()
    mine = {"pictures/pen_4.png": b"mine", "pictures/photo_7.jpg": b"mine too"}
    pi.hand_out(PICTURES)
    assert pi.files() == PICTURES | mine
    new = {"pictures/pen_4.png": b"four, second", "pictures/pen_5.png": b"five, second"}
    pi.hand_out(PICTURES | new)
    assert pi.files() == PICTURES | new | mine | {"pictures/pen_4 (new).png": b"four, second"}
    shutil.rmtree(pi.folder / "pictures")
    pi.hand_out(PICTURES | new)
    assert pi.files() == PICTURES | new
    pi.hand_out(V1)
    assert pi.files() == PICTURES | new, "files that are no longer handed out stay with the student"


@pytest.mark.parametrize("what", ["a file", "a link", "a link to a folder", "another's", "unreadable"])
def test_anything_else_named_pictures_is_left_alone(what: str, pi: Pi, tmp_path: Path) -> None:
    pi.hand_out(V1)
    place = pi.folder / "pictures"
    if what == "a file":
        place.write_bytes(b"mine")
    elif what.startswith("a link"):
        place.symlink_to(tmp_path if what == "a link to a folder" else tmp_path / "nothing")
    else:
        place.mkdir(0 if what == "unreadable" else 0o755)
    if what != "another's":
        pi.own("pictures")
    elif os.geteuid() != 0:
        pytest.skip("only root can create another account's folder")
    pi.run(PICTURES)
    if what == "unreadable":
        assert pi.files() == PICTURES, "the student's own folder is made readable again, like the one it is in"
    else:
        assert pi.files() == V1 | ({"pictures": b"mine"} if what == "a file" else {})
        assert list(tmp_path.iterdir()) == []
        assert pi.run(PICTURES) == pi.run(PICTURES, dry=True) == []
        place.unlink() if what != "another's" else place.rmdir()
        pi.hand_out(PICTURES)
        assert pi.files() == PICTURES


def test_files_left_by_a_killed_run_are_removed_from_the_pictures_folder_too(pi: Pi) -> None:
    pi.hand_out(PICTURES)
    pi.write(f"pictures/{students_folder.OURS}x.new", b"four, fir")
    pi.hand_out(PICTURES)
    assert pi.files() == PICTURES


def test_a_lesson_that_is_no_longer_handed_out_stays_with_the_student(pi: Pi) -> None:
    pi.hand_out(V1)
    pi.hand_out({"part3.ipynb": V1["part3.ipynb"]})
    assert pi.files() == V1
    pi.hand_out(V2)
    assert pi.files() == V2, "handed out again, the old copy is still known to be ours"


@pytest.mark.parametrize(
    "damage", [None, b"", b"{", b"[]", b'{"known": 1, "given": 2}', b'{"known": {"a": 1}}', b"\xff"]
)
def test_without_the_record_of_earlier_runs_nothing_is_lost(damage: bytes | None, pi: Pi) -> None:
    pi.hand_out(V1)
    pi.write("part3.ipynb", b"mine")
    store = pi.pristine / lessons.HANDED_OUT
    store.unlink() if damage is None else store.write_bytes(damage)
    pi.hand_out(V2)
    assert set(pi.files().values()) == {b"two, first", b"two, second", b"three, first", b"mine"}


def test_links_in_place_of_lessons_are_not_followed(pi: Pi, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"root's")
    secret.chmod(0o600)
    pi.hand_out(V1)
    (pi.folder / "part2.ipynb").unlink()
    (pi.folder / "part2.ipynb").symlink_to(secret)
    (pi.folder / "part2 (new).ipynb").symlink_to(tmp_path / "made by a run")
    (pi.folder / "part3.ipynb").unlink()
    os.mkfifo(pi.folder / "part3.ipynb")
    for name in ("part2.ipynb", "part2 (new).ipynb", "part3.ipynb"):
        pi.own(name)
    pi.hand_out(V2 | {"part3.ipynb": b"three, second"})
    assert secret.read_bytes() == b"root's"
    assert not (tmp_path / "made by a run").exists()
    assert (pi.folder / "part2 (new 2).ipynb").read_bytes() == b"two, second"
    assert (pi.folder / "part3 (new).ipynb").read_bytes() == b"three, second"


@as_root
def test_a_link_in_place_of_the_folder_cannot_make_root_write_elsewhere(pi: Pi, open_folder: Path) -> None:
    roots = open_folder / "roots"
    roots.mkdir(mode=0o755)
    pi.folder.symlink_to(roots)
    pi.run(V1)
    assert list(roots.iterdir()) == []
    assert pi.files() == V1


def test_a_link_to_mnist_is_created_and_replaces_nothing(pi: Pi, tmp_path: Path) -> None:
    def run(dry: bool = False, target: Path = tmp_path) -> Any:
        return lessons.run(V1, {STUDENT.pw_name: pi.folder}, pi.pristine, dry, links={"mnist_dataset": str(target)})

    link = pi.folder / "mnist_dataset"
    predicted = run(dry=True)
    assert not link.exists()
    assert run() == predicted and run() == run(dry=True) == []
    for place in (link, pi.pristine / "mnist_dataset"):
        assert str(place.readlink()) == str(tmp_path)
    assert link.lstat().st_uid == STUDENT.pw_uid

    link.unlink()
    assert len(run(dry=True)) == len(run()) == 1, "like a deleted lesson, it comes back"
    link.unlink()
    pi.write("mnist_dataset/mnist_test_10.csv", b"the student's own")
    assert run() == [] and not link.is_symlink()
    (link / "mnist_test_10.csv").unlink()
    link.rmdir()
    link.symlink_to("nowhere")
    assert run() == [] and str(link.readlink()) == "nowhere"

    assert len(run(dry=True, target=tmp_path / "new")) == len(run(target=tmp_path / "new")) == 2
    assert str((pi.pristine / "mnist_dataset").readlink()) == str(tmp_path / "new")
    assert lessons.run(V1, {STUDENT.pw_name: pi.folder}, pi.pristine) != []
    assert not (pi.pristine / "mnist_dataset").is_symlink()


@pytest.mark.parametrize("what", ["a link", "a broken link", "a file", "a pipe", "another's folder"])
def test_anything_in_place_of_the_folder_is_moved_aside_and_kept(what: str, pi: Pi) -> None:
    pi.run(V1)
    pi.write("own", b"mine")
    pi.folder.rename(pi.home / "elsewhere")
    (pi.home / "notebooks (old)").write_bytes(b"taken")
    if what.endswith("link"):
        pi.folder.symlink_to(pi.home / "elsewhere" if what == "a link" else "nowhere")
    elif what == "a file":
        pi.folder.write_bytes(b"mine")
    elif what == "a pipe":
        os.mkfifo(pi.folder)
    elif os.geteuid() == 0:
        pi.folder.mkdir()
    else:
        pytest.skip("only root can create another account's folder")
    if what != "another's folder":
        give_to_student(pi.folder)
    kind = stat.S_IFMT(pi.folder.lstat().st_mode)
    assert pi.run(PICTURES, dry=True) == pi.run(PICTURES)
    assert pi.files() == PICTURES
    assert pi.run(PICTURES) == []
    assert read_files(pi.home / "elsewhere") == V1 | {"own": b"mine"}
    assert (pi.home / "notebooks (old)").read_bytes() == b"taken"
    kept = pi.home / "notebooks (old 2)"
    assert stat.S_IFMT(kept.lstat().st_mode) == kind
    assert what != "a file" or kept.read_bytes() == b"mine"


def test_a_home_that_the_student_cannot_enter_is_opened(pi: Pi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pwd, "getpwnam", lambda name: account(pi.home))
    pi.run(V1)
    pi.write("own", b"mine")
    pi.folder.chmod(0)
    pi.home.chmod(0)
    predicted = pi.run(V2, dry=True)
    assert pi.home.stat().st_mode & 0o777 == 0, "check mode changes nothing"
    assert pi.run(V2) == predicted
    assert pi.home.stat().st_mode & 0o777 == pi.folder.stat().st_mode & 0o777 == 0o700
    assert pi.files() == V2 | {"own": b"mine"}
    assert pi.run(V2) == []


@as_root
def test_a_lock_that_a_student_holds_stops_nobody(pi: Pi, monkeypatch: pytest.MonkeyPatch) -> None:
    """Students can lock any file that they can open, for as long as they like."""
    monkeypatch.setattr(lessons, "QUEUE", 1)
    pi.run(V1)
    ready = pi.home / "ready"
    student = os.fork()
    if student == 0:
        os.setresuid(STUDENT.pw_uid, STUDENT.pw_uid, STUDENT.pw_uid)
        held = []
        for path in (pi.pristine.parent, *pi.pristine.parent.rglob("*")):
            with suppress(PermissionError):
                held.append(os.open(path, os.O_RDONLY))
                fcntl.flock(held[-1], fcntl.LOCK_EX | fcntl.LOCK_NB)
        ready.write_text(str(len(held)))
        time.sleep(60)
        os._exit(0)
    try:
        while not ready.exists() or not ready.read_text():
            time.sleep(0.01)
        assert int(ready.read_text()) > len(V1), "the student holds locks on the folders and on the files in them"
        pi.run(V2)
        assert pi.files() == V2
    finally:
        os.kill(student, signal.SIGKILL)
        os.waitpid(student, 0)


def test_a_run_waits_for_another_one_but_not_for_ever(pi: Pi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lessons, "QUEUE", 0.3)
    pi.run(V1)
    lock = pi.pristine.with_name(f".{pi.pristine.name}.lock")
    assert lock.stat().st_mode & 0o777 == 0o600, "anybody who can open it could hold it for ever"
    with locked(lock), pytest.raises(TimeoutError, match="another run is still using this"):
        pi.run(V2)
    assert pi.files() == V1


def test_a_lesson_is_skipped_if_every_name_for_it_is_taken(pi: Pi) -> None:
    pi.hand_out(V1)
    pi.write("part2.ipynb", b"mine")
    for number in range(1, students_folder.BESIDE):
        pi.write(f"part2 (new{f' {number}' if number > 1 else ''}).ipynb", b"mine")
    given = {name: content + b", now" for name, content in V1.items()}
    pi.hand_out(given)
    assert pi.files()["part3.ipynb"] == given["part3.ipynb"]


def test_only_regular_files_are_removed_as_leftovers_of_a_killed_run(pi: Pi) -> None:
    pi.hand_out(V1)
    (pi.folder / f"{students_folder.OURS}a.new").mkdir()
    (pi.folder / f"{students_folder.OURS}b.new").symlink_to("nowhere")
    pi.hand_out(V2)
    assert len(list(pi.folder.glob(f"{students_folder.OURS}*"))) == 2


def test_anything_but_our_lesson_in_its_place_is_left_alone(pi: Pi) -> None:
    pi.hand_out(V1)
    (pi.folder / "part2.ipynb").unlink()
    (pi.folder / "part2.ipynb").mkdir()
    (pi.folder / "part3.ipynb").chmod(0)
    with (pi.folder / "part2 (new).ipynb").open("wb") as file:
        file.truncate(LARGE + 1)
    for name in ("part2.ipynb", "part2 (new).ipynb"):
        pi.own(name)
    pi.hand_out({"part2.ipynb": b"two, second", "part3.ipynb": b"three, second"})
    assert (pi.folder / "part2.ipynb").is_dir()
    assert (pi.folder / "part2 (new).ipynb").stat().st_size == LARGE + 1
    assert (pi.folder / "part2 (new 2).ipynb").read_bytes() == b"two, second"
    assert (pi.folder / "part3.ipynb").stat().st_mode & 0o777 == 0
    assert (pi.folder / "part3 (new).ipynb").read_bytes() == b"three, second"


def test_an_unreadable_folder_is_opened_and_a_missing_one_is_created(pi: Pi) -> None:
    pi.hand_out(V1)
    pi.folder.chmod(0)
    pi.run(V2)
    assert pi.files() == V2
    shutil.rmtree(pi.folder)
    pi.hand_out(V2)
    assert pi.files() == V2


@pytest.mark.parametrize("save", ["in place", "by renaming", "never, but delete", "after deleting"])
def test_a_student_who_saves_during_the_run_loses_nothing(save: str, pi: Pi, monkeypatch: pytest.MonkeyPatch) -> None:
    pi.hand_out(V1)
    place, link, moments = pi.folder / "part2.ipynb", os.link, ["this one"]
    if save == "after deleting":
        place.unlink()

    def link_at_that_moment(source: Path, target: Path) -> None:
        # The run has just seen that the lesson is unedited or absent, and is about to put the new version there.
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
    pi.run(V2)
    monkeypatch.undo()
    mine = {"part2.ipynb": b"mine", "part2 (new).ipynb": b"two, second"}
    assert pi.files() == V2 | ({} if save == "never, but delete" else mine)
    pi.hand_out(V2)


def test_files_left_by_a_killed_run_are_removed_unless_they_hold_a_students_work(pi: Pi) -> None:
    pi.hand_out(V1)
    leftovers = {".new": b"two, fir", ".old": b"two, first", "x.old": b"mine"}
    for suffix, content in leftovers.items():
        pi.write(f"{students_folder.OURS}{suffix}", content)
    pi.hand_out(V1)
    assert [path.read_bytes() for path in pi.folder.glob(".*")] == [b"mine"]


def test_a_student_who_keeps_saving_loses_nothing(pi: Pi) -> None:
    pi.hand_out(V1)
    path = pi.folder / "part2.ipynb"

    saving = os.fork()
    if saving == 0:
        for number in range(2000):
            with path.open("wb") as file:  # as Jupyter does: in place
                file.write(b"mine, %d" % number)
        os._exit(0)
    version = 0
    while os.waitpid(saving, os.WNOHANG) == (0, 0):
        version += 1
        pi.run(V1 | {"part2.ipynb": b"version %d" % version})
    assert version > 3
    assert path.read_bytes() == b"mine, 1999"


def test_handing_out_depends_on_each_students_own_record(pi: Pi) -> None:
    """Both students are the same account here; only their folders and records differ."""
    other = pi.home / "other"
    pi.hand_out(V1)
    pi.write("part2.ipynb", b"mine")
    pi.hand_out(V2)
    (pi.folder / "part2 (new).ipynb").unlink()
    store = pi.pristine / lessons.HANDED_OUT
    recorded = json.loads(store.read_bytes())
    assert list(recorded["students"]) == [STUDENT.pw_name]
    # Nothing is recorded for the other student, and everything for the first.
    recorded["students"] = {"another": {}, **recorded["students"]}
    store.write_text(json.dumps(recorded))
    other.mkdir()
    os.chown(other, STUDENT.pw_uid, STUDENT.pw_gid)
    memory = lessons.Memory.read(pi.pristine)
    lessons.as_student(STUDENT, lambda: lessons.hand_out(other, V2, {}, memory, memory.given["another"], False))
    pi.run(V2)
    assert read_files(other) == V2
    assert pi.files() == V2 | {"part2.ipynb": b"mine"}


def test_a_record_from_before_there_could_be_several_students_is_used(pi: Pi) -> None:
    """What it says about the only student now applies to each student."""
    pi.hand_out(V1)
    pi.write("part2.ipynb", b"mine")
    store = pi.pristine / lessons.HANDED_OUT
    recorded = json.loads(store.read_bytes())
    [given] = recorded.pop("students").values()
    store.write_text(json.dumps(recorded | {"given": given}))
    pi.run(V1)
    assert pi.files() == V1 | {"part2.ipynb": b"mine"}
    pi.hand_out(V1)


def test_a_missing_account_is_named(pi: Pi) -> None:
    with pytest.raises(KeyError, match="nobody-at-all"):
        lessons.run(V1, {"nobody-at-all": pi.folder}, pi.pristine)


def test_when_the_card_is_full_nothing_is_lost_and_the_next_run_completes(pi: Pi) -> None:
    pi.hand_out(V1)
    pi.write("part3.ipynb", b"mine")
    (pi.folder / "part2.ipynb").unlink()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            pi.run(V1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.name for path in pi.folder.iterdir()] == ["part3.ipynb"], "nothing half-written is left"
    pi.hand_out(V1)
    assert pi.files() == V1 | {"part3.ipynb": b"mine"}


def act(pi: Pi, chance: random.Random, number: int) -> None:
    """Do something at random that a student might do."""
    names = sorted(str(path.relative_to(pi.folder)) for path in pi.folder.rglob("*"))
    ours = ["part2.ipynb", "part2 (new).ipynb", "part3.ipynb", "pictures/4.png", "pictures/4 (new).png"]
    name = chance.choice([*names, *ours, "own.ipynb", "pictures/own.png"])
    path, other = pi.folder / name, pi.folder / chance.choice([*names, f"other {number}.ipynb"])
    what = chance.choice(["edit", "delete", "rename", "copy", "link", "folder", "move a folder"])
    if path.parent.is_file() or (what == "link" and not path.parent.is_dir()):
        return
    if what == "edit" and not path.is_dir():
        pi.write(name, b"student's %d" % number)
    elif what == "delete" and path.is_file():
        path.unlink()
    elif what == "rename" and path.is_file() and not other.is_dir():
        path.rename(other)
    elif what == "copy" and path.is_file() and not other.is_dir():
        pi.write(other.name, path.read_bytes())
    elif what == "link" and path.is_file() and not other.exists():
        os.link(path, other)
    elif what == "folder" and not path.exists():
        path.mkdir(parents=True)
        for made in {name, str(Path(name).parent)}:
            pi.own(made)
    elif what == "move a folder" and path.is_dir() and not other.exists():
        path.rename(pi.folder / f"folder {number}")


@pytest.mark.slow
@pytest.mark.parametrize("forgetful", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_whatever_a_student_does_nothing_is_lost(seed: int, forgetful: bool, pi: Pi) -> None:
    chance = random.Random(seed)
    ours = {name: {V1.get(name, b"")} for name in ("part2.ipynb", "part3.ipynb", "pictures/4.png")}
    pi.hand_out(V1)
    for number in range(20):
        names = [name for name in ours if chance.random() < 0.9] or ["part2.ipynb"]
        given = {name: b"%s %d" % (name.encode(), chance.randrange(4)) for name in names}
        for _ in range(chance.randrange(5)):
            act(pi, chance, number)
        if forgetful and chance.random() < 0.2:
            (pi.pristine / lessons.HANDED_OUT).unlink()
        before = pi.files()
        pi.hand_out(given)
        after = pi.files()
        for name, content in before.items():
            is_ours = any(content in versions for versions in ours.values())
            assert after.get(name) == content or is_ours, f"{name} had the student's {content!r}"
        for name, content in given.items():
            unedited = name not in before or (before[name] in ours[name] and not forgetful)
            taken = (pi.folder / name).is_dir() or not lessons.may_be_folder((pi.folder / name).parent)
            assert after.get(name) == content or not unedited or taken
            ours[name].add(content)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["linear", "mitogen_linear"])
def test_ansible_hands_out_exact_copies(strategy: str, pi: Pi, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    cells = [{"cell_type": "code", "source": ["print('{{ not.a.template }}', '{% raw %}', 'é', [1], {})\n"]}]
    (source / "a.ipynb").write_text(json.dumps({"cells": cells, "nbformat": 4}, ensure_ascii=False) + "\n\n")
    (source / "b.ipynb").write_bytes(b"\r\n\r\n[17, None] \t")
    (source / "pictures").mkdir()
    (source / "pictures/a_4.png").write_bytes(bytes(range(256)))
    given = read_files(source)
    (source / "pictures/make.py").write_text("not handed out")
    settings = {
        "classroom_folders": {STUDENT.pw_name: str(pi.folder)},
        "lessons_pristine": str(pi.pristine),
        "lessons_source": str(source),
        "mnist_folder": f"{tmp_path}/mnist/",
    }
    (tmp_path / "play.yml").write_text("- {hosts: all, gather_facts: false, roles: [lessons]}\n")
    command = [
        *(ANSIBLE_PLAYBOOK, f"{tmp_path}/play.yml"),
        *("-i", "pi-01,", "-c", "local", "-e", json.dumps(settings)),
    ]
    plugins = Path(ansible_mitogen.__file__).parent / "plugins" / "strategy"
    environment = os.environ | {"ANSIBLE_ROLES_PATH": str(ROOT / "roles"), "ANSIBLE_STRATEGY": strategy}
    environment["ANSIBLE_STRATEGY_PLUGINS"] = str(plugins)

    def play(*options: str) -> str:
        run = subprocess.run([*command, *options], env=environment, capture_output=True, text=True)
        assert run.returncode == 0, run.stdout + run.stderr
        return run.stdout

    printed = play("--check", "--diff")
    assert "changed=1 " in printed
    assert f"+{pi.folder}/a.ipynb" in printed
    assert not pi.folder.exists()
    assert "changed=1 " in play()
    assert pi.files() == given
    pi.write("a.ipynb", b"mine")
    (source / "a.ipynb").write_bytes(b"new")
    assert "changed=1 " in play()
    assert pi.files() == given | {"a.ipynb": b"mine", "a (new).ipynb": b"new"}
    assert "changed=0 " in play()
    assert "changed=0 " in play("--check", "--diff")
    # Lessons that the Pi has are not sent again: they are copied from its pristine folder.
    found = pi_facts.files([f"{pi.pristine}/**/*"])
    facts = ["-e", json.dumps({"__system_pi": {"files": {path: state_of(Path(path)) for path in found}}})]
    assert "changed=0 " in play(*facts)
    (pi.folder / "b.ipynb").unlink()
    assert "changed=1 " in play(*facts)
    assert pi.files() == given | {"a.ipynb": b"mine", "a (new).ipynb": b"new"}


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
def test_the_next_run_completes_one_that_was_killed_at_any_moment(pi: Pi) -> None:
    pi.hand_out(V1)
    pi.write("part3.ipynb", b"mine")
    began = time.monotonic()
    pi.run(V2)
    took = time.monotonic() - began
    for turn in range(40):
        given = {"part2.ipynb": b"two %d" % turn, "part3.ipynb": b"three %d" % turn}
        child = os.fork()
        if child == 0:
            pi.run(given)
            os._exit(0)
        time.sleep(took * turn / 30)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        pi.run(given)
        found = pi.files()
        assert found["part3.ipynb"] == b"mine"
        assert found["part2.ipynb"] == given["part2.ipynb"]
        assert found["part3 (new).ipynb"] == given["part3.ipynb"]
        assert list(pi.folder.glob(f"{students_folder.OURS}*")) == []
        pi.hand_out(given)
