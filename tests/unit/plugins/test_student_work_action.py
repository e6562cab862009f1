"""Students' work on the control node: a collection is complete or absent, and holds exactly what the Pi has."""

import errno
import gzip
import io
import json
import os
import shutil
import tarfile
import tracemalloc
from collections.abc import Callable
from functools import reduce
from operator import getitem
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.mynn.pi.plugins.action import student_work as action
from ansible_collections.mynn.pi.plugins.module_utils import collection, parcel
from ansible_collections.mynn.pi.plugins.module_utils.students_folder import sha256
from tests.support.json_values import JSON
from tests.support.student import read_files
from tests.support.student_work import IN, LESSONS, Pi

WORK = {
    "own.ipynb": b"own",
    "a folder/net.npz": bytes(range(256)) * 40,
    "two\nlines\\": b"",
    "-rf ü \udcff": b"x",
    " %41 ": b" ",
    "x" * 255: b"y",
}
LIMIT = 3 << 20


class ControlNode:
    """A control node and a Pi without a network between them: the action's requests go straight to the module."""

    def __init__(self, root: Path) -> None:
        (root / "pi").mkdir()
        self.pi = Pi(root / "pi", LIMIT)
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
        task.asked = {"students": {"student": ""}, "limit": LIMIT, "give_up": False, **args}
        task.remote = parcel.place_of(self.pi.pristine)
        task._connection = SimpleNamespace(fetch_file=self.carry, put_file=self.carry)

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

    def before_each(self, verb: str, *saves: dict[str, bytes]) -> None:
        """Let the student save files before each request of this kind."""
        left = iter(saves)
        self.before_request = lambda asked: self.write(next(left, {})) if asked == verb else None

    def left(self) -> set[str]:
        """Return what is in the folder of the collections, besides locks."""
        return {path.name for path in self.work.rglob("*") if path.suffix != ".lock"}


@pytest.fixture
def control(open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> ControlNode:
    monkeypatch.setattr(parcel, "PARCEL", 1000)
    monkeypatch.setattr(parcel, "MANY", 3)
    return ControlNode(open_folder)


# --- collect


def test_only_what_is_new_is_sent_and_the_rest_are_links(control: ControlNode, monkeypatch: pytest.MonkeyPatch) -> None:
    control.write(WORK | {"../beside/deep": b"beside"})
    predicted = control.do("collect", dry=True, date="2026-11-01")
    assert not control.work.exists()
    first = control.collect()
    assert control.result["diff"] == predicted["diff"]
    assert read_files(first / "student.home") == {"beside/deep": b"beside"}
    assert collection.read_sums(first) == {f"student/{name}": sha256(content) for name, content in WORK.items()} | {
        "student.home/beside/deep": sha256(b"beside")
    }
    control.write({"own.ipynb": b"new", "moved": WORK["a folder/net.npz"]})
    (control.pi.folder / "a folder/net.npz").unlink()
    control.asked.clear()
    assert f"7 files in {first}, 7 of them" in control.result["msg"]
    monkeypatch.setenv("MYNN_SUMMARY", "of the desk, which names no path")
    second = control.collect()
    assert control.asked == ["list", "pack", "clear"]
    assert control.result["sent"] == 3 and control.result["msg"].startswith("7 files, 1 of them sent now")
    assert (second / "student/moved").samefile(first / "student/a folder/net.npz")
    assert read_files(first / "student") == WORK
    (second / "student/own.ipynb").chmod(0o644)
    (second / "student/own.ipynb").write_bytes(b"teacher's")
    assert (control.collect() / "student/own.ipynb").read_bytes() == b"new", "a file that was changed here is no copy"


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


def test_on_a_disk_without_links_nothing_is_overwritten_and_no_half_copy_left(
    control: ControlNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    def copy_half(_: Path, place: Path) -> None:
        place.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(Path, "hardlink_to", lambda *_: os.link("/proc/self/exe", "/dev/null"))
    control.write(WORK | {"equal": WORK["own.ipynb"]})
    for _ in range(2):
        folder = control.collect()
        assert read_files(folder / "student") == WORK | {"equal": WORK["own.ipynb"]}
        assert not control.result["failed"]
    with pytest.raises(OSError, match="another file has that name"):
        action.link(folder / "student/own.ipynb", folder / "student/equal")
    monkeypatch.setattr(shutil, "copy2", copy_half)
    assert read_files(control.collect() / "student") == {}
    assert "(on this computer: full)" in control.result["msg"]


def test_a_file_that_changes_while_it_is_read_is_read_again(control: ControlNode) -> None:
    control.write(WORK)
    control.before_each("pack", {"b": b"second"}, {"own.ipynb": b"second"}, {"own.ipynb": b"changed again"})
    control.write({"b": b"first"})
    assert read_files(control.collect() / "student") == WORK | {"own.ipynb": b"changed again", "b": b"second"}
    assert not control.result["failed"]


def test_a_file_that_keeps_changing_is_named_and_a_deleted_one_is_not(control: ControlNode) -> None:
    control.write(WORK | {"deleted": b"deleted"})

    def save_and_delete(verb: str) -> None:
        if verb == "pack":
            control.write({"own.ipynb": b"%d" % len(control.asked)})
            (control.pi.folder / "deleted").unlink(missing_ok=True)

    control.before_request = save_and_delete
    folder = control.collect()
    assert control.result["failed"]
    assert "Not collected: student/own.ipynb (it is being written)." in control.result["msg"]
    assert read_files(folder / "student") == {name: content for name, content in WORK.items() if name != "own.ipynb"}
    assert set(collection.read_sums(folder)) == {f"student/{name}" for name in read_files(folder / "student")}


def test_what_cannot_be_had_is_named_in_one_line_and_the_rest_is_collected(control: ControlNode) -> None:
    control.write(WORK)
    os.truncate(control.pi.write("huge\n" + "x" * 90, b""), 1 << 40)
    there = control.pi.list()
    other = {IN + "y" * 256: there["files"][f"{IN}own.ipynb"]}  # this computer's disk cannot have such a name
    control.answers["list"] = {**there, "files": other | there["files"]}
    assert read_files(control.collect() / "student") == WORK
    assert control.result["failed"]
    name = r"student/huge\n" + "x" * 47 + "…" + "x" * 15
    assert f"{name} (it exceeds the limit for one student)" in control.result["msg"]
    assert "(on this computer: File name too lo" in control.result["msg"]
    assert collection.some([f"{number:02}\n" for number in range(12)]).endswith("08\\n, 09\\n and 2 more")


# --- a Pi that lies

SUM = sha256(b"x")
FILE = [1, SUM, 0, False]
PLACES: list[list[Any]] = [[], ["files"], ["files", "a"], ["left"], ["left", "b"]]
PLACES += [["files", "a", at] for at in range(4)]


@given(st.sampled_from(PLACES), JSON | st.sampled_from([-1, 1 << 70]))
@settings(max_examples=300)
def test_a_list_of_files_is_wellformed_or_refused(place: list[Any], value: Any) -> None:
    whole: Any = [{"files": {"a": [*FILE]}, "left": {"b": "deep"}}]
    *way, last = [0, *place]
    reduce(getitem, way, whole)[last] = value
    [answer] = whole
    try:
        files, left = collection.listed(answer, LIMIT)
    except (ValueError, AssertionError):
        return
    assert left.keys() <= answer["left"].keys()
    assert all(0 <= file.size <= LIMIT and len(file.sum) == 64 and 0 <= file.time < 1 << 32 for file in files.values())


FORGED: list[Any] = [
    {"files": {f"{number}": [1 << 20, SUM, 0, False] for number in range(4)}, "left": {}},
    {"files": {f"{number}": [0, SUM, 0, False] for number in range(20_003)}, "left": {}},
    {"files": {}, "left": {"a": "\x1b[31m"}},
    {"files": {"a": [1, SUM[:63], 0, False]}, "left": {}},
    *(
        {"files": {name: FILE}, "left": {}}
        for name in (
            *("../../escaped", "/escaped", "a/../../escaped", "a\0", "\ud800", "", "x/" * 4000),
            *(".ssh/authorized_keys", ".local/lib/usercustomize.py"),  # not work: restored, a program would run it
        )
    ),
]


@pytest.mark.parametrize("answer", FORGED, ids=lambda answer: str(answer)[:60])
def test_nothing_is_written_for_a_forged_list_of_files(control: ControlNode, answer: Any) -> None:
    control.answers["list"] = answer
    with pytest.raises((OSError, ValueError), match=r"invalid name|more files|malformed|leads out|surrogates"):
        control.collect()
    assert control.left() == set()
    assert not list(control.work.parent.rglob("escaped"))


def tar_of(content: bytes, name: str = "0", kind: bytes = tarfile.REGTYPE, times: int = 1) -> bytes:
    """Return a parcel with this file."""
    with io.BytesIO() as made:
        with tarfile.open(fileobj=made, mode="w:gz", format=tarfile.GNU_FORMAT) as archive:
            for _ in range(times):
                header = tarfile.TarInfo(name)
                header.size, header.type, header.linkname = len(content), kind, "/etc/passwd"
                archive.addfile(header, io.BytesIO(content))
        return made.getvalue()


@pytest.mark.parametrize("mild", [tar_of(b"owN"), tar_of(b"", times=0)], ids=["other", "none"])
def test_only_what_matches_its_sum_is_collected(control: ControlNode, mild: bytes) -> None:
    control.write({"own": b"own"})
    control.carry = lambda _, place: Path(place).write_bytes(mild)
    assert read_files(control.collect() / "student") == {}
    assert "Not collected: student/own (it is being written)." in control.result["msg"]


PARCELS = {
    "no parcel": b"no parcel",
    "cut off": tar_of(b"own")[:-30],
    "other size": tar_of(b"own, and more"),
    "other number": tar_of(b"own", "1"),
    "twice": tar_of(b"own", times=2),
    "path": tar_of(b"own", "../../escaped"),
    "long name": tar_of(b"own", "x" * 10_000_000),
    "link": tar_of(b"", kind=tarfile.SYMTYPE),
    "sparse": tar_of(b"own", kind=tarfile.GNUTYPE_SPARSE),
    "pax": tar_of(bytes(10_000_000), kind=tarfile.XHDTYPE),
    "endless": gzip.compress(bytes(1 << 20)) + bytes(1 << 20),
}


@pytest.mark.parametrize("content", PARCELS.values(), ids=PARCELS)
def test_of_a_forged_parcel_nothing_is_kept(control: ControlNode, content: bytes) -> None:
    control.write({"own": b"own"})
    control.carry = lambda _, place: Path(place).write_bytes(content)
    tracemalloc.start()
    with pytest.raises(parcel.MALFORMED):
        control.collect()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000
    assert control.left() == set()


# --- a run that ends early


def test_an_interrupted_run_leaves_nothing_and_a_killed_runs_rest_is_removed(control: ControlNode) -> None:
    """And a collection is never changed."""

    def interrupt(verb: str) -> None:
        if verb == "pack":
            raise ConnectionError

    control.write(WORK)
    control.before_request = interrupt
    with pytest.raises(ConnectionError):
        control.collect()
    assert control.left() == set()
    (control.work / ".pi-01.part/work/student").mkdir(parents=True)
    (control.work / ".pi-010.part").mkdir()
    control.before_request = lambda verb: None
    folder = control.collect()
    assert {path.name for path in control.work.glob(".*.part")} == {".pi-010.part"}
    control.write({"own.ipynb": b"new"})
    control.days -= 1
    with pytest.raises(AnsibleActionFail, match="already exists"):
        control.collect()
    assert read_files(folder / "student") == WORK


# --- restore, hand out


def test_the_newest_collection_of_a_date_is_restored(control: ControlNode) -> None:
    for number in (1, 2, 3):
        control.write({"own": b"%d" % number})
        control.collect()
    for date, content in (("2026-11-02", b"2"), ("2026-11", b"3"), ("", b"3")):
        (control.pi.folder / "own").unlink()
        predicted = control.do("restore", dry=True, source="pi-01", date=date)
        assert not (control.pi.folder / "own").exists()
        assert control.do("restore", source="pi-01", date=date)["diff"] == predicted["diff"]
        assert (control.pi.folder / "own").read_bytes() == content
        assert not control.do("restore", source="pi-01", date=date)["changed"]
    for source, date in (("pi-02", ""), ("pi-0", ""), ("pi-*", ""), ("pi-01", "2025")):
        with pytest.raises(AnsibleActionFail, match="There is no collection of"):
            control.do("restore", source=source, date=date)


def test_damaged_files_and_those_of_unknown_students_are_not_restored_but_the_rest_is(control: ControlNode) -> None:
    control.write(WORK)
    folder = control.collect()
    (folder / "student/own.ipynb").chmod(0o644)
    (folder / "student/own.ipynb").write_bytes(b"damaged")
    collection.write_sums(folder, collection.read_sums(folder) | {"afternoon/own": sha256(b"own")})
    assert "discarded: student/own.ipynb." in control.do("reset", give_up=True)["msg"]
    control.pi.check_baseline()
    done = control.do("restore", source="pi-01", date="")
    assert done["failed"]
    assert "changed since they were collected: student/own.ipynb." in done["msg"]
    assert "the setting students does not list them: afternoon." in done["msg"]
    assert "own.ipynb" not in control.pi.files()
    assert "a folder/net.npz" in control.pi.files()


def test_what_cannot_be_handed_out_is_named(control: ControlNode) -> None:
    """And hidden files are not handed out."""
    sheets = control.work.parent / "sheets"
    (sheets / ".git").mkdir(parents=True)
    for name in ("a", ".git/x"):
        (sheets / name).write_bytes(b"theirs")
    control.do("hand_out", source=str(sheets))
    assert read_files(control.pi.folder).keys() ^ LESSONS.keys() == {"a"}
    control.answers["plan"] = {"needed": [], "changes": [], "left": {"notebooks/a": "it is taken"}}
    assert "Not sent: student/a (it is taken)." in control.do("hand_out", source=str(sheets))["msg"]
    with pytest.raises(AnsibleActionFail, match="no file to hand out"):
        control.do("hand_out", source=str(control.work))


def test_a_full_disk_is_said_for_the_right_computer(control: ControlNode, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: str) -> None:
        raise RuntimeError("sftp says no more than Failure")

    control.write(WORK)
    control.collect()
    control.write({"new": b"new"})
    control.carry = fail
    with pytest.raises(RuntimeError):
        control.collect()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
    with pytest.raises(OSError, match=f"No space left on device: '{control.work}'"):
        control.collect()
    (control.pi.folder / "own.ipynb").unlink()
    with pytest.raises(OSError, match=f"No space left on device: '{control.pi.home}'"):
        control.do("restore", source="pi-01", date="")
    assert not parcel.place_of(control.pi.pristine).parent.exists()
    assert not (control.work / ".pi-01.part").exists()


# --- reset


def test_a_reset_is_refused_until_every_byte_is_in_a_collection_of_this_pi(control: ControlNode) -> None:
    def refused(names: str) -> None:
        before = control.pi.files()
        with pytest.raises(AnsibleActionFail, match=rf"pi-01 has work that .* \({names}\), and nothing was changed"):
            control.do("reset")
        assert control.pi.files() == before

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
    control.before_each("reset", {"own": b"saved just before"})
    with pytest.raises(AnsibleActionFail, match=r"\(student/own\), and nothing"):
        control.do("reset")
    control.write({"own": b"first"})
    control.do("reset")
    control.pi.check_baseline()
