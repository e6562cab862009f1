"""Lessons in a student's folder: whatever the student does, none of the student's work is lost."""

import os
import pwd
import resource
import shutil
import stat
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.mynn.pi.plugins.lookup.lessons_in import LookupModule
from ansible_collections.mynn.pi.plugins.module_utils.linux import as_student
from ansible_collections.mynn.pi.plugins.modules import lessons
from mynn.files import locked
from tests.support import student_work
from tests.support.student import STUDENT, give_to_student, read_files

Lessons = dict[str, bytes]
V1: Lessons = {"part2.ipynb": b"two, first", "part3.ipynb": b"three, first", "pictures/pen.png": b"pen, first"}
V2: Lessons = V1 | {"part2.ipynb": b"two, second"}
V3: Lessons = V1 | {"part2.ipynb": b"two, third"}


class Pi(student_work.Pi):
    """A Pi without lessons yet."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, given={})

    def run(self, given: Lessons, dry: bool = False, **options: Any) -> list[Any]:
        """Run the module. Return what changed."""
        changes: list[Any] = lessons.run(given, {STUDENT.pw_name: self.folder}, self.pristine, dry, **options)
        return changes

    def hand_out(self, given: Lessons) -> None:
        """Hand out lessons. Check that check mode predicts the changes and that a second run changes nothing."""
        before, predicted = self.files(), self.run(given, dry=True)
        assert self.files() == before, "check mode changes nothing"
        assert self.run(given) == predicted, "check mode predicts the changes"
        assert self.run(given) == self.run(given, dry=True) == []
        record = {lessons.HANDED_OUT: (self.pristine / lessons.HANDED_OUT).read_bytes()}
        assert read_files(self.pristine) == given | record


@pytest.fixture
def pi(open_folder: Path) -> Pi:
    return Pi(open_folder)


def test_untouched_lessons_are_updated_and_missing_ones_come_back(pi: Pi) -> None:
    pi.hand_out(V1)
    assert pi.files() == V1
    for path in (*pi.folder.rglob("*"), *pi.pristine.rglob("*")):
        assert path.stat().st_uid == STUDENT.pw_uid or pi.pristine in path.parents
        assert path.stat().st_mode & 0o7777 == (0o755 if path.is_dir() else 0o644)
    pi.hand_out(V2)
    assert pi.files() == V2
    (pi.folder / "part2.ipynb").rename(pi.folder / "my part2.ipynb")
    shutil.rmtree(pi.folder / "pictures")
    pi.write("own.ipynb", b"own")
    own = {"my part2.ipynb": b"two, second", "own.ipynb": b"own"}
    pi.hand_out(V3)
    assert pi.files() == V3 | own
    pi.hand_out({"part2.ipynb": b"two, third"})
    assert pi.files() == V3 | own, "what is no longer handed out stays with the student"
    pi.hand_out(V1 | {"part3.ipynb": b"three, second"})
    assert pi.files() == V1 | own | {"part3.ipynb": b"three, second"}, "and is still known to be ours"


def test_an_edited_lesson_is_kept_and_the_new_version_is_put_beside_it_once(pi: Pi) -> None:
    pi.hand_out(V1)
    pi.write("part2.ipynb", b"mine")
    mine = {"part2.ipynb": b"mine"}
    pi.hand_out(V1)
    assert pi.files() == V1 | mine, "there is no new version, so nothing is put beside it"
    pi.hand_out(V2)
    assert pi.files() == V1 | mine | {"part2 (new).ipynb": b"two, second"}
    pi.hand_out(V3)
    assert pi.files() == V1 | mine | {"part2 (new).ipynb": b"two, third"}, "untouched, it is updated"
    (pi.folder / "part2 (new).ipynb").unlink()
    pi.hand_out(V3)
    assert pi.files() == V1 | mine, "a new version that the student deleted does not come back"
    pi.write("part2 (new).ipynb", b"mine too")
    pi.hand_out(V2)
    new = {"part2 (new).ipynb": b"mine too", "part2 (new 2).ipynb": b"two, second"}
    assert pi.files() == V1 | mine | new
    pi.write("part2.ipynb", b"two, first")
    pi.hand_out(V3)
    assert pi.files()["part2.ipynb"] == b"two, third", "changed back, it counts as untouched"


def test_without_a_record_of_what_was_given_nothing_is_lost(pi: Pi) -> None:
    """Neither without one of this student, nor with a damaged one."""
    pi.hand_out(V1)
    pi.write("part2.ipynb", b"mine")
    record = pi.pristine / lessons.HANDED_OUT
    record.write_bytes(record.read_bytes().replace(STUDENT.pw_name.encode(), b"another"))
    pi.hand_out(V1)
    mine = {"part2.ipynb": b"mine", "part2 (new).ipynb": b"two, first"}
    assert pi.files() == V1 | mine
    for damage in (b"[]", b'{"known": 1, "students": 2}', b'{"known": {"a": 1}}', b"\xff"):
        record.write_bytes(damage)
        pi.hand_out(V2)
        assert pi.files() == V1 | mine | {"part2 (new 2).ipynb": b"two, second"}


# --- what is in the way


IN_THE_WAY: dict[str, Callable[[Path, Path], object]] = {
    "a file": lambda place, _: place.write_bytes(b"mine"),
    "a link": Path.symlink_to,
    "another's folder": lambda place, _: place.mkdir(),
}


@pytest.mark.root
@pytest.mark.parametrize("what", IN_THE_WAY)
@pytest.mark.parametrize("name", ["pictures", "../notebooks"])
def test_anything_in_place_of_a_folder_is_kept(what: str, name: str, pi: Pi) -> None:
    """In place of the student's folder, beside it, and otherwise where it is; then its lessons are put beside it.

    The link leads to a folder in which only root can write.
    """
    place, elsewhere = Path(os.path.normpath(pi.folder / name)), pi.home / "elsewhere"
    pi.run(V1)
    place.rename(elsewhere)
    os.chown(elsewhere, 0, -1)
    IN_THE_WAY[what](place, elsewhere)
    if what != "another's folder":
        give_to_student(place)
    before, kind = read_files(elsewhere), stat.S_IFMT(place.lstat().st_mode)
    pi.run(V1)
    assert pi.run(V1) == []
    assert read_files(elsewhere) == before
    kept = place if name == "pictures" else pi.home / "notebooks (old)"
    assert stat.S_IFMT(kept.lstat().st_mode) == kind
    assert what != "a file" or kept.read_bytes() == b"mine"
    new = "pictures (new)/pen.png" if name == "pictures" else "pictures/pen.png"
    assert (pi.folder / new).read_bytes() == b"pen, first"


def test_anything_but_our_lesson_in_its_place_is_left_alone(pi: Pi, tmp_path: Path) -> None:
    """No link is followed, no pipe waited for, and nothing large is read."""
    secret = tmp_path / "secret"
    secret.write_bytes(b"root's")
    secret.chmod(0o600)
    pi.hand_out(V1)
    for name in ("part2.ipynb", "part3.ipynb", "pictures/pen.png"):
        (pi.folder / name).unlink()
    (pi.folder / "part2.ipynb").symlink_to(secret)
    (pi.folder / "part2 (new).ipynb").symlink_to(tmp_path / "made by a run")
    os.mkfifo(pi.folder / "part3.ipynb")
    (pi.folder / "pictures/pen.png").mkdir()
    with (pi.folder / "part3 (new).ipynb").open("wb") as file:
        file.truncate(1 << 43)
    for path in pi.folder.rglob("*"):
        give_to_student(path)
    pi.run({name: content + b", now" for name, content in V1.items()})
    assert secret.read_bytes() == b"root's"
    assert not (tmp_path / "made by a run").exists()
    for name in ("part2 (new 2).ipynb", "part3 (new 2).ipynb", "pictures/pen (new).png"):
        assert (pi.folder / name).read_bytes().endswith(b", now")


def test_a_link_to_mnist_is_created_and_replaces_nothing(pi: Pi, tmp_path: Path) -> None:
    def change(target: Path = tmp_path) -> int:
        predicted = pi.run(V1, dry=True, links={"mnist_dataset": str(target)})
        assert pi.run(V1, links={"mnist_dataset": str(target)}) == predicted
        return len(predicted)

    link, untouched = pi.folder / "mnist_dataset", pi.pristine / "mnist_dataset"
    assert change() and change() == 0
    assert str(link.readlink()) == str(untouched.readlink()) == str(tmp_path)
    assert link.lstat().st_uid == STUDENT.pw_uid
    link.unlink()
    assert change() == 1, "like a deleted lesson, it comes back"
    link.unlink()
    pi.write("mnist_dataset/mnist_test_10.csv", b"the student's own")
    assert change() == 0 and not link.is_symlink()
    assert change(tmp_path / "new") == 2, "of the untouched copies, the old one goes, the new one comes"
    assert str(untouched.readlink()) == str(tmp_path / "new")


def test_a_home_that_the_student_cannot_enter_is_opened(pi: Pi) -> None:
    pi.run(V1)
    pi.write("own", b"mine")
    for folder in (pi.folder / "pictures", pi.folder, pi.home):
        folder.chmod(0)
    predicted = pi.run(V2, dry=True)
    assert pi.home.stat().st_mode & 0o777 == 0, "check mode changes nothing"
    assert pi.run(V2) == predicted
    assert pi.home.stat().st_mode & 0o777 == pi.folder.stat().st_mode & 0o777 == 0o700
    pi.home.chmod(0o777)
    pi.run(V2)
    assert pi.home.stat().st_mode & 0o777 == 0o750, "but only to the student"
    assert pi.files() == V2 | {"own": b"mine"}


# --- locks, and runs that are cut off


def test_a_run_waits_for_another_one_but_not_for_ever(pi: Pi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lessons, "QUEUE", 0.3)
    pi.run(V1)
    lock = pi.pristine.with_name(f".{pi.pristine.name}.lock")
    assert lock.stat().st_mode & 0o777 == 0o600, "anybody who can open it could hold it for ever"
    with locked(lock), pytest.raises(TimeoutError, match="another run is still using this"):
        pi.run(V2)
    assert pi.files() == V1


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
    assert set(pi.files()) == {"part3.ipynb", "pictures/pen.png"}, "nothing half-written is left"
    pi.hand_out(V1)
    assert pi.files() == V1 | {"part3.ipynb": b"mine"}


def test_a_run_that_is_killed_before_it_notes_what_it_gave_forgets_nothing(
    pi: Pi, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(student: pwd.struct_passwd, work: Callable[[], list[str]]) -> None:
        as_student(student, work)
        raise InterruptedError

    pi.hand_out(V1)
    monkeypatch.setattr(lessons, "as_student", killed)
    with pytest.raises(InterruptedError):
        pi.run(V2)
    monkeypatch.undo()
    assert pi.files() == V2
    pi.hand_out(V3)
    assert pi.files() == V3


# --- a student who works meanwhile


@pytest.mark.parametrize("save", ["in place", "by renaming", "never, but delete", "after deleting"])
def test_a_student_who_saves_during_the_run_loses_nothing(save: str, pi: Pi, monkeypatch: pytest.MonkeyPatch) -> None:
    pi.hand_out(V1)
    place, link, moments = pi.folder / "part2.ipynb", os.link, ["this one"]
    if save == "after deleting":
        place.unlink()

    def link_at_that_moment(source: Path, target: Path, **options: Any) -> None:
        # The run has just seen that the lesson is unedited or absent, and is about to put the new version there.
        if moments and save != "in place":
            moments.clear()
            place.unlink(missing_ok=True)
            if save != "never, but delete":
                place.with_name("saved").write_bytes(b"mine")
                place.with_name("saved").rename(place)
        link(source, target, **options)
        if save == "in place" and place.read_bytes() == V1["part2.ipynb"]:
            place.write_bytes(b"mine")

    monkeypatch.setattr(os, "link", link_at_that_moment)
    pi.run(V2)
    monkeypatch.undo()
    mine = {"part2.ipynb": b"mine", "part2 (new).ipynb": b"two, second"}
    assert pi.files() == V2 | ({} if save == "never, but delete" else mine)
    pi.hand_out(V2)


NAMES = ["part2.ipynb", "part2 (new).ipynb", "part3.ipynb", "pictures/pen.png", "pictures/pen (new).png", "own.ipynb"]
# What a student might do with a file, and with another name. OSError: it cannot be done.
ACTS: dict[str, Callable[[Pi, str, Path, Path], object]] = {
    "edit": lambda pi, name, path, other: pi.write(name, b"student's %d" % len(pi.files())),
    "delete": lambda pi, name, path, other: path.unlink(),
    "rename": lambda pi, name, path, other: path.rename(other),
    "link": lambda pi, name, path, other: os.link(path, other),
    "folder": lambda pi, name, path, other: pi.write(f"{name}/own", b"student's"),
    "forget": lambda pi, name, path, other: (pi.pristine / lessons.HANDED_OUT).unlink(),
}
acts = st.lists(st.tuples(st.sampled_from(sorted(ACTS)), *[st.sampled_from(NAMES)] * 2), max_size=4)


@pytest.mark.slow
@given(st.lists(st.tuples(acts, st.integers(0, 3)), max_size=8))
@settings(max_examples=15)
def test_whatever_a_student_does_nothing_is_lost(days: list[tuple[list[tuple[str, str, str]], int]]) -> None:
    with tempfile.TemporaryDirectory() as root:
        Path(root).chmod(0o755)
        pi = Pi(Path(root))
        pi.hand_out(V1)
        ours = set(V1.values())
        for did, version in days:
            for what, name, other in did:
                with suppress(OSError):
                    ACTS[what](pi, name, pi.folder / name, pi.folder / other)
            before = pi.files()
            given = {name: b"%s %d" % (name.encode(), version) for name in V1}
            pi.hand_out(given)
            after = pi.files()
            for name, content in before.items():
                assert after.get(name) == content or content in ours, f"{name} had the student's {content!r}"
            for name, content in given.items():
                assert name in before or (pi.folder / name).is_dir() or after.get(name) == content
            ours |= set(given.values())


def test_lessons_that_a_pi_has_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    for name, content in (("a.ipynb", b"abc"), ("m/b.png", b"abc"), ("c.ipynb", b""), ("m/make.py", b"no lesson")):
        (tmp_path / name).write_bytes(content)
    files = {"/p/a.ipynb": "0644 a9993e364706816aba3e25717850c26c9cd0d89d", "/p/m/b.png": "0644 da39"}  # of abc
    lookup = object.__new__(LookupModule)
    given = {"a.ipynb": None, "m/b.png": "YWJj", "c.ipynb": ""}
    assert lookup.run([str(tmp_path)], pristine="/p", files=files) == [given]
    files["/p/a.ipynb"] = files["/p/a.ipynb"].replace("0644", "0600")
    assert lookup.run([str(tmp_path)], pristine="/p", files=files) == [given | {"a.ipynb": "YWJj"}]
