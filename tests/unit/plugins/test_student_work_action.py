"""What students made, on the control node's side: a collection is whole or not there, and is what the Pi has."""

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
from tests.unit.plugins.test_lessons_module import files
from tests.unit.plugins.test_student_work_module import Pi, dig, sha256

WORK = {"own.ipynb": b"own", "a folder/net.npz": bytes(range(256)) * 40, "two\nlines\\": b"", "-rf ü \udcff": b"x"}


class Room:
    """A Pi and a control node, with no network between them: what the one asks, the other is asked at once."""

    def __init__(self, root: Path) -> None:
        (root / "pi").mkdir()
        self.pi = Pi(root / "pi")
        self.work = root / "work"
        self.asked: list[str] = []
        self.between: Callable[[str], None] = lambda verb: None
        self.days = 0

    def do(self, verb: str, *, dry: bool = False, **args: Any) -> dict[str, Any]:
        """Do as a task."""
        task: Any = object.__new__(action.ActionModule)
        task.pi, task.dry, task.root = "pi-01", dry, self.work
        task.asked = {"students": {"student": ""}, "largest": 1 << 20, "limit": 3 << 20, "give_up": False, **args}
        task._task = SimpleNamespace()

        def ask(verb: str, student: str, **given: Any) -> Any:
            self.asked.append(verb)
            self.between(verb)
            return chunks.unpack(chunks.pack(self.pi.do(verb, dry=dry, **chunks.unpack(chunks.pack(given)))))

        task.ask = ask
        done: dict[str, Any] = getattr(task, verb)()
        return done

    def collect(self, **args: Any) -> Path:
        """Collect on the next day. Returns the collection."""
        self.days += 1
        self.done = self.do("collect", date=f"2026-11-{self.days:02}", **args)
        return self.work / f"2026-11-{self.days:02}" / "pi-01"

    def write(self, files: dict[str, bytes]) -> None:
        for name, content in files.items():
            self.pi.write(name, content)


@pytest.fixture
def room(open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Room:
    monkeypatch.setattr(chunks, "CALL", 1000)
    monkeypatch.setattr(chunks, "MANY", 3)
    return Room(open_folder)


def test_a_collection_is_what_the_student_made(room: Room) -> None:
    room.write(WORK)
    look = room.do("collect", dry=True, date="2026-11-01")
    assert not room.work.exists()
    folder = room.collect()
    assert room.done["diff"] == look["diff"]
    assert files(folder / "student") == WORK
    checked = subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=folder, check=False)
    assert checked.returncode == 0
    assert collection.read_sums(folder) == {f"student/{name}": sha256(content) for name, content in WORK.items()}
    assert [path.name for path in room.work.rglob("*.part")] == []


def test_what_did_not_change_is_a_link_and_is_not_sent(room: Room) -> None:
    room.write(WORK)
    first = room.collect()
    room.write({"own.ipynb": b"new", "moved": WORK["a folder/net.npz"]})
    (room.pi.folder / "a folder/net.npz").unlink()
    room.asked.clear()
    second = room.collect()
    assert room.asked == ["list", "read"]
    assert room.done["sent"] == 3
    assert (second / "student/moved").samefile(first / "student/a folder/net.npz")
    assert not (second / "student/own.ipynb").samefile(first / "student/own.ipynb")
    assert files(first / "student") == WORK


def test_what_somebody_changed_in_the_last_collection_is_fetched_anew(room: Room) -> None:
    room.write(WORK)
    first = room.collect() / "student/own.ipynb"
    first.chmod(0o644)
    first.write_bytes(b"teacher's")
    assert (room.collect() / "student/own.ipynb").read_bytes() == b"own"
    assert first.read_bytes() == b"teacher's"


def test_a_disk_without_hard_links_gets_copies(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    room.write(WORK)
    room.collect()

    def refuse(self: Path, target: Path) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    assert files(room.collect() / "student") == WORK
    assert room.done["sent"] == 0


def test_a_file_that_changes_while_it_is_read_is_read_again(room: Room) -> None:
    room.write(WORK)
    moments = [b"changed", b"changed again"]

    def save(verb: str) -> None:
        if verb == "read" and moments:
            room.write({"own.ipynb": moments.pop()})

    room.between = save
    assert files(room.collect() / "student") == WORK | {"own.ipynb": b"changed"}
    assert not room.done["failed"]


def test_a_file_that_never_holds_still_is_named(room: Room) -> None:
    room.write(WORK)
    numbers = iter(range(100))
    room.between = lambda verb: room.write({"own.ipynb": b"%d" % next(numbers)}) if verb == "read" else None
    folder = room.collect()
    assert room.done["failed"]
    assert "Not collected: student/own.ipynb (it is being written)." in room.done["msg"]
    assert files(folder / "student") == {name: content for name, content in WORK.items() if name != "own.ipynb"}
    assert set(collection.read_sums(folder)) == {f"student/{name}" for name in files(folder / "student")}


def test_a_file_that_changes_and_changes_back_is_there(room: Room) -> None:
    room.write({"a": b"first", "b": b"first"})
    saves = iter([{}, {"b": b"second"}, {"a": b"second"}, {"a": b"first"}])
    room.between = lambda verb: room.write(next(saves, {}))
    assert files(room.collect() / "student") == {"a": b"first", "b": b"second"}
    assert not room.done["failed"]


def test_a_file_that_goes_while_it_is_read_is_not_missed(room: Room) -> None:
    room.write(WORK)

    def remove(verb: str) -> None:
        if verb == "read":
            (room.pi.folder / "own.ipynb").unlink(missing_ok=True)

    room.between = remove
    assert set(files(room.collect() / "student")) == set(WORK) - {"own.ipynb"}
    assert not room.done["failed"]


def test_what_cannot_be_collected_is_named_and_the_rest_is_there(room: Room) -> None:
    room.write(WORK)
    with room.pi.write("huge", b"").open("wb") as file:
        file.truncate(1 << 40)
    assert files(room.collect() / "student") == WORK
    assert room.done["failed"]
    assert "Not collected: student/huge (it is too large)." in room.done["msg"]


def test_what_is_beside_the_folder_is_collected_and_comes_back_to_where_it_was(room: Room) -> None:
    beside = {"../beside.txt": b"beside", "../a/b/c": b"deep", "../.hidden/d": b"hidden", "own": b"own"}
    room.write(beside)
    folder = room.collect()
    assert files(folder / "student") == {"own": b"own"}
    assert files(folder / "student.home") == {"beside.txt": b"beside", "a/b/c": b"deep", ".hidden/d": b"hidden"}
    with pytest.raises(AnsibleActionFail, match=r"\(student\.home/beside\.txt\)"):
        room.write({"../beside.txt": b"newer"})
        room.do("reset")
    room.write({"../beside.txt": b"beside"})
    room.do("reset")
    assert {path.name for path in room.pi.home.iterdir()} == {"notebooks", ".profile"}
    room.write({"../a": b"in its way"})
    room.do("restore", source="pi-01", date="")
    there = files(room.pi.home)
    assert {name: there[name] for name in ("beside.txt", ".hidden/d", "a", "a (new)/b/c", "notebooks/own")} == {
        "beside.txt": b"beside",
        ".hidden/d": b"hidden",
        "a": b"in its way",
        "a (new)/b/c": b"deep",
        "notebooks/own": b"own",
    }


def test_what_is_empty_or_there_twice_takes_no_room(room: Room) -> None:
    contents = {"zeros": bytes(1 << 19), "zeros too": bytes(1 << 19), "holes": bytes(1 << 19) + b"end"}
    contents |= {"equal": WORK["a folder/net.npz"] * 10, "../equal": WORK["a folder/net.npz"] * 10}
    room.write(contents)
    folder = room.collect()
    assert {name: content for name, content in contents.items() if name[0] != "."} == files(folder / "student")
    assert sum(path.stat().st_blocks for path in folder.glob("student/[hz]*")) * 512 < 1 << 17
    assert (folder / "student/equal").samefile(folder / "student.home/equal")
    assert (folder / "student/zeros").samefile(folder / "student/zeros too")
    assert not room.done["failed"]


def test_a_copy_where_there_are_no_links_has_holes_too(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    room.write({"zeros": bytes(1 << 19), "zeros too": bytes(1 << 19)})

    def refuse(self: Path, target: Path) -> None:
        raise OSError(31, "Too many links")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    for _ in range(2):
        folder = room.collect()
        assert files(folder / "student") == {"zeros": bytes(1 << 19), "zeros too": bytes(1 << 19)}
        assert sum(path.stat().st_blocks for path in folder.glob("student/*")) * 512 < 1 << 17


def test_of_one_student_only_so_much_is_collected(room: Room) -> None:
    room.write({f"{number}": bytes([number]) * 900_000 for number in range(5)} | WORK)
    folder = room.collect()
    assert set(files(folder / "student")) == {*WORK, "0", "1", "2"}
    assert "student/3 (it is beyond what is collected of one student)" in room.done["msg"]


def test_folders_without_an_end_are_one_short_line(room: Room) -> None:
    room.write(WORK)
    dig(room.pi.folder)
    assert files(room.collect() / "student") == WORK
    assert re.search(r" Not collected: student/[d/]{52}…[d/]{15} \(its path is too long\)\. Repair", room.done["msg"])


@pytest.mark.parametrize("error", [errno.ENAMETOOLONG, errno.EILSEQ])
def test_a_name_that_this_computer_cannot_have_is_named(
    room: Room, error: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    room.write(WORK)
    touch = Path.touch

    def odd(self: Path) -> None:
        if self.name == "own.ipynb":
            raise OSError(error, "no such name")
        touch(self)

    monkeypatch.setattr(Path, "touch", odd)
    folder = room.collect()
    assert set(files(folder / "student")) == set(WORK) - {"own.ipynb"}
    assert "student/own.ipynb (this computer's disk cannot hold a file of that name there)" in room.done["msg"]


SUM = sha256(b"x")
LIES: dict[str, Any] = {
    "no list": [],
    "no files": {"files": [], "left": {}},
    "a short file": {"files": {"a": [1, SUM, 0]}, "left": {}},
    "a long file": {"files": {"a": [1, SUM, 0, False, 0]}, "left": {}},
    "words for numbers": {"files": {"a": ["1", SUM, 0, False]}, "left": {}},
    "a time that is none": {"files": {"a": [1, SUM, "now", False]}, "left": {}},
    "no sum": {"files": {"a": [1, "../../sum", 0, False]}, "left": {}},
    "a size below 0": {"files": {"a": [-1, SUM, 0, False]}, "left": {}},
    "a huge file": {"files": {"a": [1 << 40, SUM, 0, False]}, "left": {}},
    "too much": {"files": {f"{number}": [1 << 20, SUM, 0, False] for number in range(4)}, "left": {}},
    "too many": {"files": {f"{number}": [0, SUM, 0, False] for number in range(20_001)}, "left": {}},
    "a list for a reason": {"files": {}, "left": {"a": []}},
}


@pytest.mark.parametrize("what", LIES)
def test_a_pi_that_lies_about_what_it_has_is_found_out(room: Room, what: str) -> None:
    room.pi.do = lambda verb, **given: LIES[what] if verb == "list" else pytest.fail("It was believed.")  # type: ignore[method-assign]
    with pytest.raises(ValueError, match="more files" if what.startswith("too") else "malformed|unpack"):
        room.collect()
    assert [path for path in room.work.rglob("*") if path.suffix != ".lock"] == []


def test_a_pi_that_sends_more_than_is_asked_for_fills_no_disk(room: Room) -> None:
    room.write({"own": b"own"})
    real = room.pi.do

    def lie(verb: str, **given: Any) -> Any:
        return [base64.b64encode(bytes(1 << 20) + b"x").decode()] if verb == "read" else real(verb, **given)

    room.pi.do = lie  # type: ignore[method-assign]
    written: list[int] = []
    write = action.write_chunk

    def note(file: Any, begin: int, data: bytes) -> None:
        written.append(len(data))
        write(file, begin, data)

    action.write_chunk = note
    try:
        room.collect()
    finally:
        action.write_chunk = write
    assert room.done["failed"]
    assert set(written) == {3}


@pytest.mark.parametrize("when", ["list", "read"])
def test_half_a_collection_is_none(room: Room, when: str) -> None:
    room.write(WORK)

    def die(verb: str) -> None:
        if verb == when:
            raise ConnectionError

    room.between = die
    with pytest.raises(ConnectionError):
        room.collect()
    assert [path for path in room.work.rglob("*") if path.suffix != ".lock"] == []


def test_what_a_killed_run_left_goes(room: Room) -> None:
    (room.work / "2026-10-31/.pi-01.part/student").mkdir(parents=True)
    (room.work / "2026-10-31/.pi-010.part").mkdir()
    room.collect()
    assert {path.name for path in (room.work / "2026-10-31").iterdir()} == {".pi-010.part"}


def test_a_collection_is_never_changed(room: Room) -> None:
    folder = room.collect()
    room.write(WORK)
    room.days = 0
    with pytest.raises(AnsibleActionFail, match="already exists"):
        room.collect()
    assert files(folder / "student") == {}


@pytest.mark.parametrize(
    "word",
    [
        *("../../escaped", "/escaped", "a/../../escaped", "%2e%2e/escaped", "a%00", "a\nb", "", "x" * 8000),
        *(".ssh/authorized_keys", ".local/lib/usercustomize.py"),  # no work: restored, it would be a program's settings
    ],
)
def test_a_pi_that_lies_about_names_writes_nowhere_else(room: Room, word: str) -> None:
    real = room.pi.do

    def lie(verb: str, **given: Any) -> Any:
        if verb == "list":
            return {"files": {word: [1, sha256(b"x"), 0, False]}, "left": {}}
        return real(verb, **given)

    room.pi.do = lie  # type: ignore[method-assign]
    with pytest.raises(OSError, match="no file can have"):
        room.collect()
    assert not list(room.work.parent.rglob("escaped"))


def test_a_pi_that_lies_about_contents_is_not_believed(room: Room) -> None:
    room.write({"own": b"own"})
    real = room.pi.do

    def lie(verb: str, **given: Any) -> Any:
        return [base64.b64encode(b"owN").decode()] if verb == "read" else real(verb, **given)

    room.pi.do = lie  # type: ignore[method-assign]
    assert files(room.collect() / "student") == {}
    assert room.done["failed"]


def test_restored_is_what_was_collected(room: Room) -> None:
    room.write(WORK)
    (room.pi.folder / "own.ipynb").chmod(0o755)
    room.collect()
    room.do("reset")
    room.write({"-rf ü \udcff": b"another"})
    before = room.pi.files()
    look = room.do("restore", dry=True, source="pi-01", date="")
    assert room.pi.files() == before
    done = room.do("restore", source="pi-01", date="")
    assert done["diff"] == look["diff"]
    assert room.pi.files() == WORK | before | {"-rf ü \udcff (new)": b"x"}
    assert (room.pi.folder / "own.ipynb").stat().st_mode & 0o777 == 0o755
    assert room.do("restore", source="pi-01", date="")["changed"] is False


def test_the_newest_collection_of_a_date_is_restored(room: Room) -> None:
    for number in (1, 2, 3):
        room.write({"own": b"%d" % number})
        room.collect()
    for date, content in (("2026-11-02", b"2"), ("2026-11", b"3"), ("", b"3")):
        (room.pi.folder / "own").unlink()
        room.do("restore", source="pi-01", date=date)
        assert (room.pi.folder / "own").read_bytes() == content


def test_what_was_collected_when_only_the_folder_was_is_restored(room: Room) -> None:
    room.write({"own": b"own"})
    folder = room.collect()
    assert set(collection.read_sums(folder)) == {"student/own"}
    (room.pi.folder / "own").unlink()
    room.do("restore", source="pi-01", date="")
    assert room.pi.files()["own"] == b"own"


def test_what_is_not_there_to_restore_is_said(room: Room) -> None:
    room.collect()
    for source, date in (("pi-02", ""), ("pi-0", ""), ("pi-*", ""), ("pi-01", "2025")):
        with pytest.raises(AnsibleActionFail, match="There is no collection of"):
            room.do("restore", source=source, date=date)


def test_a_damaged_file_and_a_strangers_are_not_restored_but_the_rest_is(room: Room) -> None:
    room.write(WORK)
    folder = room.collect()
    (folder / "student/own.ipynb").chmod(0o644)
    (folder / "student/own.ipynb").write_bytes(b"damaged")
    sums = collection.read_sums(folder) | {"afternoon/own": sha256(b"own")}
    collection.write_sums(folder, sums)
    room.do("reset", give_up=True)
    done = room.do("restore", source="pi-01", date="")
    assert done["failed"]
    assert "changed since they were collected: student/own.ipynb." in done["msg"]
    assert "students does not list them: afternoon." in done["msg"]
    assert "own.ipynb" not in room.pi.files()
    assert "a folder/net.npz" in room.pi.files()


def test_a_folder_is_handed_out(room: Room) -> None:
    sheets = room.work.parent / "sheets"
    for name, content in {"a.ipynb": b"theirs", "deep/er/b.txt": b"b", ".git/x": b"", "own": b"theirs"}.items():
        (sheets / name).parent.mkdir(parents=True, exist_ok=True)
        (sheets / name).write_bytes(content)
    room.write({"own": b"mine"})
    before = room.pi.files()
    look = room.do("hand_out", dry=True, source=str(sheets))
    assert room.pi.files() == before
    done = room.do("hand_out", source=str(sheets))
    assert done["diff"] == look["diff"]
    assert room.pi.files() == before | {"a.ipynb": b"theirs", "deep/er/b.txt": b"b", "own (new)": b"theirs"}
    assert room.do("hand_out", source=str(sheets))["changed"] is False
    for name in ("deep", "deep (new)", *(f"deep (new {number})" for number in range(2, BESIDE))):
        shutil.rmtree(room.pi.folder / name, ignore_errors=True)
        room.write({name: b"in its way"})
    done = room.do("hand_out", source=str(sheets))
    assert done["failed"]
    assert "Not sent: student/deep/er/b.txt (every name beside it is taken)." in done["msg"]
    with pytest.raises(AnsibleActionFail, match="no file to hand out"):
        room.do("hand_out", source=str(room.work))


def test_a_reset_goes_by_sums_and_not_by_dates(room: Room) -> None:
    room.write({"own": b"first", "other": b"other"})
    first = room.collect()
    room.write({"own": b"second"})
    before = room.pi.files()
    with pytest.raises(AnsibleActionFail, match=r"pi-01 has work that .* \(student/own\), and nothing was changed"):
        room.do("reset")
    room.write({"own": b"first"})
    (first / "student/other").chmod(0o644)
    (first / "student/other").write_bytes(b"somebody's")
    with pytest.raises(AnsibleActionFail, match=r"\(student/other\)"):
        room.do("reset")
    assert room.pi.files() == before | {"own": b"first"}
    room.collect()
    assert room.do("reset", dry=True)["changed"]
    assert room.pi.files() == before | {"own": b"first"}
    room.do("reset")
    assert "own" not in room.pi.files()


def test_another_pis_collection_does_not_count(room: Room) -> None:
    room.write({"own": b"own"})
    folder = room.collect()
    folder.rename(folder.with_name("pi-02"))
    with pytest.raises(AnsibleActionFail, match="in no collection"):
        room.do("reset")


def test_what_is_saved_after_the_look_is_not_lost(room: Room) -> None:
    room.write({"own": b"own"})
    room.collect()
    room.between = lambda verb: room.write({"own": b"newer"}) if verb == "reset" else None
    with pytest.raises(AnsibleActionFail, match=r"\(student/own\), and nothing"):
        room.do("reset")
    assert room.pi.files()["own"] == b"newer"


def test_given_up_is_only_what_is_said_to_be(room: Room) -> None:
    room.write({"own": b"own"})
    done = room.do("reset", give_up=True)
    assert "discarded: student/own." in done["msg"]
    assert "own" not in room.pi.files()


def test_many_names_are_a_short_sentence() -> None:
    assert collection.some([f"{number:02}\n" for number in range(12)]).endswith("08\\n, 09\\n and 2 more")


def test_chunks_are_all_of_every_file(monkeypatch: pytest.MonkeyPatch) -> None:
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
        base64.b64encode(zlib.compress(bytes(10**8))).decode(),  # a hundred megabytes out of a hundred kilobytes
    ],
)
def test_what_cannot_be_unpacked_is_refused(text: str) -> None:
    with pytest.raises((ValueError, RecursionError)):
        chunks.unpack(text)
    assert chunks.unpack(chunks.pack({"a": [1]})) == {"a": [1]}
