"""What a Pi tells the desk about itself, its card, and its students' lessons."""

import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.mynn.pi.plugins.module_utils import linux
from ansible_collections.mynn.pi.plugins.modules import pi_state
from tests.support.programs import ROOT
from tests.support.student import account


def write(path: Path, text: str) -> None:
    """Write a file into new folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_a_cards_errors_the_temperature_and_the_supply_voltage_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the files of Linux's MMC driver and of ext4."""
    monkeypatch.setattr(pi_state, "ROOT", tmp_path)
    device = tmp_path.stat().st_dev
    partition = f"{os.major(device)}:{os.minor(device)}"
    assert (pi_state.temperature(), pi_state.throttled(), "errors" in pi_state.card()) == (None, None, False)
    write(tmp_path / f"sys/dev/block/{partition}", "")
    write(tmp_path / f"sys/fs/ext4/{partition}/errors_count", "3\n")
    write(tmp_path / "sys/class/thermal/thermal_zone0/temp", "48312\n")
    write(tmp_path / "sys/class/hwmon/hwmon1/name", "rpi_volt\n")
    write(tmp_path / "sys/class/hwmon/hwmon1/in0_lcrit_alarm", "1\n")
    assert pi_state.card()["errors"] == 3
    assert (pi_state.temperature(), pi_state.throttled()) == (48.312, 1)


V1 = ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat", "total_")
V2 = ("memory.max", "memory.current", "memory.stat", "")
UNIT = ("a.slice/memory.max", "a.slice/memory.current", "a.slice/memory.stat", "")


@pytest.mark.parametrize(
    ("names", "limit", "total", "free"),
    [(V1, 427 << 20, 427, 160), (V2, 427 << 20, 427, 160), (V2, "max", 9000, 900), (UNIT, 427 << 20, 9000, 160)],
)
def test_a_virtual_pis_memory_is_its_containers(tmp_path: Path, names: Any, limit: Any, total: int, free: int) -> None:
    """Versions 1 and 2 of Linux's control groups have it in other files. A unit's limit is not the Pi's."""
    write(tmp_path / "proc/meminfo", f"MemTotal: {9000 << 10} kB\nMemAvailable: {900 << 10} kB\n")
    write(tmp_path / "proc/self/cgroup", "4:memory:/elsewhere\n0::/a.slice\n")
    caches = f"{names[3]}active_file {20 << 20}\n{names[3]}inactive_file {13 << 20}"
    for name, content in zip(names, (limit, 300 << 20, caches), strict=False):
        write(tmp_path / "sys/fs/cgroup" / name, f"{content}\n")
    assert pi_state.memory(tmp_path) == {"total": total, "free": free}


def test_the_memory_of_the_run_that_asks_counts_as_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tab Class does not count it either. Other connections to sshd (10), and kernels (30), do count."""
    own, above = os.getpid(), os.getppid()
    family = {1: 0, 10: 1, 11: 10, above: 11, own: above, 12: 11, 20: 10, 21: 20, 30: 1}
    held = {str(process): 5 << 20 for process in (11, above, own)} | {"12": 45 << 20, "10": 7 << 20, "21": 9 << 20}
    monkeypatch.setattr(linux, "parents", lambda: family)
    monkeypatch.setattr(linux, "amounts", lambda path, _unit: {"Pss": held[path.split("/")[2]]})
    assert linux.memory_of_connection() == 60


@given(st.binary() | st.sampled_from([b"x" * 32768, b"x" * 32769, b'{"a": "\x1b"}']))
def test_a_record_is_passed_on_only_as_short_plain_text(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as name:
        Path(name, "my_progress.json").write_bytes(content)
        found = pi_state.record(Path(name))
    assert found.encode() == content or (found == "" and not re.fullmatch(rb"[ -~\n]{0,32768}", content))


def test_pipes_and_links_count_as_damaged_lessons(tmp_path: Path) -> None:
    pristine = dict.fromkeys(["pipe.ipynb", "link.ipynb", "gone.ipynb", "mine.ipynb", "cut.ipynb"], "5e1f")
    os.mkfifo(tmp_path / "pipe.ipynb")
    write(tmp_path / "mine.ipynb", '{"cells": []}')
    (tmp_path / "link.ipynb").symlink_to("mine.ipynb")
    write(tmp_path / "cut.ipynb", '{"cells": [')
    damaged = ["pipe.ipynb", "link.ipynb", "cut.ipynb"]
    expected = {"missing": ["gone.ipynb"], "damaged": damaged, "changed": ["mine.ipynb"]}
    assert pi_state.lessons(tmp_path, pristine) == expected
    (tmp_path / "my_progress.json").symlink_to("/etc/passwd")
    assert pi_state.record(tmp_path) == ""


# Examines two lessons in a home, in a process of its own. Prints the result and, in KiB, its memory, and its child's.
EXAMINE = """
import json, pathlib, resource, sys
from ansible_collections.mynn.pi.plugins.modules import pi_state
from tests.support.student import account
home = pathlib.Path(sys.argv[1])
mine = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
found = pi_state.examine(account(home), home / 'notebooks', {"a.ipynb": "5e1f", "b.ipynb": "5e1f"})[0]
print(json.dumps([found, mine, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss]))
"""


@pytest.mark.root
@pytest.mark.parametrize("content", [b'{"cells": [' + b"[]," * 2_700_000 + b"[]]}", b"[" * (16 << 20)], ids=len)
def test_no_lesson_can_use_up_the_memory_or_prevent_the_answer(open_folder: Path, content: bytes) -> None:
    write(open_folder / "notebooks/b.ipynb", '{"cells": []}')
    (open_folder / "notebooks/a.ipynb").write_bytes(content)
    command = [sys.executable, "-c", EXAMINE, str(open_folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    found, before, peak = json.loads(done.stdout)
    assert found == {"missing": [], "damaged": ["a.ipynb"], "changed": ["b.ipynb"]}
    assert peak <= before + (pi_state.MEMORY >> 10)


@pytest.mark.root
def test_files_are_read_with_the_students_permissions_and_within_a_time(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = open_folder / "notebooks"
    lesson, place = folder / "a.ipynb", folder / "my_progress.json"
    write(lesson, '{"cells": []}')
    write(place, "a record")
    pristine = {"a.ipynb": "5e1f"}
    found = {"missing": [], "damaged": [], "changed": ["a.ipynb"]}, "a record"
    assert pi_state.examine(account(open_folder), folder, pristine) == found
    for path in (lesson, place):
        path.chmod(0o600)  # they belong to root
    nothing: tuple[Any, Any] = ({"missing": [], "damaged": ["a.ipynb"], "changed": []}, "")
    assert pi_state.examine(account(open_folder), folder, pristine) == nothing
    monkeypatch.setattr(pi_state, "PATIENCE", 1)
    monkeypatch.setattr(pi_state, "lessons", lambda *_: time.sleep(600))
    assert pi_state.examine(account(open_folder), folder, pristine) == nothing
    assert resource.getrlimit(resource.RLIMIT_CPU)[0] == resource.RLIM_INFINITY  # only the child is limited
