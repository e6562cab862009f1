"""Students' work on the Pi: it is read and written only with the student's permissions, and none is lost."""

import base64
import os
import shutil
import signal
import subprocess
import time
import zlib
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.mynn.pi.plugins.module_utils import baseline
from ansible_collections.mynn.pi.plugins.module_utils.students_folder import BESIDE
from ansible_collections.mynn.pi.plugins.modules import lessons, student_work
from tests.support.student import STUDENT, as_root, give_to_student
from tests.support.student_work import IN, LARGEST, LESSONS, LIMIT, Pi, chunk, make_deep_folders, sha256


@pytest.fixture
def pi(open_folder: Path) -> Pi:
    return Pi(open_folder)


def test_unedited_lessons_are_not_work(pi: Pi) -> None:
    found = pi.list()
    assert found["files"] == found["left"] == {}


def test_work_is_listed_with_size_checksum_time_and_whether_it_is_executable(pi: Pi) -> None:
    path = pi.write("a/deep/run.py", b"print()")
    path.chmod(0o755)
    os.utime(path, (1600000000, 1600000000))
    pi.write("part2.ipynb", b"mine")
    found = pi.list()["files"]
    assert found["notebooks/a/deep/run.py"] == [7, sha256(b"print()"), 1600000000, True]
    assert found["notebooks/part2.ipynb"][:2] == [4, sha256(b"mine")]
    assert len(found) == 2


def test_a_copy_of_a_lesson_is_work_but_our_new_version_beside_it_is_not(pi: Pi) -> None:
    pi.write("my part2.ipynb", b"two")
    pi.write("part2 (new 3).ipynb", b"two")
    pi.write("part2 (new).ipynb", b"mine")
    assert set(pi.list()["files"]) == {"notebooks/my%20part2.ipynb", "notebooks/part2%20%28new%29.ipynb"}


@pytest.mark.parametrize("name", ["-rf", "two\nlines", "ü", " blank ", "a\\b", "%41", "no text \udcff", "x" * 255])
def test_any_file_name_can_be_collected_and_restored(pi: Pi, name: str) -> None:
    pi.write(name, b"mine")
    [word] = pi.list()["files"]
    assert word.isascii()
    assert student_work.unquote(word) == IN + name
    assert pi.do("read", wanted=[[word, 0, 9]]) == [base64.b64encode(b"mine").decode()]
    (pi.folder / name).unlink()
    assert pi.send({name: b"mine"}) == [word]
    assert (pi.folder / name).read_bytes() == b"mine"


def test_files_beside_the_folder_and_hidden_ones_are_work_too(pi: Pi) -> None:
    names = ["../beside", "../.hidden/x", "a/.b/c", "a/.cache/d", "../other/.local/e"]
    for name in names:
        pi.write(name, b"work")
    assert {os.path.normpath(f"notebooks/{name}") for name in names} == set(pi.list()["files"])


def test_caches_and_settings_of_programs_are_not_work(pi: Pi) -> None:
    for name in (
        ".ipynb_checkpoints/x.ipynb",
        "a/__pycache__/b.pyc",
        ".~saved.ipynb",
        f"{student_work.OURS}x.new",
        "my.csv.npy",
    ):
        pi.write(name, b"not work")
    for name in ("cache", "config", "ipython", "jupyter", "local", "ssh"):
        pi.write(f"../.{name}/inner", b"not work")
    assert pi.list()["files"] == pi.list()["left"] == {}


def test_links_are_not_followed_and_pipes_are_not_waited_for(pi: Pi) -> None:
    for name, target in (("secret", "/etc/shadow"), ("public", "/etc/passwd"), ("folder", "/etc"), ("broken", "gone")):
        (pi.folder / name).symlink_to(target)
    os.mkfifo(pi.folder / "pipe")
    found = pi.list()
    assert found["files"] == {}
    links = dict.fromkeys(["secret", "public", "folder", "broken"], "a link")
    assert found["left"] == {IN + name: what for name, what in (links | {"pipe": "no file"}).items()}
    names = [IN + name for name in (*links, "pipe", "gone")]
    assert pi.do("read", wanted=[[name, 0, 99] for name in names]) == [None] * len(names)


@as_root
def test_files_that_the_student_cannot_read_are_not_read_for_the_student(pi: Pi) -> None:
    pi.write("roots", b"secret", owner=0).chmod(0o600)
    pi.write("closed/inner", b"mine").parent.chmod(0)
    secret = pi.home.parent / "roots"
    secret.mkdir(mode=0o700)
    (secret / "file").write_bytes(b"secret")
    (pi.folder / "link").symlink_to(secret)
    assert pi.list()["left"] == {IN + "roots": "closed", IN + "closed": "closed", IN + "link": "a link"}
    assert pi.do("read", wanted=[[IN + "roots", 0, 9], [IN + "link/file", 0, 9]]) == [None, None]


@pytest.mark.parametrize("verb", ["hand out", "reset"])
@pytest.mark.parametrize("what", ["a link", "a file", "a pipe", "another's folder"])
def test_anything_in_place_of_the_folder_is_kept_and_the_folder_is_restored(pi: Pi, what: str, verb: str) -> None:
    elsewhere = pi.home / "elsewhere"
    pi.folder.rename(elsewhere)
    block(pi.folder, what, elsewhere)
    found = pi.list()
    assert ("notebooks" in found["files"]) == (what == "a file")
    assert {"elsewhere/part2.ipynb", "elsewhere/pictures/pen.png"} <= set(found["files"])
    if verb == "reset":
        assert pi.do("reset", files=None, dry=True) == pi.do("reset", files=None)
        check_baseline(pi)
        return
    pi.send({"a/sheet": b"theirs"})
    assert pi.files() == {"a/sheet": b"theirs"}
    assert (elsewhere / "part2.ipynb").read_bytes() == b"two"
    old = pi.home / "notebooks (old)"
    assert old.lstat()
    assert what != "a file" or old.read_bytes() == b"mine"


def block(place: Path, what: str, elsewhere: Path) -> None:
    """Put something in place of a folder, as a student could, or root."""
    if what == "a link":
        place.symlink_to(elsewhere)
    elif what == "a file":
        place.write_bytes(b"mine")
    elif what == "a pipe":
        os.mkfifo(place)
    elif os.geteuid() == 0:
        place.mkdir()
        return
    else:
        pytest.skip("only root can create another account's folder")
    give_to_student(place)


@pytest.mark.parametrize("place", ["home", "folder"])
def test_a_home_or_folder_that_the_student_cannot_enter_is_read_and_opened(pi: Pi, place: str) -> None:
    pi.write("own", b"mine")
    closed: Path = getattr(pi, place)
    mode = closed.stat().st_mode
    closed.chmod(0)
    assert set(pi.list()["files"]) == {"notebooks/own"}
    assert pi.do("read", wanted=[["notebooks/own", 0, 9]]) == [base64.b64encode(b"mine").decode()]
    predicted = pi.do("reset", files={"notebooks/own": sha256(b"mine")}, dry=True)
    assert closed.stat().st_mode & 0o777 == 0, "check mode changes nothing"
    assert pi.do("reset", files={"notebooks/own": sha256(b"mine")}) == predicted
    assert closed.stat().st_mode & 0o700 == mode & 0o700
    check_baseline(pi)


def test_deeply_nested_folders_are_reported_in_one_line_and_removed_by_a_reset(pi: Pi) -> None:
    make_deep_folders(pi.folder)
    make_deep_folders(pi.folder, "e" * 250)
    pi.write("own", b"mine")
    found = pi.list()
    assert set(found["files"]) == {"notebooks/own"}
    assert [set(word) - set("/") for word in found["left"]] == [set("dnotebooks"), set("enotbooks")]
    assert set(found["left"].values()) == {"deep"}
    assert len(pi.do("reset", files={"notebooks/own": sha256(b"mine")})["lost"]) == 2
    pi.do("reset", files=None)
    check_baseline(pi)


def test_a_path_almost_as_long_as_the_kernel_allows_is_named(pi: Pi) -> None:
    place = pi.folder
    while len(os.fsencode(place)) < 3850:
        place = place / ("p" * 99)
    place.mkdir(parents=True)
    (place / ("q" * 4)).write_bytes(b"")
    pi.write("own", b"mine")
    found = pi.list()
    assert set(found["files"]) == {"notebooks/own"}
    assert list(found["left"].values()) == ["deep"]
    assert all(len(word) < 2300 for word in found["left"])


def test_too_many_files_are_reported(pi: Pi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(student_work, "MOST", 10)
    for number in range(20):
        pi.write(f"a/{number}", b"x")
    found = pi.list()
    assert found["left"] == {".": "many"}
    assert 5 < len(found["files"]) <= 10
    assert pi.do("reset", files={})["lost"][0] == "."


def test_the_search_through_folders_full_of_folders_is_limited(pi: Pi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(student_work, "MOST", 50)
    for number in range(100):
        (pi.folder / f"{number}/inner/most").mkdir(parents=True)
    assert pi.list() == {"files": {}, "left": {".": "many"}}


def test_a_folder_with_more_names_than_fit_into_memory_is_reset(pi: Pi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baseline, "ENTRIES", 30)
    for number in range(100):
        pi.write(f"{number}", b"x")
        pi.write(f"../{number}", b"x")
    pi.do("reset", files=None)
    check_baseline(pi)


def test_the_total_for_each_student_is_limited_and_the_smallest_files_come_first(pi: Pi) -> None:
    for number in range(8):
        pi.write(f"{number}", bytes([number]) * (800 + number))
    pi.write("zz", b"small")
    found = pi.list()
    assert sum(size for size, *_ in found["files"].values()) <= LIMIT
    assert found["left"] == {"notebooks/6": "beyond", "notebooks/7": "beyond"}
    assert not {IN + name for name in LESSONS} & set(found["files"]), "the lessons do not count"
    assert pi.do("reset", files={word: sum_ for word, (_, sum_, *_) in found["files"].items()})["lost"] == [
        "notebooks/6",
        "notebooks/7",
    ]


def test_a_huge_file_is_named_and_not_read(pi: Pi) -> None:
    with pi.write("huge", b"").open("wb") as file:
        file.truncate(1 << 40)
    pi.write("largest", b"x" * LARGEST)
    assert pi.list()["left"] == {"notebooks/huge": "large"}
    assert set(pi.list()["files"]) == {"notebooks/largest"}
    assert pi.do("reset", files={"notebooks/largest": sha256(b"x" * LARGEST)})["lost"] == ["notebooks/huge"]


def test_a_huge_file_in_place_of_a_handout_is_not_read(pi: Pi) -> None:
    for name in ("sheet", "part2.ipynb"):
        with pi.write(name, b"").open("wb") as file:
            file.truncate(1 << 43)
    began = time.monotonic()
    pi.send({"sheet": b"theirs", "part2.ipynb": b"restored"}, over_lessons=True)
    assert time.monotonic() - began < 5
    assert (pi.folder / "sheet (new)").read_bytes() == b"theirs"
    assert (pi.folder / "part2 (new).ipynb").read_bytes() == b"restored"


def test_a_file_for_which_every_name_is_taken_is_named_and_the_rest_is_written(pi: Pi) -> None:
    pi.write("sheet", b"mine")
    for number in range(1, BESIDE):
        pi.write(f"sheet (new{f' {number}' if number > 1 else ''})", b"mine")
    pi.write("x" * 255, b"mine")
    files = {f"notebooks/{name}": (sha256(b"theirs"), 6) for name in ("sheet", "x" * 255, "other")}
    plan = pi.do("plan", files=files)
    assert plan["needed"] == ["notebooks/other"]
    assert set(plan["left"]) == {"notebooks/sheet", f"notebooks/{'x' * 255}"}


def test_only_regular_files_are_removed_as_leftovers_of_a_killed_run(pi: Pi) -> None:
    (pi.folder / f"{student_work.OURS}a.new").mkdir()
    os.mkfifo(pi.folder / f"{student_work.OURS}b.new")
    pi.send({"sheet": b"theirs"})
    assert len(list(pi.folder.glob(f"{student_work.OURS}*"))) == 2


def test_sparse_files_stay_sparse(pi: Pi) -> None:
    content = bytes(3 << 20) + b"end"
    pi.send({"sparse": content}, size=1 << 20)
    assert (pi.folder / "sparse").read_bytes() == content
    assert (pi.folder / "sparse").stat().st_blocks * 512 < 1 << 18


@as_root
def test_no_student_can_stop_a_process_that_works_as_the_student(pi: Pi) -> None:
    """Another of the student's processes tries to; the kernel checks the real and the saved user id."""
    marker = pi.home / "pid"
    attack = f"""
import os, pathlib, signal, sys, time
while not (pid := pathlib.Path({str(marker)!r}).exists() and pathlib.Path({str(marker)!r}).read_text()):
    time.sleep(0.01)
try:
    os.kill(int(pid), signal.SIGSTOP)
except PermissionError:
    sys.exit(7)
"""

    def work() -> list[int]:
        marker.with_name("new").write_text(str(os.getpid()))
        marker.with_name("new").rename(marker)
        time.sleep(2)
        return [os.geteuid(), os.getegid(), *os.getgroups()]

    python = shutil.which("python3", path="/usr/bin")
    assert python
    student = subprocess.Popen([python, "-c", attack], user=STUDENT.pw_uid, group=STUDENT.pw_gid, extra_groups=[])
    ids = student_work.as_student(STUDENT, work, 30)
    assert student.wait(10) == 7
    assert {STUDENT.pw_uid, STUDENT.pw_gid} == set(ids)


@as_root
def test_when_a_run_is_killed_its_process_for_the_student_ends_too(pi: Pi) -> None:
    def slow() -> None:
        (pi.home / "pid").write_text(str(os.getpid()))
        time.sleep(60)

    run = os.fork()
    if run == 0:
        student_work.as_student(STUDENT, slow, 2)
        os._exit(0)
    while not (pi.home / "pid").exists() or not (pi.home / "pid").read_text():
        time.sleep(0.01)
    os.kill(run, signal.SIGKILL)
    os.waitpid(run, 0)
    stat = Path("/proc", (pi.home / "pid").read_text(), "stat")
    deadline = time.monotonic() + 10
    while stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z":
        assert time.monotonic() < deadline
        time.sleep(0.1)


@as_root
def test_work_that_takes_too_long_is_given_up(pi: Pi, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even if something does stop the process, as it does itself here."""
    began = time.monotonic()
    with pytest.raises(TimeoutError, match="took too long"):
        student_work.as_student(STUDENT, lambda: os.kill(os.getpid(), signal.SIGSTOP), 0.5)
    assert time.monotonic() - began < 5
    monkeypatch.setitem(student_work.PATIENCE, "list", 0.5)
    monkeypatch.setattr(student_work, "list_work", lambda *_: time.sleep(60))
    assert pi.list()["left"] == {".": "slow"}


def test_reading_a_file_that_keeps_growing_ends(pi: Pi, monkeypatch: pytest.MonkeyPatch) -> None:
    path = pi.write("grows", b"x")
    stat = path.lstat()
    path.write_bytes(b"x" * (LARGEST + 1))
    monkeypatch.setattr(Path, "lstat", lambda self: stat)
    assert student_work.look_at(path, LARGEST) == "large"


def test_a_missing_folder_holds_no_work(pi: Pi) -> None:
    shutil.rmtree(pi.folder)
    assert pi.list() == {"files": {}, "left": {}}


def test_without_the_record_of_handed_out_lessons_they_count_as_work(pi: Pi) -> None:
    (pi.pristine / ".handed_out.json").write_bytes(b"[]")
    assert set(pi.list()["files"]) == {IN + "part2.ipynb", IN + "pictures/pen.png"}


def test_written_files_belong_to_the_student_and_have_their_time_and_mode(pi: Pi) -> None:
    pi.send({"a/b/c.txt": b"a text in four pieces", "empty": b""})
    for path in (pi.folder / "a", pi.folder / "a/b", pi.folder / "a/b/c.txt", pi.folder / "empty"):
        assert path.stat().st_uid == STUDENT.pw_uid
        assert path.stat().st_mode & 0o777 == (0o755 if path.is_dir() else 0o644)
    assert (pi.folder / "empty").stat().st_mtime == 1600000000
    pi.do("write", chunks=[chunk(IN + "run", b"run", 0, 9, executable=True)])
    assert (pi.folder / "run").stat().st_mode & 0o777 == 0o755
    assert not list(pi.folder.rglob(".mynn*"))


def test_nothing_is_overwritten(pi: Pi) -> None:
    mine = {"sheet.ipynb": b"mine", "sheet (new).ipynb": b"mine too", "part2.ipynb": b"two", "plan": b"a file"}
    for name, content in mine.items():
        pi.write(name, content)
    pi.send({"sheet.ipynb": b"theirs", "part2.ipynb": b"another", "plan/a": b"a"})
    new = {"sheet (new 2).ipynb": b"theirs", "part2 (new).ipynb": b"another", "plan (new)/a": b"a"}
    assert pi.files() == mine | new | {"pictures/pen.png": b"pen"}


def test_a_file_that_the_pi_has_is_not_sent(pi: Pi) -> None:
    pi.write("same", b"x" * 3000)
    assert pi.send({"same": b"x" * 3000}) == []


def test_a_restored_file_replaces_an_unedited_lesson_but_not_an_edited_one(pi: Pi) -> None:
    pi.write("pictures/pen.png", b"edited")
    pi.send({"part2.ipynb": b"restored", "pictures/pen.png": b"restored"}, over_lessons=True)
    expected = {"part2.ipynb": b"restored", "pictures/pen.png": b"edited", "pictures/pen (new).png": b"restored"}
    assert pi.files() == expected


def test_where_a_link_is_in_the_way_the_folder_gets_another_name(pi: Pi) -> None:
    (pi.folder / "plan").symlink_to(pi.home)
    pi.send({"plan/a": b"a"})
    assert (pi.folder / "plan (new)/a").read_bytes() == b"a"
    assert not (pi.home / "a").exists()


@pytest.mark.parametrize("word", ["../a", "/etc/a", "a//b", "a/./b", "", "a/..", "%2e%2e/a", "a%2F..%2Fb"])
def test_no_name_leads_out_of_the_folder(pi: Pi, word: str) -> None:
    with pytest.raises((OSError, ValueError), match="leads out of the folder"):
        pi.do("plan", files={word: (sha256(b"a"), 1)})


def test_a_file_that_was_damaged_on_the_way_is_not_put_in_place(pi: Pi) -> None:
    with pytest.raises(OSError, match="damaged on the way"):
        pi.do("write", chunks=[chunk(IN + "a", b"right", 0, 9, sum=sha256(b"wrong"))])
    assert pi.files() == LESSONS


def test_the_next_run_completes_one_that_was_killed_between_two_chunks(pi: Pi) -> None:
    pi.do("write", chunks=[chunk(IN + "a", b"in pieces", 0, 4)])
    assert "a" not in pi.files()
    assert len(list(pi.folder.glob(".mynn*"))) == 1
    pi.do("plan", files={IN + "a": (sha256(b"another"), 7)})
    assert not list(pi.folder.glob(".mynn*"))
    pi.do("write", chunks=[chunk(IN + "a", b"in pieces", 0, 4)])
    pi.send({"a": b"in pieces"})
    assert pi.files() == LESSONS | {"a": b"in pieces"}


@pytest.mark.parametrize("moment", ["before the file is put in place", "as it replaces a lesson"])
def test_a_student_who_saves_at_the_same_moment_loses_nothing(
    pi: Pi, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    link, moments = os.link, ["this one"]
    name = "part2.ipynb" if moment.startswith("as") else "sheet"

    def link_at_that_moment(source: Path, target: Path, **_: Any) -> None:
        if moments and name == "sheet":
            moments.clear()
            pi.write(name, b"mine")
        link(source, target)
        if moments and name != "sheet":
            moments.clear()
            Path(source).write_bytes(b"mine")

    monkeypatch.setattr(os, "link", link_at_that_moment)
    given = [chunk(IN + name, b"theirs", 0, 9)]
    if name == "sheet":
        pi.do("write", chunks=given)
        assert (pi.folder / "sheet (new)").read_bytes() == b"theirs"
    else:
        with pytest.raises(OSError, match="saved it at the same moment"):
            pi.do("write", chunks=given, over_lessons=True)
    assert (pi.folder / name).read_bytes() == b"mine"


def check_baseline(pi: Pi) -> None:
    """Check that the home is as it was when it was new."""
    assert pi.files() == LESSONS
    assert {path.name for path in pi.home.iterdir()} <= {"notebooks", ".profile"}
    assert (pi.home / ".profile").read_bytes() == b"# as new"
    for path in pi.home.rglob("*"):
        assert path.stat().st_uid == STUDENT.pw_uid


def fill(pi: Pi) -> None:
    """Leave in the home what a class might leave there."""
    pi.write("part2.ipynb", b"mine")
    pi.write("a/b/own", b"mine")
    pi.write("a/.hidden", b"")
    pi.write("closed/own", b"").parent.chmod(0)
    pi.write("../.ssh/authorized_keys", b"mine")
    pi.write("../.profile", b"mine")
    pi.write("../beside/deep/er", b"mine")
    (pi.folder / "pictures/pen.png").unlink()
    (pi.folder / "link").symlink_to("/etc")
    os.mkfifo(pi.folder / "pipe")


def test_after_a_reset_the_home_is_like_a_new_one(pi: Pi) -> None:
    fill(pi)
    before = pi.files()
    predicted = pi.do("reset", files=None, dry=True)
    assert pi.files() == before
    assert pi.do("reset", files=None) == predicted
    assert any(after.endswith(sha256(b"two")) for _, after in predicted["changes"])
    check_baseline(pi)
    assert pi.do("reset", files=None) == {"lost": [], "changes": []}


def test_a_reset_removes_caches_and_settings_of_programs_too(pi: Pi) -> None:
    """Packages and settings that a student installed are not work, but the next class must not run them."""
    pi.do("reset", files=None)
    pi.write("../.local/lib/usercustomize.py", b"")
    assert len(pi.do("reset", files={})["changes"]) == 1
    check_baseline(pi)


def test_a_reset_deletes_only_files_that_are_known_to_be_kept(pi: Pi) -> None:
    for name in ("kept", "changed", "new"):
        pi.write(name, name.encode())
    pi.write("../beside", b"beside")
    kept = {IN + "kept": sha256(b"kept"), IN + "changed": sha256(b"as it was")}
    before = pi.files()
    assert pi.do("reset", files=kept) == {"lost": ["beside", IN + "changed", IN + "new"], "changes": []}
    assert pi.files() == before
    now = {IN + name: sha256(content) for name, content in before.items()}
    pi.do("reset", files=now | {"beside": sha256(b"beside")})
    check_baseline(pi)


@as_root
def test_a_reset_does_not_delete_what_cannot_be_read(pi: Pi) -> None:
    pi.write("roots", b"", owner=0).chmod(0)
    pi.write("closed/own", b"").parent.chmod(0)
    assert pi.do("reset", files={})["lost"] == [IN + "closed", IN + "roots"]


def test_our_link_is_not_work_and_a_reset_keeps_or_restores_it(pi: Pi, tmp_path: Path) -> None:
    (tmp_path / "mnist_train.csv").write_bytes(b"5,0,0")
    lessons.run(LESSONS, {STUDENT.pw_name: pi.folder}, pi.pristine, links={"mnist_dataset": str(tmp_path)})
    link = pi.folder / "mnist_dataset"
    assert pi.list()["files"] == {} and pi.list()["left"] == {IN + "mnist_dataset": "a link"}
    assert "mnist_dataset" not in str(pi.do("reset", files={})), "the link is as it should be"
    for spoil in (lambda: None, lambda: link.symlink_to("/etc"), lambda: pi.write("mnist_dataset/own", b"mine")):
        link.unlink()
        spoil()
        predicted = pi.do("reset", files=None, dry=True)
        assert pi.do("reset", files=None) == predicted
        assert str(link.readlink()) == str(tmp_path) and link.lstat().st_uid == STUDENT.pw_uid
        assert pi.do("reset", files=None) == {"lost": [], "changes": []}
    assert (tmp_path / "mnist_train.csv").read_bytes() == b"5,0,0"


def test_handouts_are_never_written_through_our_link(pi: Pi, tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    lessons.run(LESSONS, {STUDENT.pw_name: pi.folder}, pi.pristine, links={"mnist_dataset": str(tmp_path)})
    pi.send({"mnist_dataset/mnist_test_10.csv": b"7,0,0"})
    assert list(tmp_path.iterdir()) == []
    assert (pi.folder / "mnist_dataset (new)/mnist_test_10.csv").read_bytes() == b"7,0,0"


def test_a_reset_does_not_follow_links(pi: Pi, open_folder: Path) -> None:
    for name, content in {"kept": b"kept", "pen.png": b"pen"}.items():
        (open_folder / name).write_bytes(content)
        os.chown(open_folder / name, STUDENT.pw_uid, -1)
    os.chown(open_folder, STUDENT.pw_uid, -1)
    (pi.folder / "link").symlink_to(open_folder)
    shutil.rmtree(pi.folder / "pictures")
    (pi.folder / "pictures").symlink_to(open_folder)
    pi.do("reset", files=None)
    assert (open_folder / "kept").read_bytes() == b"kept"
    check_baseline(pi)


def test_a_folder_of_lessons_that_the_student_cannot_enter_is_restored(pi: Pi) -> None:
    (pi.folder / "pictures").chmod(0)
    assert pi.do("reset", files=None, dry=True) == pi.do("reset", files=None)
    check_baseline(pi)


def test_packed_data_can_be_unpacked_and_malformed_data_is_refused() -> None:
    data = {"a": [1, None, "ü\udcff"]}
    assert student_work.unpack(student_work.pack(data)) == data
    bomb = base64.b64encode(zlib.compress(b'"' + bytes(65 << 20) + b'"')).decode()
    for malformed in (bomb, "eAGr", base64.b64encode(b"no zlib").decode(), "\0"):
        with pytest.raises(ValueError, match=r"answer|base64|padding"):
            student_work.unpack(malformed)
