"""Students' work, on a Pi and on the control node.

It is read and written only with the student's permissions, and none is lost. A collection is complete or absent, and
holds exactly what the Pi has.
"""

import gzip
import json
import os
import shutil
import signal
import subprocess
import time
import tracemalloc
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.mynn.pi.plugins.action import student_work as action
from ansible_collections.mynn.pi.plugins.module_utils import collection, parcel, students_folder, tree
from ansible_collections.mynn.pi.plugins.module_utils.linux import as_student
from ansible_collections.mynn.pi.plugins.module_utils.students_folder import sha256
from ansible_collections.mynn.pi.plugins.modules import lessons
from tests.support.json_values import JSON
from tests.support.student import STUDENT, give_to_student, read_files
from tests.support.student_work import IN, LESSONS, LIMIT, Pi, file_of

WORK = {
    "own.ipynb": b"own",
    "a folder/net.npz": bytes(range(256)) * 40,
    "two\nlines\\": b"",
    "-rf ü \udcff": b"x",
    " %41 ": b" ",
    "x" * 255: b"y",
}


class ControlNode:
    """A control node and a Pi without a network between them: the action's requests go straight to the module."""

    def __init__(self, root: Path) -> None:
        (root / "pi").mkdir()
        self.pi = Pi(root / "pi")
        self.work = root / "work"
        self.asked: list[str] = []
        self.before_request: Callable[[str], None] = lambda verb: None
        self.answers: dict[str, Any] = {}  # forged, by verb
        self.days = 0
        self.carry: Callable[[str, str], Any] = shutil.copyfile  # what the connection does, from a path to another

    def do(self, verb: str, *, dry: bool = False, **args: Any) -> dict[str, Any]:
        """Do what the task does. Return its result."""
        task: Any = object.__new__(action.ActionModule)
        task.pi, task.dry, task.root, task.part = "pi-01", dry, self.work, self.work / ".pi-01.part"
        task.asked = {
            "students": {"student": ""},
            "limit": LIMIT,
            "give_up": False,
            "pristine": self.pi.pristine,
            **args,
        }
        task._connection = SimpleNamespace(fetch_file=self.carry, put_file=self.carry)
        task._low_level_execute_command = lambda command: subprocess.run(command, shell=True, check=True)

        def ask(verb: str, student: str, **given: Any) -> Any:
            self.asked.append(verb)
            self.before_request(verb)
            if verb in self.answers:
                return self.answers[verb]
            return json.loads(json.dumps(self.pi.do(verb, dry=dry, **json.loads(json.dumps(given)))))

        task.ask = ask
        done: dict[str, Any] = getattr(task, verb)()
        return done

    def collect(self, **args: Any) -> Path:
        """Collect on the next day. Return the folder of the collection."""
        self.days += 1
        self.result = self.do("collect", date=f"2026-11-{self.days:02}", **args)
        return self.work / f"2026-11-{self.days:02}" / "pi-01"

    def write(self, files: dict[str, bytes]) -> None:
        for name, content in files.items():
            self.pi.write(name, content)

    def hand_out(self, files: dict[str, bytes]) -> dict[str, Any]:
        """Hand out files. Check that check mode predicts what changes, and that a second run changes nothing."""
        sheets = self.work.with_name("sheets")
        for name, content in files.items():
            (sheets / name).parent.mkdir(parents=True, exist_ok=True)
            (sheets / name).write_bytes(content)
        before, predicted = self.pi.files(), self.do("hand_out", dry=True, source=str(sheets))
        assert self.pi.files() == before
        done = self.do("hand_out", source=str(sheets))
        assert done["diff"] == predicted["diff"]
        assert not self.do("hand_out", source=str(sheets))["changed"]
        return done

    def check_nothing_is_left(self) -> None:
        """Check that there is no collection, and no parcel here and on the Pi."""
        assert {path.name for path in self.work.rglob("*") if path.suffix != ".lock"} == set()
        assert not parcel.place_of(self.pi.pristine).parent.exists()


@pytest.fixture
def control(open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> ControlNode:
    monkeypatch.setattr(parcel, "PARCEL", 1000)
    monkeypatch.setattr(parcel, "MANY", 3)
    return ControlNode(open_folder)


@pytest.fixture
def pi(control: ControlNode) -> Pi:
    return control.pi


def damage(content: bytes, _: str, place: str) -> None:
    """Let this arrive instead of a parcel."""
    Path(place).write_bytes(content)


# --- collect


def test_only_what_is_new_is_sent_and_the_rest_are_links(control: ControlNode, monkeypatch: pytest.MonkeyPatch) -> None:
    control.write(WORK | {"../beside/deep": b"beside"})
    os.utime(control.pi.folder / "own.ipynb", (1600000000, 1600000000))
    (control.pi.folder / "own.ipynb").chmod(0o755)
    predicted = control.do("collect", dry=True, date="2026-11-01")
    assert not control.work.exists()
    first = control.collect()
    assert control.result["diff"] == predicted["diff"]
    assert read_files(first / "student.home") == {"beside/deep": b"beside"}
    sums = {f"student/{name}": sha256(content) for name, content in WORK.items()}
    assert collection.read_sums(first) == sums | {"student.home/beside/deep": sha256(b"beside")}
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=first, check=True)
    assert (first / "student/own.ipynb").stat().st_mtime == 1600000000
    assert [(first / "student" / name).stat().st_mode & 0o777 for name in WORK][:2] == [0o555, 0o444]
    assert control.work.stat().st_mode & 0o077 == 0
    control.write({"own.ipynb": b"new", "moved": WORK["a folder/net.npz"]})
    (control.pi.folder / "a folder/net.npz").unlink()
    control.asked.clear()
    assert f"7 files in {first}, 7 of them" in control.result["msg"]
    monkeypatch.setenv("MYNN_SUMMARY", "of the desk, which names no path")
    second = control.collect()
    assert control.asked == ["list", "pack"]
    assert control.result["sent"] == 3 and control.result["msg"].startswith("7 files, 1 of them sent now")
    assert (second / "student/moved").samefile(first / "student/a folder/net.npz")
    assert read_files(first / "student") == WORK
    (second / "student/own.ipynb").chmod(0o644)
    (second / "student/own.ipynb").write_bytes(b"teacher's")
    assert (control.collect() / "student/own.ipynb").read_bytes() == b"new", "a file that was changed here is no copy"
    control.days -= 1
    with pytest.raises(AnsibleActionFail, match="already exists"):
        control.collect()


def test_holes_and_equal_files_take_no_space(control: ControlNode) -> None:
    files = {"zeros": bytes(1 << 19), "zeros too": bytes(1 << 19), "holes": bytes(1 << 19) + b"end", "x": b"equal" * 99}
    control.write(files | {"../x": files["x"]})
    for sent in (sum(len(content) for name, content in files.items() if name != "zeros too"), 0):
        folder = control.collect()
        assert read_files(folder / "student") == files
        assert control.result["sent"] == sent and not control.result["failed"]
        assert sum(path.stat().st_blocks for path in folder.glob("student/*")) * 512 < 1 << 17
    assert (folder / "student/zeros").samefile(folder / "student/zeros too")
    assert (folder / "student/x").samefile(folder / "student.home/x")


def test_a_file_that_changes_meanwhile_is_read_again_and_named_if_it_does_not_stop(control: ControlNode) -> None:
    """One that was deleted is not named."""

    def save(verb: str) -> None:
        if verb == "pack":
            control.write({"b": b"second", "keeps": b"%d" % len(control.asked)})
            (control.pi.folder / "deleted").unlink(missing_ok=True)

    control.before_request = save
    control.write(WORK | {"b": b"first", "keeps": b"first too", "deleted": b"deleted"})
    folder = control.collect()
    assert control.result["failed"] and "Not collected: student/keeps (it is being written)." in control.result["msg"]
    assert read_files(folder / "student") == WORK | {"b": b"second"}
    assert collection.read_sums(folder).keys() == {f"student/{name}" for name in (*WORK, "b")}


def test_what_cannot_be_had_is_named_in_one_line_and_the_rest_is_collected(control: ControlNode) -> None:
    control.write(WORK)
    os.truncate(control.pi.write("huge\n" + "x" * 90, b""), 1 << 40)
    files, left = control.pi.list()
    other = files[f"{IN}own.ipynb"]._replace(name=IN + "y" * 256)  # this computer's disk cannot have such a name
    control.answers["list"] = [[other, *files.values()], left]
    assert read_files(control.collect() / "student") == WORK
    assert control.result["failed"]
    name = r"student/huge\n" + "x" * 47 + "…" + "x" * 15
    assert f"{name} (it exceeds the limit for one student)" in control.result["msg"]
    assert "(on this computer: File name too lo" in control.result["msg"]
    assert collection.some([f"{number:02}\n" for number in range(12)]).endswith("08\\n, 09\\n and 2 more")


# --- a Pi that lies

SUM = sha256(b"x")
file = st.tuples(st.just("notebooks/a") | JSON, *[st.sampled_from([1, -1, 1 << 70, SUM]) | JSON] * 4).map(list)


@given(JSON | st.tuples(JSON | st.lists(file, max_size=2), JSON | st.just({"notebooks/b": "deep"})).map(list))
@settings(max_examples=300)
def test_a_list_of_files_is_wellformed_or_refused(answer: Any) -> None:
    try:
        files, _ = collection.listed(answer, "student", LIMIT)
    except ValueError:
        return
    assert all(name.startswith(("student/", "student.home/")) for name in files)
    assert all(0 <= file.size <= LIMIT and len(file.sum) == 64 and 0 <= file.time < 1 << 32 for file in files.values())


NAMES = ["../../escaped", "/escaped", "a/../../escaped", "a\0", "\ud800", "", "x/" * 4000]
NAMES += [".ssh/authorized_keys", ".local/lib/usercustomize.py"]  # not work: restored, a program would run it
FORGED: list[Any] = [
    [[[f"{number}", 1 << 20, SUM, 0, False] for number in range(4)], {}],
    [[[f"{number}", 0, SUM, 0, False] for number in range(20_003)], {}],
    [[], {"a": "\x1b[31m"}],
    [[["a", 1, SUM[:63], 0, False]], {}],
    *([[[name, 1, SUM, 0, False]], {}] for name in NAMES),
    *([[], {name: "deep"}] for name in NAMES),
]


@pytest.mark.parametrize("answer", FORGED, ids=lambda answer: str(answer)[:60])
def test_a_forged_list_of_files_is_refused(answer: Any) -> None:
    with pytest.raises(ValueError, match=r"invalid name|more files|malformed|leads out|surrogates"):
        collection.listed(answer, "student", LIMIT)


PARCELS = {
    "other content": gzip.compress(b"owN"),
    "no content": gzip.compress(b""),
    "more": gzip.compress(b"owN" + bytes(1 << 24)),
    "no parcel": b"no parcel",
    "cut off": gzip.compress(b"own")[:12],
    "too large": gzip.compress(os.urandom(1 << 17)),
}


@pytest.mark.parametrize("content", PARCELS.values(), ids=PARCELS)
def test_of_a_forged_parcel_nothing_is_kept(control: ControlNode, content: bytes) -> None:
    """And no memory is filled."""
    control.write({"own": b"own"})
    control.carry = partial(damage, content)
    tracemalloc.start()
    try:
        assert read_files(control.collect() / "student") == {}
        assert "Not collected: student/own (it is being written)." in control.result["msg"]
    except (*parcel.MALFORMED, OSError):
        control.check_nothing_is_left()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


# --- a run that ends early


def test_an_interrupted_run_leaves_nothing_and_a_killed_runs_rest_is_removed(control: ControlNode) -> None:
    def interrupt(verb: str) -> None:
        if verb == "pack":
            raise ConnectionError

    control.write(WORK)
    control.before_request = interrupt
    with pytest.raises(ConnectionError):
        control.collect()
    control.check_nothing_is_left()
    (control.work / ".pi-01.part/work/student").mkdir(parents=True)
    (control.work / ".pi-010.part").mkdir()
    parcel.place_of(control.pi.pristine).parent.mkdir()
    parcel.place_of(control.pi.pristine).write_bytes(b"half")
    control.before_request = lambda verb: None
    assert read_files(control.collect() / "student") == WORK
    assert {path.name for path in control.work.glob(".*.part")} == {".pi-010.part"}
    assert not parcel.place_of(control.pi.pristine).parent.exists()


def test_a_full_disk_is_said_for_the_right_computer(control: ControlNode, monkeypatch: pytest.MonkeyPatch) -> None:
    control.write(WORK)
    control.collect()
    control.write({"new": b"new"})
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
    with pytest.raises(OSError, match=f"No space left on device: '{control.work}'"):
        control.collect()
    (control.pi.folder / "own.ipynb").unlink()
    with pytest.raises(OSError, match=f"No space left on device: '{control.pi.home}'"):
        control.do("restore", source="pi-01", date="")


# --- what a Pi lists and packs


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


@pytest.mark.root
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
    assert pi.packed(*(file_of(IN + name, b"x" * 99) for name in names)) == bytes(99 * len(names))
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
    there, left = pi.list(limit=5000)
    assert f"{IN}0" in there
    assert sum(file.size for file in there.values()) <= 5000
    assert len(there) + len(left) <= tree.ROOM // tree.COST + 2, "more is taken for a forgery"
    assert {name.rpartition("/")[2]: why for name, why in left.items()} == reported
    kept = {name: file.sum for name, file in there.items()}
    assert pi.do("reset", kept=kept, limit=5000) == [sorted(left), []]
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


@pytest.mark.root
def test_no_student_can_stop_a_process_that_works_as_the_student() -> None:
    """Another of the student's processes tries to; the kernel checks the real and the saved user id."""

    def work() -> list[int]:
        command = ["/usr/bin/python3", "-c", f"import os; os.kill({os.getpid()}, 19)"]
        ids = {"user": STUDENT.pw_uid, "group": STUDENT.pw_gid}
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False, **ids)  # type: ignore[call-overload]
        assert "PermissionError" in done.stderr
        return [os.geteuid(), os.getegid(), *os.getgroups()]

    assert {STUDENT.pw_uid, STUDENT.pw_gid} == set(as_student(STUDENT, work, 30))


@pytest.mark.root
def test_work_that_takes_too_long_is_given_up() -> None:
    with pytest.raises(TimeoutError, match="took too long"):
        as_student(STUDENT, lambda: time.sleep(600), 1)
    with pytest.raises(OSError, match="No space") as full:  # as a write to a full disk, which names no file
        as_student(STUDENT, lambda: Path("/dev/full").write_text("x"))
    assert full.value.filename == ""
    with pytest.raises(ChildProcessError):
        as_student(STUDENT, lambda: os.kill(os.getpid(), signal.SIGKILL))


# --- a card that a student filled


@pytest.fixture
def card(open_folder: Path) -> Iterator[Path]:
    """Yield a disk of which Linux keeps a part for root, as it does of a card."""
    image, place = open_folder / "image", open_folder / "card"
    place.mkdir()
    subprocess.run(["/sbin/mke2fs", "-q", "-t", "ext4", "-m", "20", image, "16M"], check=True)
    if subprocess.run(["mount", "-o", "loop", image, place], stderr=subprocess.DEVNULL, check=False).returncode:
        pytest.skip("no disk can be mounted: run it as root, on a computer with loop devices")
    yield place
    subprocess.run(["umount", place], check=True)


@pytest.mark.root
def test_work_is_collected_from_a_card_that_a_student_has_filled(card: Path) -> None:
    """And if there is no room for root either, it says so."""
    pi = Pi(card)

    def fill() -> None:
        with (pi.home / str(os.geteuid())).open("wb", buffering=0) as file:
            while file.write(bytes(1 << 16)):
                pass

    own = pi.write("own", os.urandom(1 << 20))
    with pytest.raises(OSError, match="No space"):
        as_student(STUDENT, fill)
    assert pi.packed(file_of(f"{IN}own", own.read_bytes())) == own.read_bytes()
    parcel.place_of(pi.pristine).unlink()
    with pytest.raises(OSError, match="No space"):
        fill()
    with pytest.raises(OSError, match="No space"):
        pi.packed(file_of(f"{IN}own", own.read_bytes()))


# --- hand out, restore


def test_nothing_is_overwritten_and_what_is_there_is_not_sent(control: ControlNode, pi: Pi) -> None:
    mine = {"sheet.ipynb": b"mine", "sheet (new).ipynb": b"mine too", "part2.ipynb": b"two", "plan": b"a file"}
    control.write(mine | {"same": b"same"})
    (pi.folder / "link").symlink_to(pi.home)
    theirs = {"sheet.ipynb": b"theirs", "part2.ipynb": b"another", "plan/a": b"a", "link/b": b"b", "same": b"same"}
    assert control.hand_out(theirs)["msg"].startswith("4 of 5 files sent")
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


def test_what_cannot_be_handed_out_is_named_and_the_rest_is_written(control: ControlNode) -> None:
    """And hidden files are not handed out."""
    for number in range(students_folder.BESIDE):
        control.pi.write(f"sheet{f' (new {number})' if number > 1 else ' (new)' * number}", b"mine")
    control.pi.write("x" * 255, b"mine")
    before = control.pi.files()
    done = control.hand_out(dict.fromkeys(["sheet", "x" * 255, "other", ".hidden", ".git/x"], b"theirs"))
    assert control.pi.files() == before | {"other": b"theirs"}
    assert done["failed"] and "Not sent: student/sheet (every name beside it is taken), student/xx" in done["msg"]
    with pytest.raises(AnsibleActionFail, match="no file to hand out"):
        control.do("hand_out", source=str(control.work))


def test_no_name_leads_out_of_the_home(pi: Pi) -> None:
    for name in ("../a", "/etc/a", "a//b", "a/./b", "", "a/..", "a\0"):
        for verb in ("plan", "write", "pack"):
            with pytest.raises(ValueError, match="leads out of the home"):
                pi.do(verb, files=[file_of(name, b"a")])


def test_a_damaged_file_is_not_put_in_place(control: ControlNode) -> None:
    for content in (b"wrong", b"righ", b""):
        control.carry = partial(damage, gzip.compress(content))
        with pytest.raises(OSError, match="damaged on the way"):
            control.hand_out({"a": b"right"})
    assert control.pi.files() == LESSONS


def test_the_newest_collection_of_a_date_is_restored(control: ControlNode) -> None:
    """It replaces an untouched lesson, but not a touched one."""
    for number in (1, 2, 3):
        control.write({"part2.ipynb": b"%d" % number})
        collected = control.collect()
    os.utime(collected / "student/part2.ipynb", (1600000000, 1600000000))
    lesson = control.pi.folder / "part2.ipynb"
    for date, content in (("2026-11-02", b"2"), ("2026-11", b"3"), ("", b"3")):
        control.write(LESSONS)
        predicted = control.do("restore", dry=True, source="pi-01", date=date)
        assert control.pi.files() == LESSONS
        assert control.do("restore", source="pi-01", date=date)["diff"] == predicted["diff"]
        assert control.pi.files() == LESSONS | {"part2.ipynb": content}
        assert not control.do("restore", source="pi-01", date=date)["changed"]
    assert lesson.stat().st_mtime == 1600000000
    control.write({"part2.ipynb": b"touched"})
    control.do("restore", source="pi-01", date="")
    assert control.pi.files() == LESSONS | {"part2.ipynb": b"touched", "part2 (new).ipynb": b"3"}
    for source, date in (("pi-02", ""), ("pi-0", ""), ("pi-*", ""), ("pi-01", "2025")):
        with pytest.raises(AnsibleActionFail, match="There is no collection of"):
            control.do("restore", source=source, date=date)


def test_damaged_files_and_those_of_unknown_students_are_not_restored_but_the_rest_is(control: ControlNode) -> None:
    control.write(WORK)
    folder = control.collect()
    (folder / "student/own.ipynb").chmod(0o644)
    (folder / "student/own.ipynb").write_bytes(b"damaged")
    shutil.copytree(folder / "student", folder / "afternoon")
    sums = collection.read_sums(folder)
    collection.write_sums(folder, sums | {name.replace("student/", "afternoon/"): sum_ for name, sum_ in sums.items()})
    assert "discarded: student/own.ipynb." in control.do("reset", give_up=True)["msg"]
    control.pi.check_baseline()
    done = control.do("restore", source="pi-01", date="")
    assert done["failed"]
    assert "changed since they were collected: afternoon/own.ipynb, student/own.ipynb." in done["msg"]
    assert "the setting students does not list them: afternoon." in done["msg"]
    assert control.pi.files() == LESSONS | {name: text for name, text in WORK.items() if name != "own.ipynb"}


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


def test_our_link_is_not_work_and_is_restored_by_a_reset(control: ControlNode, pi: Pi, tmp_path: Path) -> None:
    """Nothing is written through it."""
    tmp_path.chmod(0o777)
    lessons.run(LESSONS, {STUDENT.pw_name: pi.folder}, pi.pristine, links={"mnist_dataset": str(tmp_path)})
    link = pi.folder / "mnist_dataset"
    assert pi.list() == ({}, {})
    control.hand_out({"mnist_dataset/mnist_test_10.csv": b"7,0,0"})
    for spoil in (lambda: None, lambda: link.symlink_to("/etc"), lambda: pi.write("mnist_dataset/own", b"mine")):
        link.unlink()
        spoil()
        pi.do("reset", discard=True)
        assert str(link.readlink()) == str(tmp_path) and link.lstat().st_uid == STUDENT.pw_uid
    assert list(tmp_path.iterdir()) == []


def test_a_reset_is_refused_until_every_byte_is_in_the_newest_collection_of_this_pi(control: ControlNode) -> None:
    def refused(names: str) -> None:
        with pytest.raises(AnsibleActionFail, match=rf"pi-01 has work that .* \({names}\), and nothing was changed"):
            control.do("reset")
        assert control.pi.files().keys() == {*LESSONS, "own", "other"}

    control.write({"own": b"first", "other": b"other", "../beside": b"beside"})
    first = control.collect()
    (first / "student/other").chmod(0o644)
    (first / "student/other").write_bytes(b"somebody's")
    refused("student/other")
    second = control.collect()
    second.rename(second.with_name("pi-02"))
    refused("student/other")
    control.days -= 1
    control.collect()
    control.before_request = lambda verb: control.write({"own": b"saved just before"})
    refused("student/own")
    control.before_request = lambda verb: control.write({"own": b"first"})
    control.do("reset")
    control.pi.check_baseline()
