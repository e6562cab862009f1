"""The .npy beside a CSV: used only if it is intact and the CSV has not changed."""

import os
import resource
import signal
from pathlib import Path

import numpy as np
import pytest

from mynn import DataError, Examples, mnist, read_csv
from mynn.arrays import Bytes

COUNT = 1100


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


def record_parsing(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Return a list to which each CSV is added that is parsed and not mapped."""
    calls: list[Path] = []
    parse = mnist._parsed

    def recorded(path: Path, limit: int | None) -> tuple[Bytes, bool]:
        calls.append(path)
        return parse(path, limit)

    monkeypatch.setattr(mnist, "_parsed", recorded)
    return calls


def same(one: Examples, other: Examples) -> bool:
    return np.array_equal(one.labels, other.labels) and np.array_equal(one.pixels, other.pixels)


def other_files(path: Path) -> list[Path]:
    """Return all files in the CSV's folder except the CSV."""
    return [other for other in path.parent.iterdir() if other != path]


def test_a_csv_is_parsed_only_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = record_parsing(monkeypatch)
    path.chmod(0o640)
    first, again = read_csv(path), read_csv(path)
    (npy,) = other_files(path)
    assert npy.name == "digits.csv.npy" and npy.stat().st_mode & 0o777 == 0o640
    monkeypatch.chdir(path.parent)
    assert same(first, again) and same(first, read_csv("digits.csv"))
    assert len(calls) == 1
    assert not again.pixels.flags.writeable  # the file is mapped
    for limit in (1, 999, COUNT, COUNT + 1):
        assert same(read_csv(path, limit), first[:limit])
    assert len(calls) == 1
    rows = np.load(npy, mmap_mode="r")  # as other programs would load it
    assert (rows[:, 0] == first.labels).all() and (rows[:, 1:] == first.pixels).all()


def test_a_changed_csv_is_parsed_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even if its size is the same and its modification time is older, as on a Pi without a clock."""
    calls, old = record_parsing(monkeypatch), read_csv(path)
    text = path.read_text()
    at = text.rindex(",1") + 1
    path.write_text(f"{text[:at]}2{text[at + 1 :]}")
    os.utime(path, ns=(0, path.stat().st_mtime_ns - 10**18))
    new = read_csv(path)
    assert len(calls) == 2 and int(np.sum(old.pixels != new.pixels)) == 1
    write(path, seed=2, count=1050)
    assert len(read_csv(path)) == 1050
    assert same(read_csv(path), read_csv(path)) and len(calls) == 3
    assert len(other_files(path)) == 1
    path.unlink()
    with pytest.raises(DataError, match="no such file"):
        read_csv(path)


def test_a_damaged_npy_is_replaced(path: Path) -> None:
    """Truncated, extended, with a damaged header, or of another kind: the digits are right, and it is written again."""
    first, random = read_csv(path), np.random.default_rng(3)
    (npy,) = other_files(path)
    whole, time = npy.read_bytes(), path.stat().st_mtime_ns
    header = len(whole) - 785 * COUNT

    def loaded() -> Bytes | None:
        os.utime(npy, ns=(time, time))
        return mnist.load(path)

    for _ in range(30):
        damaged = bytearray(whole)
        damaged[int(random.integers(header))] ^= 1 << int(random.integers(8))
        for content in (whole[: int(random.integers(len(whole)))], whole + bytes(int(random.integers(1, 10_000)))):
            npy.write_bytes(content)
            assert loaded() is None
        npy.write_bytes(damaged)
        found = loaded()
        assert found is None or np.array_equal(found[:, 1:], first.pixels)  # a space in the header
    zeros = np.zeros((COUNT, 785), np.uint8)
    others = (zeros[:, 1:], zeros[0], zeros[..., None], np.asfortranarray(zeros))
    for rows in (*others, *(zeros.astype(dtype) for dtype in (np.int8, np.uint16, object))):
        np.save(npy, rows)
        assert loaded() is None
    npy.write_bytes(b"\0" * len(whole))
    assert loaded() is None
    assert same(read_csv(path), first)
    assert npy.read_bytes() == whole


def test_if_the_npy_cannot_be_written_the_csv_is_read_anyway(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Since a folder has its name; then on a full disk, which leaves nothing behind."""
    calls = record_parsing(monkeypatch)
    npy = path.with_name("digits.csv.npy")
    npy.mkdir()
    assert same(read_csv(path), read_csv(path)) and len(calls) == 2
    assert other_files(path) == [npy]
    npy.rmdir()
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, old[1]))
    try:
        assert len(read_csv(path)) == COUNT
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, ignored)
    assert other_files(path) == []
