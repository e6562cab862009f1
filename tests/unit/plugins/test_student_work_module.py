"""Students' work on the Pi: it is read and written only with the student's permissions, and none is lost."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.mynn.pi.plugins.module_utils import students_folder, tree
from ansible_collections.mynn.pi.plugins.module_utils.parcel import place_of
from ansible_collections.mynn.pi.plugins.modules import lessons, student_work
from tests.support.student import STUDENT, as_root, give_to_student
from tests.support.student_work import IN, LESSONS, LIMIT, Pi, file_of


@pytest.fixture
def pi(open_folder: Path) -> Pi:
    return Pi(open_folder)


def test_work_is_what_the_student_made_or_changed(pi: Pi) -> None:
    """Its own copies and what is beside the folder, but no untouched lesson, and nothing that programs keep."""
    assert pi.list() == ({}, {})
    work = ["part2.ipynb", "part2 (new).ipynb", "../beside", "../.hidden/x", "a/.b/c", "a/.cache/d", "my part2.ipynb"]
    for name in work:
        pi.write(name, b"two" if name.startswith("my") else b"mine")
    for name in ("part2 (new 3).ipynb", *(f"../.{name}/inner" for name in ("cache", "config", "local", "ssh"))):
        pi.write(name, b"two")
    for name in (".ipynb_checkpoints/x", "a/__pycache__/b", ".~saved", f"{students_folder.OURS}x.new", "my.csv.npy"):
        pi.write(name, b"no work")
    files, left = pi.list()
    assert files.keys() == {os.path.normpath(IN + name) for name in work} and left == {}
    (pi.pristine / ".handed_out.json").write_bytes(b"[]")
    assert f"{IN}pictures/pen.png" in pi.list()[0], "without the record of handed-out lessons they count as work"


@as_root
def test_nothing_is_read_through_a_link_or_without_the_students_permission(pi: Pi) -> None:
    """Nor does it wait for a pipe."""
    secret = pi.home.parent / "roots"
    secret.mkdir(mode=0o700)
    (secret / "file").write_bytes(b"secret")
    for name, target in (("shadow", "/etc/shadow"), ("public", "/etc/passwd"), ("link", secret), ("broken", "gone")):
        (pi.folder / name).symlink_to(target)
    os.mkfifo(pi.folder / "pipe")
    pi.write("roots", b"secret", owner=0).chmod(0o600)
    pi.write("closed/inner", b"mine").parent.chmod(0)
    assert pi.list() == ({}, {IN + "roots": "closed", IN + "closed": "closed"})
    names = ["shadow", "public", "link/file", "broken", "pipe", "roots", "closed/inner", "gone"]
    pi.parcel()
    pi.do("pack", files=[file_of(IN + name, b"x" * 99) for name in names])
    unpacked = subprocess.run(["zcat", place_of(pi.pristine)], capture_output=True, check=True).stdout
    assert unpacked == bytes(99 * len(names))
    assert pi.do("reset") == [[IN + "closed", IN + "roots"], []]


MANY = {".": "many"}
# The files of a student, by name, and what is reported then: the end of a name, and why.
ATTACKS: list[tuple[dict[str, bytes], dict[str, str]]] = [
    ({f"{'a/' * number}{number}": b"x" for number in range(30)}, MANY),
    ({"/".join(["p" * 99] * 37): b""}, {"p" * 99: "deep"}),
    ({f"{number}": bytes([number]) * (800 + number) for number in range(7)}, {"6": "beyond"}),
]


@pytest.mark.parametrize(("files", "reported"), ATTACKS)
def test_what_exceeds_a_limit_is_reported_not_read_and_not_deleted(
    pi: Pi, files: dict[str, bytes], reported: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And all else is collected, the outer and the smallest files first, until a reset that discards it."""
    pi.write("0", b"small")
    for name, content in files.items():
        pi.write(name, content)
    if reported is MANY:
        monkeypatch.setattr(tree, "ROOM", 20 * tree.COST)
    there, left = pi.list()
    assert f"{IN}0" in there
    assert sum(file.size for file in there.values()) <= LIMIT
    assert len(there) + len(left) <= tree.ROOM // tree.COST + 2, "more is taken for a forgery"
    assert {name.rpartition("/")[2]: why for name, why in left.items()} == reported
    kept = {name: file.sum for name, file in there.items()}
    assert pi.do("reset", kept=kept) == [sorted(left), []]
    pi.do("reset", kept=kept, discard=True)
    pi.check_baseline()


def test_a_file_that_keeps_growing_is_given_up(pi: Pi, monkeypatch: pytest.MonkeyPatch) -> None:
    path = pi.write("grows", b"x")
    before = path.lstat()
    path.write_bytes(b"x" * 2000)
    monkeypatch.setattr(os, "fstat", lambda _: before)
    with pytest.raises(OSError, match="too large"):
        students_folder.measured(path, 1000)


# --- the process that works as the student


@as_root
def test_no_student_can_stop_a_process_that_works_as_the_student() -> None:
    """Another of the student's processes tries to; the kernel checks the real and the saved user id."""

    def work() -> list[int]:
        command = ["/usr/bin/python3", "-c", f"import os; os.kill({os.getpid()}, 19)"]
        ids = {"user": STUDENT.pw_uid, "group": STUDENT.pw_gid}
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False, **ids)  # type: ignore[call-overload]
        assert "PermissionError" in done.stderr
        return [os.geteuid(), os.getegid(), *os.getgroups()]

    assert {STUDENT.pw_uid, STUDENT.pw_gid} == set(student_work.as_student(STUDENT, work, 30))


@as_root
def test_work_that_takes_too_long_is_given_up() -> None:
    with pytest.raises(TimeoutError, match="took too long"):
        student_work.as_student(STUDENT, lambda: time.sleep(600), 1)
    with pytest.raises(OSError, match="No space") as full:  # as a write to a full disk, which names no file
        student_work.as_student(STUDENT, lambda: Path("/dev/full").write_text("x"))
    assert full.value.filename == ""
    with pytest.raises(ChildProcessError):
        student_work.as_student(STUDENT, lambda: os.kill(os.getpid(), signal.SIGKILL))


# --- a card that a student filled


@pytest.fixture
def card(open_folder: Path) -> Iterator[Path]:
    """Yield a disk of which Linux keeps a part for root, as it does of a card."""
    image, place = open_folder / "image", open_folder / "card"
    place.mkdir()
    subprocess.run(["/sbin/mke2fs", "-q", "-t", "ext4", "-m", "20", image, "16M"], check=True)
    if subprocess.run(["mount", "-o", "loop", image, place], stderr=subprocess.DEVNULL, check=False).returncode:
        pytest.skip("no disk can be mounted here")
    yield place
    subprocess.run(["umount", place], check=True)


@as_root
def test_work_is_collected_from_a_card_that_a_student_has_filled(card: Path) -> None:
    """And if there is no room for root either, it says so."""
    pi = Pi(card)

    def fill() -> None:
        with (pi.home / str(os.geteuid())).open("wb", buffering=0) as file:
            while file.write(bytes(1 << 16)):
                pass

    own = pi.write("own", os.urandom(1 << 20))
    pi.parcel()
    with pytest.raises(OSError, match="No space"):
        student_work.as_student(STUDENT, fill)
    pi.do("pack", files=[students_folder.measured(own, 1 << 20, f"{IN}own")])
    packed = subprocess.run(["zcat", pi.parcel()], capture_output=True, check=True).stdout
    assert packed == own.read_bytes()
    pi.parcel().unlink()
    with pytest.raises(OSError, match="No space"):
        fill()
    with pytest.raises(OSError, match="No space"):
        pi.do("pack", files=[students_folder.measured(own, 1 << 20, f"{IN}own")])


# --- hand out, restore


def test_nothing_is_overwritten_and_what_is_there_is_not_sent(pi: Pi) -> None:
    mine = {"sheet.ipynb": b"mine", "sheet (new).ipynb": b"mine too", "part2.ipynb": b"two", "plan": b"a file"}
    for name, content in (mine | {"same": b"same"}).items():
        pi.write(name, content)
    (pi.folder / "link").symlink_to(pi.home)
    theirs = {"sheet.ipynb": b"theirs", "part2.ipynb": b"another", "plan/a": b"a", "link/b": b"b", "same": b"same"}
    assert len(pi.send(theirs)) == 4
    new = {
        "sheet (new 2).ipynb": b"theirs",
        "part2 (new).ipynb": b"another",
        "plan (new)/a": b"a",
        "link (new)/b": b"b",
    }
    assert pi.files() == mine | new | {"pictures/pen.png": b"pen", "same": b"same"}
    assert not (pi.home / "b").exists()
    for path in (pi.folder / "plan (new)", pi.folder / "plan (new)/a"):
        assert path.stat().st_uid == STUDENT.pw_uid
        assert path.stat().st_mode & 0o777 == (0o755 if path.is_dir() else 0o644)
    assert (pi.folder / "plan (new)/a").stat().st_mtime == 1600000000


def test_a_restored_file_replaces_an_unedited_lesson_but_not_an_edited_one(pi: Pi) -> None:
    pi.write("pictures/pen.png", b"edited")
    pi.send({"part2.ipynb": b"restored", "pictures/pen.png": b"restored"}, over_lessons=True)
    expected = {"part2.ipynb": b"restored", "pictures/pen.png": b"edited", "pictures/pen (new).png": b"restored"}
    assert pi.files() == expected


def test_a_file_for_which_every_name_is_taken_is_named_and_the_rest_is_written(pi: Pi) -> None:
    for number in range(students_folder.BESIDE):
        pi.write(f"sheet{f' (new {number})' if number > 1 else ' (new)' * number}", b"mine")
    pi.write("x" * 255, b"mine")
    needed, _, left = pi.do("plan", files=[file_of(IN + name, b"theirs") for name in ("sheet", "x" * 255, "other")])
    assert needed == [IN + "other"]
    assert left.keys() == {IN + "sheet", IN + "x" * 255}


def test_no_name_leads_out_of_the_home(pi: Pi) -> None:
    for name in ("../a", "/etc/a", "a//b", "a/./b", "", "a/..", "a\0"):
        for verb in ("plan", "write", "pack"):
            with pytest.raises(ValueError, match="leads out of the home"):
                pi.do(verb, files=[file_of(name, b"a")])


def test_a_damaged_file_is_not_put_in_place(pi: Pi) -> None:
    for content in (b"wrong", b"righ", b""):
        with pytest.raises(OSError, match="damaged on the way"):
            pi.receive({file_of(IN + "a", b"right"): content})
    assert pi.files() == LESSONS


# --- reset


def test_after_a_reset_the_home_is_like_a_new_one(pi: Pi, open_folder: Path) -> None:
    """However full it is; and what links lead to stays."""
    (open_folder / "kept").write_bytes(b"kept")
    give_to_student(open_folder / "kept")
    for name in ("part2.ipynb", "a/b/own", "a/.hidden", "../.ssh/authorized_keys", "../.profile", "../.local/lib/x.py"):
        pi.write(name, b"mine")
    pi.write("closed/own", b"").parent.chmod(0)
    shutil.rmtree(pi.folder / "pictures")
    (pi.folder / "pictures").symlink_to(open_folder)
    os.mkfifo(pi.folder / "pipe")
    before = pi.files()
    predicted = pi.do("reset", discard=True, dry=True)
    assert pi.files() == before
    assert pi.do("reset", discard=True) == predicted
    assert f"{pi.folder}/pictures/pen.png as at first" in predicted[1]
    pi.check_baseline()
    assert pi.do("reset") == [[], []]
    assert (open_folder / "kept").read_bytes() == b"kept"


def test_our_link_is_not_work_and_is_restored_by_a_reset(pi: Pi, tmp_path: Path) -> None:
    """Nothing is written through it."""
    tmp_path.chmod(0o777)
    lessons.run(LESSONS, {STUDENT.pw_name: pi.folder}, pi.pristine, links={"mnist_dataset": str(tmp_path)})
    link = pi.folder / "mnist_dataset"
    assert pi.list() == ({}, {})
    pi.send({"mnist_dataset/mnist_test_10.csv": b"7,0,0"})
    for spoil in (lambda: None, lambda: link.symlink_to("/etc"), lambda: pi.write("mnist_dataset/own", b"mine")):
        link.unlink()
        spoil()
        pi.do("reset", discard=True)
        assert str(link.readlink()) == str(tmp_path) and link.lstat().st_uid == STUDENT.pw_uid
    assert list(tmp_path.iterdir()) == []
