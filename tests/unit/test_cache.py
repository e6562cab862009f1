"""What is kept of a CSV: believed only while it is whole and the CSV is the same."""

import os
import resource
import signal
from pathlib import Path

import numpy as np
import pytest

from mynn import Examples, cache, data, read_csv

COUNT = 2300  # two whole blocks of checksums and a part of one


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A CSV of random digits, and an empty folder for its cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    path = tmp_path / "digits.csv"
    write(path, seed=1)
    return path


def write(path: Path, seed: int, count: int = COUNT) -> None:
    random = np.random.default_rng(seed)
    rows = np.column_stack([random.integers(0, 10, count), random.integers(0, 256, (count, 784))])
    path.write_text("".join(",".join(map(str, row)) + "\n" for row in rows.tolist()))


def parsed(path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note each time that a CSV is parsed, rather than looked up."""
    calls: list[str] = []
    read = data._read

    def noted(path: str | os.PathLike[str], limit: int | None) -> tuple[Examples, bool]:
        calls.append(str(path))
        return read(path, limit)

    monkeypatch.setattr(data, "_read", noted)
    return calls


def same(one: Examples, other: Examples) -> bool:
    return np.array_equal(one.labels, other.labels) and np.array_equal(one.pixels, other.pixels)


def only_file() -> Path:
    (file,) = cache.folder().iterdir()
    return file


def test_a_csv_is_parsed_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = parsed(path, monkeypatch)
    first, again = read_csv(path), read_csv(path)
    monkeypatch.chdir(path.parent)
    assert same(first, again) and same(first, read_csv("digits.csv"))
    assert len(calls) == 1
    assert not again.pixels.flags.writeable  # it is the file itself
    for limit in (1, 999, 1000, 1001, COUNT, COUNT + 1):
        assert same(read_csv(path, limit), first[:limit])
    assert len(calls) == 1
    assert only_file().stat().st_size == 4096 + 785 * COUNT


def test_a_limit_keeps_nothing_unless_it_is_the_whole_file(path: Path) -> None:
    read_csv(path, limit=COUNT - 1)
    assert not cache.folder().exists()
    read_csv(path, limit=COUNT)
    assert only_file()


def test_a_csv_that_has_changed_is_parsed_anew(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when its size and its time of change are what they were."""
    calls, old = parsed(path, monkeypatch), read_csv(path)
    facts = path.stat()
    text = path.read_text()
    at = text.rindex(",1") + 1
    path.write_text(f"{text[:at]}2{text[at + 1 :]}")
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert path.stat().st_size == facts.st_size and path.stat().st_mtime_ns == facts.st_mtime_ns
    new = read_csv(path)
    assert len(calls) == 2 and int(np.sum(old.pixels != new.pixels)) == 1
    write(path, seed=2, count=1200)
    assert len(read_csv(path)) == 1200
    assert same(read_csv(path), read_csv(path)) and len(calls) == 3
    assert only_file()
    path.unlink()
    with pytest.raises(data.DataError, match="no such file"):
        read_csv(path)


def test_no_damage_is_believed(path: Path) -> None:
    first = read_csv(path)
    file, random = only_file(), np.random.default_rng(3)
    whole, head_ends = file.read_bytes(), file.read_bytes().index(b"}") + 1
    lost = 0
    for trial in range(300):
        damaged = bytearray(whole)
        if trial % 10 == 0:
            del damaged[int(random.integers(len(whole))) :]
        elif trial % 10 == 1:
            damaged += b"\0"
        else:
            end = head_ends if trial % 2 else len(whole)
            damaged[int(random.integers(end))] ^= 1 << int(random.integers(8))
        file.write_bytes(damaged)
        found = cache.find(path, 784)
        lost += found is None
        assert found is None or same(Examples(*found), first)
    assert lost > 280
    for text in (b"", b"{}", b"[]", b"null", b'"x"', b'{"count": -1, "sums": [], "version": 1, "state": []}'):
        file.write_bytes(text.ljust(4096))
        assert cache.find(path, 784) is None
    assert same(read_csv(path), first)
    assert file.read_bytes() == whole  # made anew


def test_damage_further_down_does_not_matter_to_a_limit(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, calls = read_csv(path), parsed(path, monkeypatch)
    damaged = bytearray(only_file().read_bytes())
    damaged[-1] ^= 1
    only_file().write_bytes(damaged)
    assert same(read_csv(path, 2000), first[:2000]) and calls == []
    assert same(read_csv(path, 2001), first[:2001]) and len(calls) == 1


def test_without_a_place_for_it_all_goes_on(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = parsed(path, monkeypatch)
    blocked = path.parent / "a file, and no folder"
    blocked.touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    assert same(read_csv(path), read_csv(path)) and len(calls) == 2


def test_a_full_disk_leaves_nothing_behind(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = path.parent / "full"
    monkeypatch.setenv("XDG_CACHE_HOME", str(full))
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, old[1]))
    try:
        assert len(read_csv(path)) == COUNT
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, ignored)
    assert list((full / "mynn").iterdir()) == []


def test_few_digits_are_not_worth_a_cache(path: Path) -> None:
    write(path, seed=1, count=999)
    assert len(read_csv(path)) == 999
    assert not cache.folder().exists()
