"""Students' work on the control node: a collection is complete or absent, and holds exactly what the Pi has."""

import base64
import errno
import re
import shutil
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail

from ansible_collections.mynn.pi.plugins.action import student_work as action
from ansible_collections.mynn.pi.plugins.module_utils import chunks, collection
from ansible_collections.mynn.pi.plugins.module_utils.students_folder import BESIDE
from tests.support.student import read_files
from tests.support.student_work import Pi, make_deep_folders, sha256

WORK = {"own.ipynb": b"own", "a folder/net.npz": bytes(range(256)) * 40, "two\nlines\\": b"", "-rf ü \udcff": b"x"}


class ControlNode:
    """A control node and a Pi without a network between them: the action's requests go straight to the module."""

    def __init__(self, root: Path) -> None:
        (root / "pi").mkdir()
        self.pi = Pi(root / "pi")
        self.work = root / "work"
        self.asked: list[str] = []
        self.before_request: Callable[[str], None] = lambda verb: None
        self.days = 0

    def do(self, verb: str, *, dry: bool = False, **args: Any) -> dict[str, Any]:
        """Do what the task does. Return its result."""
        task: Any = object.__new__(action.ActionModule)
        task.pi, task.dry, task.root = "pi-01", dry, self.work
        task.asked = {"students": {"student": ""}, "largest": 1 << 20, "limit": 3 << 20, "give_up": False, **args}
        task._task = SimpleNamespace()

        def ask(verb: str, student: str, **given: Any) -> Any:
            self.asked.append(verb)
            self.before_request(verb)
            return chunks.unpack(chunks.pack(self.pi.do(verb, dry=dry, **chunks.unpack(chunks.pack(given)))))

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


@pytest.fixture
def control(open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> ControlNode:
    monkeypatch.setattr(chunks, "CALL", 1000)
    monkeypatch.setattr(chunks, "MANY", 3)
    return ControlNode(open_folder)


def test_a_collection_holds_exactly_the_students_work(control: ControlNode) -> None:
    control.write(WORK)
    predicted = control.do("collect", dry=True, date="2026-11-01")
    assert not control.work.exists()
    folder = control.collect()
    assert control.result["diff"] == predicted["diff"]
    assert read_files(folder / "student") == WORK
    checked = subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=folder, check=False)
    assert checked.returncode == 0
    assert collection.read_sums(folder) == {f"student/{name}": sha256(content) for name, content in WORK.items()}
    assert [path.name for path in control.work.rglob("*.part")] == []


def test_unchanged_files_are_links_to_the_last_collection_and_are_not_sent(control: ControlNode) -> None:
    control.write(WORK)
    first = control.collect()
    control.write({"own.ipynb": b"new", "moved": WORK["a folder/net.npz"]})
    (control.pi.folder / "a folder/net.npz").unlink()
    control.asked.clear()
    second = control.collect()
    assert control.asked == ["list", "read"]
    assert control.result["sent"] == 3
    assert (second / "student/moved").samefile(first / "student/a folder/net.npz")
    assert not (second / "student/own.ipynb").samefile(first / "student/own.ipynb")
    assert read_files(first / "student") == WORK


def test_a_file_that_somebody_changed_in_the_last_collection_is_fetched_again(control: ControlNode) -> None:
    control.write(WORK)
    first = control.collect() / "student/own.ipynb"
    first.chmod(0o644)
    first.write_bytes(b"teacher's")
    assert (control.collect() / "student/own.ipynb").read_bytes() == b"own"
    assert first.read_bytes() == b"teacher's"


def test_a_disk_without_hard_links_gets_copies(control: ControlNode, monkeypatch: pytest.MonkeyPatch) -> None:
    control.write(WORK)
    control.collect()

    def refuse(self: Path, target: Path) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    assert read_files(control.collect() / "student") == WORK
    assert control.result["sent"] == 0


def test_a_file_that_changes_while_it_is_read_is_read_again(control: ControlNode) -> None:
    control.write(WORK)
    changes = [b"changed", b"changed again"]

    def save(verb: str) -> None:
        if verb == "read" and changes:
            control.write({"own.ipynb": changes.pop()})

    control.before_request = save
    assert read_files(control.collect() / "student") == WORK | {"own.ipynb": b"changed"}
    assert not control.result["failed"]


def test_a_file_that_keeps_changing_is_named(control: ControlNode) -> None:
    control.write(WORK)
    numbers = iter(range(100))
    control.before_request = lambda verb: (
        control.write({"own.ipynb": b"%d" % next(numbers)}) if verb == "read" else None
    )
    folder = control.collect()
    assert control.result["failed"]
    assert "Not collected: student/own.ipynb (it is being written)." in control.result["msg"]
    assert read_files(folder / "student") == {name: content for name, content in WORK.items() if name != "own.ipynb"}
    assert set(collection.read_sums(folder)) == {f"student/{name}" for name in read_files(folder / "student")}


def test_a_file_that_changes_and_changes_back_is_collected(control: ControlNode) -> None:
    control.write({"a": b"first", "b": b"first"})
    saves = iter([{}, {"b": b"second"}, {"a": b"second"}, {"a": b"first"}])
    control.before_request = lambda verb: control.write(next(saves, {}))
    assert read_files(control.collect() / "student") == {"a": b"first", "b": b"second"}
    assert not control.result["failed"]


def test_a_file_that_is_deleted_meanwhile_is_not_reported(control: ControlNode) -> None:
    control.write(WORK)

    def remove(verb: str) -> None:
        if verb == "read":
            (control.pi.folder / "own.ipynb").unlink(missing_ok=True)

    control.before_request = remove
    assert set(read_files(control.collect() / "student")) == set(WORK) - {"own.ipynb"}
    assert not control.result["failed"]


def test_a_file_that_is_too_large_is_named_and_the_rest_is_collected(control: ControlNode) -> None:
    control.write(WORK)
    with control.pi.write("huge", b"").open("wb") as file:
        file.truncate(1 << 40)
    assert read_files(control.collect() / "student") == WORK
    assert control.result["failed"]
    assert "Not collected: student/huge (it is too large)." in control.result["msg"]


def test_files_beside_the_folder_are_collected_and_restored_to_their_places(control: ControlNode) -> None:
    beside = {"../beside.txt": b"beside", "../a/b/c": b"deep", "../.hidden/d": b"hidden", "own": b"own"}
    control.write(beside)
    folder = control.collect()
    assert read_files(folder / "student") == {"own": b"own"}
    assert read_files(folder / "student.home") == {"beside.txt": b"beside", "a/b/c": b"deep", ".hidden/d": b"hidden"}
    with pytest.raises(AnsibleActionFail, match=r"\(student\.home/beside\.txt\)"):
        control.write({"../beside.txt": b"newer"})
        control.do("reset")
    control.write({"../beside.txt": b"beside"})
    control.do("reset")
    assert {path.name for path in control.pi.home.iterdir()} == {"notebooks", ".profile"}
    control.write({"../a": b"in its way"})
    control.do("restore", source="pi-01", date="")
    found = read_files(control.pi.home)
    assert {name: found[name] for name in ("beside.txt", ".hidden/d", "a", "a (new)/b/c", "notebooks/own")} == {
        "beside.txt": b"beside",
        ".hidden/d": b"hidden",
        "a": b"in its way",
        "a (new)/b/c": b"deep",
        "notebooks/own": b"own",
    }


@pytest.mark.slow
def test_zeros_and_duplicates_take_no_disk_space(control: ControlNode) -> None:
    contents = {"zeros": bytes(1 << 19), "zeros too": bytes(1 << 19), "holes": bytes(1 << 19) + b"end"}
    contents |= {"equal": WORK["a folder/net.npz"] * 10, "../equal": WORK["a folder/net.npz"] * 10}
    control.write(contents)
    folder = control.collect()
    assert {name: content for name, content in contents.items() if name[0] != "."} == read_files(folder / "student")
    assert sum(path.stat().st_blocks for path in folder.glob("student/[hz]*")) * 512 < 1 << 17
    assert (folder / "student/equal").samefile(folder / "student.home/equal")
    assert (folder / "student/zeros").samefile(folder / "student/zeros too")
    assert not control.result["failed"]


def test_copies_on_a_disk_without_hard_links_are_sparse_too(
    control: ControlNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    control.write({"zeros": bytes(1 << 19), "zeros too": bytes(1 << 19)})

    def refuse(self: Path, target: Path) -> None:
        raise OSError(errno.EMLINK, "Too many links")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    for _ in range(2):
        folder = control.collect()
        assert read_files(folder / "student") == {"zeros": bytes(1 << 19), "zeros too": bytes(1 << 19)}
        assert sum(path.stat().st_blocks for path in folder.glob("student/*")) * 512 < 1 << 17


@pytest.mark.slow
def test_the_total_for_each_student_is_limited(control: ControlNode) -> None:
    control.write({f"{number}": bytes([number]) * 900_000 for number in range(5)} | WORK)
    folder = control.collect()
    assert set(read_files(folder / "student")) == {*WORK, "0", "1", "2"}
    assert "student/3 (it exceeds the limit for one student)" in control.result["msg"]


def test_deeply_nested_folders_are_reported_in_one_short_line(control: ControlNode) -> None:
    control.write(WORK)
    make_deep_folders(control.pi.folder)
    assert read_files(control.collect() / "student") == WORK
    assert re.search(
        r" Not collected: student/[d/]{52}…[d/]{15} \(its path is too long\)\. Repair", control.result["msg"]
    )


@pytest.mark.parametrize("error", [errno.ENAMETOOLONG, errno.EILSEQ])
def test_a_file_name_that_this_computers_disk_cannot_have_is_named(
    control: ControlNode, error: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    control.write(WORK)
    touch = Path.touch

    def odd(self: Path) -> None:
        if self.name == "own.ipynb":
            raise OSError(error, "no such name")
        touch(self)

    monkeypatch.setattr(Path, "touch", odd)
    folder = control.collect()
    assert set(read_files(folder / "student")) == set(WORK) - {"own.ipynb"}
    assert "student/own.ipynb (this computer's disk cannot hold a file of that name there)" in control.result["msg"]


SUM = sha256(b"x")
FORGED: dict[str, Any] = {
    "not an object": [],
    "files as a list": {"files": [], "left": {}},
    "a missing value": {"files": {"a": [1, SUM, 0]}, "left": {}},
    "an extra value": {"files": {"a": [1, SUM, 0, False, 0]}, "left": {}},
    "a string as size": {"files": {"a": ["1", SUM, 0, False]}, "left": {}},
    "a string as time": {"files": {"a": [1, SUM, "now", False]}, "left": {}},
    "not a checksum": {"files": {"a": [1, "../../sum", 0, False]}, "left": {}},
    "a negative size": {"files": {"a": [-1, SUM, 0, False]}, "left": {}},
    "a huge file": {"files": {"a": [1 << 40, SUM, 0, False]}, "left": {}},
    "too large in total": {"files": {f"{number}": [1 << 20, SUM, 0, False] for number in range(4)}, "left": {}},
    "too many files": {
        "files": {f"{number}": [0, SUM, 0, False] for number in range(20_001)},
        "left": {},
    },
    "a list as a reason": {"files": {}, "left": {"a": []}},
}


@pytest.mark.parametrize("what", FORGED)
def test_a_forged_list_of_files_is_refused(control: ControlNode, what: str) -> None:
    control.pi.do = lambda verb, **given: FORGED[what] if verb == "list" else pytest.fail("The list was used.")  # type: ignore[method-assign]
    with pytest.raises(ValueError, match="more files" if what.startswith("too") else "malformed|unpack"):
        control.collect()
    assert [path for path in control.work.rglob("*") if path.suffix != ".lock"] == []


def test_no_more_is_written_than_was_asked_for(control: ControlNode) -> None:
    control.write({"own": b"own"})
    real = control.pi.do

    def forge(verb: str, **given: Any) -> Any:
        return [base64.b64encode(bytes(1 << 20) + b"x").decode()] if verb == "read" else real(verb, **given)

    control.pi.do = forge  # type: ignore[method-assign]
    written: list[int] = []
    write = action.write_chunk

    def note(file: Any, begin: int, data: bytes) -> None:
        written.append(len(data))
        write(file, begin, data)

    action.write_chunk = note
    try:
        control.collect()
    finally:
        action.write_chunk = write
    assert control.result["failed"]
    assert set(written) == {3}


@pytest.mark.parametrize("when", ["list", "read"])
def test_an_interrupted_collection_leaves_nothing(control: ControlNode, when: str) -> None:
    control.write(WORK)

    def interrupt(verb: str) -> None:
        if verb == when:
            raise ConnectionError

    control.before_request = interrupt
    with pytest.raises(ConnectionError):
        control.collect()
    assert [path for path in control.work.rglob("*") if path.suffix != ".lock"] == []


def test_files_left_by_a_killed_run_are_removed(control: ControlNode) -> None:
    (control.work / "2026-10-31/.pi-01.part/student").mkdir(parents=True)
    (control.work / "2026-10-31/.pi-010.part").mkdir()
    control.collect()
    assert {path.name for path in (control.work / "2026-10-31").iterdir()} == {".pi-010.part"}


def test_a_collection_is_never_changed(control: ControlNode) -> None:
    folder = control.collect()
    control.write(WORK)
    control.days = 0
    with pytest.raises(AnsibleActionFail, match="already exists"):
        control.collect()
    assert read_files(folder / "student") == {}


@pytest.mark.parametrize(
    "name",
    [
        *("../../escaped", "/escaped", "a/../../escaped", "%2e%2e/escaped", "a%00", "a\nb", "", "x" * 8000),
        *(".ssh/authorized_keys", ".local/lib/usercustomize.py"),  # not work: restored, a program would run it
    ],
)
def test_a_forged_file_name_cannot_lead_out_of_the_collection(control: ControlNode, name: str) -> None:
    real = control.pi.do

    def forge(verb: str, **given: Any) -> Any:
        if verb == "list":
            return {"files": {name: [1, sha256(b"x"), 0, False]}, "left": {}}
        return real(verb, **given)

    control.pi.do = forge  # type: ignore[method-assign]
    with pytest.raises(OSError, match="invalid name"):
        control.collect()
    assert not list(control.work.parent.rglob("escaped"))


def test_contents_that_do_not_match_their_checksum_are_not_kept(control: ControlNode) -> None:
    control.write({"own": b"own"})
    real = control.pi.do

    def forge(verb: str, **given: Any) -> Any:
        return [base64.b64encode(b"owN").decode()] if verb == "read" else real(verb, **given)

    control.pi.do = forge  # type: ignore[method-assign]
    assert read_files(control.collect() / "student") == {}
    assert control.result["failed"]


def test_restoring_gives_back_what_was_collected(control: ControlNode) -> None:
    control.write(WORK)
    (control.pi.folder / "own.ipynb").chmod(0o755)
    control.collect()
    control.do("reset")
    control.write({"-rf ü \udcff": b"another"})
    before = control.pi.files()
    predicted = control.do("restore", dry=True, source="pi-01", date="")
    assert control.pi.files() == before
    done = control.do("restore", source="pi-01", date="")
    assert done["diff"] == predicted["diff"]
    assert control.pi.files() == WORK | before | {"-rf ü \udcff (new)": b"x"}
    assert (control.pi.folder / "own.ipynb").stat().st_mode & 0o777 == 0o755
    assert control.do("restore", source="pi-01", date="")["changed"] is False


def test_the_newest_collection_of_a_date_is_restored(control: ControlNode) -> None:
    for number in (1, 2, 3):
        control.write({"own": b"%d" % number})
        control.collect()
    for date, content in (("2026-11-02", b"2"), ("2026-11", b"3"), ("", b"3")):
        (control.pi.folder / "own").unlink()
        control.do("restore", source="pi-01", date=date)
        assert (control.pi.folder / "own").read_bytes() == content


def test_a_collection_of_the_folder_alone_is_restored(control: ControlNode) -> None:
    control.write({"own": b"own"})
    folder = control.collect()
    assert set(collection.read_sums(folder)) == {"student/own"}
    (control.pi.folder / "own").unlink()
    control.do("restore", source="pi-01", date="")
    assert control.pi.files()["own"] == b"own"


def test_a_missing_collection_is_reported(control: ControlNode) -> None:
    control.collect()
    for source, date in (("pi-02", ""), ("pi-0", ""), ("pi-*", ""), ("pi-01", "2025")):
        with pytest.raises(AnsibleActionFail, match="There is no collection of"):
            control.do("restore", source=source, date=date)


def test_damaged_files_and_those_of_unknown_students_are_not_restored_but_the_rest_is(control: ControlNode) -> None:
    control.write(WORK)
    folder = control.collect()
    (folder / "student/own.ipynb").chmod(0o644)
    (folder / "student/own.ipynb").write_bytes(b"damaged")
    sums = collection.read_sums(folder) | {"afternoon/own": sha256(b"own")}
    collection.write_sums(folder, sums)
    control.do("reset", give_up=True)
    done = control.do("restore", source="pi-01", date="")
    assert done["failed"]
    assert "changed since they were collected: student/own.ipynb." in done["msg"]
    assert "the setting students does not list them: afternoon." in done["msg"]
    assert "own.ipynb" not in control.pi.files()
    assert "a folder/net.npz" in control.pi.files()


def test_a_folder_is_handed_out(control: ControlNode) -> None:
    sheets = control.work.parent / "sheets"
    for name, content in {"a.ipynb": b"theirs", "deep/er/b.txt": b"b", ".git/x": b"", "own": b"theirs"}.items():
        (sheets / name).parent.mkdir(parents=True, exist_ok=True)
        (sheets / name).write_bytes(content)
    control.write({"own": b"mine"})
    before = control.pi.files()
    predicted = control.do("hand_out", dry=True, source=str(sheets))
    assert control.pi.files() == before
    done = control.do("hand_out", source=str(sheets))
    assert done["diff"] == predicted["diff"]
    assert control.pi.files() == before | {"a.ipynb": b"theirs", "deep/er/b.txt": b"b", "own (new)": b"theirs"}
    assert control.do("hand_out", source=str(sheets))["changed"] is False
    for name in ("deep", "deep (new)", *(f"deep (new {number})" for number in range(2, BESIDE))):
        shutil.rmtree(control.pi.folder / name, ignore_errors=True)
        control.write({name: b"in its way"})
    done = control.do("hand_out", source=str(sheets))
    assert done["failed"]
    assert "Not sent: student/deep/er/b.txt (every name beside it is taken)." in done["msg"]
    with pytest.raises(AnsibleActionFail, match="no file to hand out"):
        control.do("hand_out", source=str(control.work))


def test_a_reset_compares_checksums_and_not_dates(control: ControlNode) -> None:
    control.write({"own": b"first", "other": b"other"})
    first = control.collect()
    control.write({"own": b"second"})
    before = control.pi.files()
    with pytest.raises(AnsibleActionFail, match=r"pi-01 has work that .* \(student/own\), and nothing was changed"):
        control.do("reset")
    control.write({"own": b"first"})
    (first / "student/other").chmod(0o644)
    (first / "student/other").write_bytes(b"somebody's")
    with pytest.raises(AnsibleActionFail, match=r"\(student/other\)"):
        control.do("reset")
    assert control.pi.files() == before | {"own": b"first"}
    control.collect()
    assert control.do("reset", dry=True)["changed"]
    assert control.pi.files() == before | {"own": b"first"}
    control.do("reset")
    assert "own" not in control.pi.files()


def test_a_reset_does_not_count_another_pis_collection(control: ControlNode) -> None:
    control.write({"own": b"own"})
    folder = control.collect()
    folder.rename(folder.with_name("pi-02"))
    with pytest.raises(AnsibleActionFail, match="in no collection"):
        control.do("reset")


def test_work_that_is_saved_just_before_a_reset_is_not_lost(control: ControlNode) -> None:
    control.write({"own": b"own"})
    control.collect()
    control.before_request = lambda verb: control.write({"own": b"newer"}) if verb == "reset" else None
    with pytest.raises(AnsibleActionFail, match=r"\(student/own\), and nothing"):
        control.do("reset")
    assert control.pi.files()["own"] == b"newer"


def test_discarded_work_is_named(control: ControlNode) -> None:
    control.write({"own": b"own"})
    done = control.do("reset", give_up=True)
    assert "discarded: student/own." in done["msg"]
    assert "own" not in control.pi.files()


def test_a_long_list_of_names_is_cut_short() -> None:
    assert collection.some([f"{number:02}\n" for number in range(12)]).endswith("08\\n, 09\\n and 2 more")


def test_chunks_cover_every_file_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "CALL", 10)
    sizes = [0, 3, 25, 10, 0, 7]
    given = [chunks.File(str(number), size, "", 0, False) for number, size in enumerate(sizes)]
    batches = list(chunks.batches(given))
    assert all(sum(length for _, _, length in batch) <= 10 for batch in batches)
    for file in given:
        parts = [(begin, length) for batch in batches for other, begin, length in batch if other is file]
        assert parts
        assert sum(length for _, length in parts) == file.size
        assert parts == sorted(parts)
        assert parts[0][0] == 0


@pytest.mark.parametrize(
    "text",
    [
        "not base64!",
        base64.b64encode(b"not packed").decode(),
        base64.b64encode(zlib.compress(b"[" * 10**6)).decode(),
        base64.b64encode(zlib.compress(b"{")).decode(),
        base64.b64encode(zlib.compress(b"[1]")[:-5]).decode(),
        base64.b64encode(zlib.compress(bytes(10**8))).decode(),  # 100 kB that unpack to 100 MB
    ],
)
def test_malformed_data_is_not_unpacked(text: str) -> None:
    with pytest.raises((ValueError, RecursionError)):
        chunks.unpack(text)
    assert chunks.unpack(chunks.pack({"a": [1]})) == {"a": [1]}
