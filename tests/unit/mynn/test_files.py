"""Files that two programs write at once, and what is in their place already."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from ansible_collections.mynn.pi.plugins.module_utils.tree import HALF_WRITTEN
from mynn import tasks
from mynn.drawings import count, keep
from mynn.files import check_place, replacing
from mynn.lesson.done import answered


def test_two_that_write_one_file_do_not_touch_each_others(tmp_path: Path) -> None:
    """The last one's is there, whole."""
    path = tmp_path / "network.npz"
    with replacing(path) as one:
        one.write(b"one")
        check_place(path)
        (unfinished,) = tmp_path.iterdir()
        assert unfinished.name.startswith(HALF_WRITTEN)  # so a collection leaves it out, if a power cut left it
        with replacing(path) as other:
            other.write(b"other")
        assert path.read_bytes() == b"other"
    assert path.read_bytes() == b"one" and list(tmp_path.iterdir()) == [path]


def test_a_link_stays_a_link_and_a_file_keeps_its_mode(tmp_path: Path) -> None:
    target, link, pipe = tmp_path / "target", tmp_path / "link", tmp_path / "pipe"
    link.symlink_to("target")
    plain = tmp_path / "plain"
    plain.touch()
    for mode in (plain.stat().st_mode, 0o100600):
        with replacing(link) as file:
            file.write(b"%o" % mode)
        assert link.is_symlink() and target.read_bytes() == b"%o" % mode and target.stat().st_mode == mode
        target.chmod(0o600)
    with replacing(link, mode=0o640):
        pass
    assert not link.is_symlink() and link.stat().st_mode & 0o777 == 0o640
    os.mkfifo(pipe)
    with pytest.raises(OSError, match="No such device"):  # nobody reads
        check_place(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with replacing(pipe) as file:
        file.write(b"through")
    assert pipe.is_fifo() and os.read(reader, 9) == b"through"
    os.close(reader)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("what", ["tasks", "drawings"])
def test_what_two_lessons_write_down_at_once_is_all_kept(what: str) -> None:
    def do(number: int) -> None:
        if what == "tasks":
            answered(f"task_{number}", right=True, typed="")
        else:
            keep(number % 10, np.full(784, number, np.uint8))

    with ThreadPoolExecutor(2) as lessons:
        list(lessons.map(do, range(60)))
    record = tasks.parse(Path(tasks.FILE).read_bytes()) if what == "tasks" else None
    assert len(record.tasks if record else []) + sum(count()) == 60
