"""What lies beside a CSV as .npy: believed only while it is whole and the CSV is the same."""

import os
import resource
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest

from mynn import DataError, Examples, mnist, read_csv
from mynn.arrays import Bytes

COUNT = 2300


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A CSV of random digits, alone in its folder."""
    path = tmp_path / "digits.csv"
    write(path, seed=1)
    return path


def write(path: Path, seed: int, count: int = COUNT) -> None:
    random = np.random.default_rng(seed)
    rows = np.column_stack([random.integers(0, 10, count), random.integers(0, 256, (count, 784))])
    path.write_text("".join(",".join(map(str, row)) + "\n" for row in rows.tolist()))


def parsed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Note each time that a CSV is parsed, rather than mapped."""
    calls: list[Path] = []
    parse = mnist._parsed

    def noted(path: Path, limit: int | None) -> tuple[Bytes, bool]:
        calls.append(path)
        return parse(path, limit)

    monkeypatch.setattr(mnist, "_parsed", noted)
    return calls


def same(one: Examples, other: Examples) -> bool:
    return np.array_equal(one.labels, other.labels) and np.array_equal(one.pixels, other.pixels)


def beside(path: Path) -> list[Path]:
    """All files of the CSV's folder but the CSV."""
    return [other for other in path.parent.iterdir() if other != path]


def test_a_csv_is_parsed_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = parsed(monkeypatch)
    path.chmod(0o640)
    first, again = read_csv(path), read_csv(path)
    (npy,) = beside(path)
    assert npy.name == "digits.csv.npy" and npy.stat().st_mode & 0o777 == 0o640
    monkeypatch.chdir(path.parent)
    assert same(first, again) and same(first, read_csv("digits.csv"))
    assert len(calls) == 1
    assert not again.pixels.flags.writeable  # it is the file itself
    for limit in (1, 999, 1000, 1001, COUNT, COUNT + 1):
        assert same(read_csv(path, limit), first[:limit])
    assert len(calls) == 1
    rows = np.load(npy, mmap_mode="r")  # as anybody would
    assert (rows[:, 0] == first.labels).all() and (rows[:, 1:] == first.pixels).all()


def test_a_limit_keeps_nothing_unless_it_is_the_whole_file(path: Path) -> None:
    read_csv(path, limit=COUNT - 1)
    assert not beside(path)
    read_csv(path, limit=COUNT)
    assert beside(path)


def test_a_csv_that_has_changed_is_parsed_anew(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when its size is what it was, and when its time of change lies in the past, as on a Pi without a clock."""
    calls, old = parsed(monkeypatch), read_csv(path)
    text = path.read_text()
    at = text.rindex(",1") + 1
    path.write_text(f"{text[:at]}2{text[at + 1 :]}")
    os.utime(path, ns=(0, path.stat().st_mtime_ns - 10**18))
    new = read_csv(path)
    assert len(calls) == 2 and int(np.sum(old.pixels != new.pixels)) == 1
    write(path, seed=2, count=1200)
    assert len(read_csv(path)) == 1200
    assert same(read_csv(path), read_csv(path)) and len(calls) == 3
    assert len(beside(path)) == 1
    path.unlink()
    with pytest.raises(DataError, match="no such file"):
        read_csv(path)


def test_a_csv_that_changes_while_it_is_parsed_is_not_kept(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parse = mnist._parsed

    def and_touched(path: Path, limit: int | None) -> tuple[Bytes, bool]:
        rows = parse(path, limit)
        path.touch()
        return rows

    monkeypatch.setattr(mnist, "_parsed", and_touched)
    assert len(read_csv(path)) == COUNT
    assert not beside(path)


def test_no_file_that_is_cut_off_or_of_another_kind_is_believed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a power cut, another program or a spoilt head leaves: the digits are right, and it is made anew."""
    first, random = read_csv(path), np.random.default_rng(3)
    (npy,) = beside(path)
    whole, time = npy.read_bytes(), path.stat().st_mtime_ns
    head = len(whole) - 785 * COUNT

    def put(content: bytes | bytearray) -> None:
        npy.write_bytes(content)
        os.utime(npy, ns=(time, time))

    for trial in range(300):
        damaged = bytearray(whole)
        if trial % 3 == 0:
            del damaged[int(random.integers(len(whole))) :]
        elif trial % 3 == 1:
            damaged += bytes(int(random.integers(1, 10_000)))
        else:
            damaged[int(random.integers(head))] ^= 1 << int(random.integers(8))
        put(damaged)
        found = mnist.load(path)
        assert found is None or (trial % 3 == 2 and np.array_equal(found[:, 1:], first.pixels))  # a space in the head
    for kind in (np.int8, np.uint16, object):
        np.save(npy, np.zeros((COUNT, 785), kind))
        put(npy.read_bytes())
        assert mnist.load(path) is None
    for shape in ((COUNT, 784), (785,), (COUNT, 785, 1)):
        np.save(npy, np.zeros(shape, np.uint8))
        put(npy.read_bytes())
        assert mnist.load(path) is None
    np.save(npy, np.asfortranarray(np.zeros((COUNT, 785), np.uint8)))
    put(npy.read_bytes())
    assert mnist.load(path) is None
    with npy.open("wb") as file:
        np.savez(file, np.zeros((COUNT, 785), np.uint8))
    put(npy.read_bytes())
    assert mnist.load(path) is None
    for content in (b"", b"\0" * len(whole), b"{}"):
        put(content)
        assert mnist.load(path) is None
    assert same(read_csv(path), first)
    assert npy.read_bytes() == whole  # made anew


def test_without_a_place_for_it_all_goes_on(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = parsed(monkeypatch)
    path.with_name("digits.csv.npy").mkdir()
    assert same(read_csv(path), read_csv(path)) and len(calls) == 2
    assert len(beside(path)) == 1


def test_a_full_disk_leaves_nothing_behind(path: Path) -> None:
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, old[1]))
    try:
        assert len(read_csv(path)) == COUNT
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, ignored)
    assert beside(path) == []


def test_few_digits_are_not_worth_a_file(path: Path) -> None:
    write(path, seed=1, count=999)
    assert len(read_csv(path)) == 999
    assert not beside(path)


def test_a_copy_that_keeps_its_times_is_believed(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = read_csv(path)
    shutil.copytree(path.parent, tmp_path / "copy")
    calls = parsed(monkeypatch)
    assert same(read_csv(tmp_path / "copy/digits.csv"), first) and calls == []
