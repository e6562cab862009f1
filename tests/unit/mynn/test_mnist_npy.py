"""The .npy beside a CSV: used only if it is intact and the CSV has not changed."""

import os
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest

from mynn import DataError, Examples, mnist, read_csv
from mynn.arrays import Bytes

COUNT = 1100


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A CSV of random digits, alone in its folder."""
    path = tmp_path / "digits.csv"
    random = np.random.default_rng(1)
    rows = np.column_stack([random.integers(0, 10, COUNT), random.integers(0, 256, (COUNT, 784))])
    path.write_text("".join(",".join(map(str, row)) + "\n" for row in rows.tolist()))
    return path


@pytest.fixture
def parse(monkeypatch: pytest.MonkeyPatch) -> Mock:
    """Count the times that a CSV is parsed and not mapped."""
    parse = Mock(wraps=mnist._parsed)
    monkeypatch.setattr(mnist, "_parsed", parse)
    return parse


def same(one: Examples, other: Examples) -> bool:
    return np.array_equal(one.labels, other.labels) and np.array_equal(one.pixels, other.pixels)


def other_files(path: Path) -> list[Path]:
    """Return all files in the CSV's folder except the CSV."""
    return [other for other in path.parent.iterdir() if other != path]


def test_a_csv_is_parsed_only_once(path: Path, parse: Mock) -> None:
    path.chmod(0o640)
    first, again = read_csv(path), read_csv(path)
    (npy,) = other_files(path)
    assert npy.name == "digits.csv.npy" and npy.stat().st_mode & 0o777 == 0o640
    assert same(first, again) and not again.pixels.flags.writeable  # the file is mapped
    for limit in (1, COUNT, COUNT + 1):
        assert same(read_csv(path, limit), first[:limit])
    assert parse.call_count == 1


@pytest.mark.parametrize("later", [-(10**18), 0])
def test_a_changed_csv_is_parsed_again(later: int, path: Path, parse: Mock) -> None:
    """Even if its size is the same, and its modification time too, or it is older, as on a Pi without a clock."""
    time = path.stat().st_mtime_ns
    old, text = read_csv(path), path.read_text()
    at = text.rindex(",1") + 1
    path.write_text(f"{text[:at]}2{text[at + 1 :]}")
    os.utime(path, ns=(0, time + later))
    new = read_csv(path)
    assert parse.call_count == 2 and int(np.sum(old.pixels != new.pixels)) == 1
    assert len(other_files(path)) == 1
    path.unlink()
    with pytest.raises(DataError, match="no such file"):
        read_csv(path)


def test_a_damaged_npy_is_replaced(path: Path) -> None:
    """Truncated, extended, with a damaged header, or of another kind: the digits are right, and it is written again."""
    first, random = read_csv(path), np.random.default_rng(3)
    (npy,) = other_files(path)
    whole, time = npy.read_bytes(), path.stat().st_mtime_ns

    def loaded() -> Bytes | None:
        os.utime(npy, ns=(time, time))
        return mnist.load(path)

    for _ in range(30):
        for where in (len(whole) - 785 * COUNT - 4, len(whole)):  # in the header, and anywhere
            damaged = bytearray(whole)
            damaged[int(random.integers(where))] ^= 1 << int(random.integers(8))
            npy.write_bytes(damaged)
            found = loaded()
            assert found is None or np.array_equal(found[:, 1:], first.pixels)  # a space in the header
        npy.write_bytes((whole + whole)[: int(random.integers(2 * len(whole)))])
        assert loaded() is None
    damaged = bytearray(whole)
    damaged[len(whole) - 4 - 785] = 255  # the last label
    npy.write_bytes(damaged)
    os.utime(npy, ns=(time, time))
    assert mnist.load(path, COUNT - 1) is not None and mnist.load(path, COUNT) is None
    zeros = np.zeros((COUNT, 785), np.uint8)
    for rows in (zeros[:, 1:], zeros[0], np.asfortranarray(zeros), zeros.astype(np.int8), zeros.astype(object)):
        np.save(npy, rows)
        assert loaded() is None
    npy.write_bytes(b"\0" * len(whole))
    assert loaded() is None
    assert same(read_csv(path), first)
    assert npy.read_bytes() == whole


def test_if_the_npy_cannot_be_written_the_csv_is_read_anyway(
    path: Path, parse: Mock, fill_disk: Callable[[], None]
) -> None:
    """Since a folder has its name; then on a full disk, which leaves nothing behind."""
    npy = path.with_name("digits.csv.npy")
    npy.mkdir()
    assert same(read_csv(path), read_csv(path)) and parse.call_count == 2
    assert other_files(path) == [npy]
    npy.rmdir()
    fill_disk()
    assert len(read_csv(path)) == COUNT
    assert other_files(path) == []
