"""Students' work on the control node: a collection is complete or absent, and holds exactly what the Pi has."""

import errno
import gzip
import json
import os
import shutil
import subprocess
import tracemalloc
from collections.abc import Callable
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

    def check_nothing_is_left(self) -> None:
        """Check that there is no collection, and no parcel here and on the Pi."""
        assert {path.name for path in self.work.rglob("*") if path.suffix != ".lock"} == set()
        assert not parcel.place_of(self.pi.pristine).parent.exists()


@pytest.fixture
def control(open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> ControlNode:
    monkeypatch.setattr(parcel, "PARCEL", 1000)
    monkeypatch.setattr(parcel, "MANY", 3)
    return ControlNode(open_folder)


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
    "more": gzip.compress(b"owN" + bytes(1 << 30)),
    "no parcel": b"no parcel",
    "cut off": gzip.compress(b"own")[:12],
    "too large": gzip.compress(os.urandom(1 << 17)),
}


@pytest.mark.parametrize("content", PARCELS.values(), ids=PARCELS)
def test_of_a_forged_parcel_nothing_is_kept(control: ControlNode, content: bytes) -> None:
    """And no memory is filled."""
    control.write({"own": b"own"})
    control.carry = lambda _, place: Path(place).write_bytes(content)
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
    control.pi.parcel().write_bytes(b"half")
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


def test_what_cannot_be_handed_out_is_named(control: ControlNode) -> None:
    """And hidden files are not handed out."""
    sheets = control.work.parent / "sheets"
    (sheets / ".git").mkdir(parents=True)
    for name in ("a", ".git/x"):
        (sheets / name).write_bytes(b"theirs")
    control.do("hand_out", source=str(sheets))
    assert control.pi.files().keys() ^ LESSONS.keys() == {"a"}
    control.answers["plan"] = [[], [], {"notebooks/a": "it is taken"}]
    assert "Not sent: student/a (it is taken)." in control.do("hand_out", source=str(sheets))["msg"]
    with pytest.raises(AnsibleActionFail, match="no file to hand out"):
        control.do("hand_out", source=str(control.work))


# --- reset


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
