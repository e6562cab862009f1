"""Atomic writes, and locks that end with their process."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.mynn.pi.plugins.module_utils.files import locked, replacing

HOLD = """
import fcntl, sys, time
lock = open(sys.argv[1], "a")
fcntl.lockf(lock, fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def held(tmp_path: Path) -> Iterator[tuple[Path, subprocess.Popen[str]]]:
    """A lock that another process holds."""
    path = tmp_path / "lock"
    holder = subprocess.Popen([sys.executable, "-c", HOLD, path], stdout=subprocess.PIPE, text=True)
    assert holder.stdout
    assert holder.stdout.readline() == "held\n"
    yield path, holder
    holder.kill()
    holder.wait()


def test_waiting_for_a_lock_has_a_deadline(held: tuple[Path, subprocess.Popen[str]]) -> None:
    with pytest.raises(TimeoutError, match="lock"), locked(held[0], 0, fcntl.lockf):
        pass


def test_a_dead_process_holds_no_lock(held: tuple[Path, subprocess.Popen[str]]) -> None:
    path, holder = held
    holder.kill()
    holder.wait()
    assert path.exists()
    with locked(path, 0, fcntl.lockf), path.open("a") as lock:
        fcntl.lockf(lock, fcntl.LOCK_UN)


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_a_file_is_replaced_when_the_new_one_is_complete(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with replacing(path, mode) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == mode


def test_an_error_while_writing_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(ZeroDivisionError), replacing(path) as file:
        file.write(b"half")
        raise ZeroDivisionError
    assert [(found.name, found.read_bytes()) for found in tmp_path.iterdir()] == [("file", b"old")]
