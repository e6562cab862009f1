"""The drawings that a student keeps: what is in the file, whatever happens to it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mynn import DataError, drawings, read_csv
from mynn.arrays import Bytes
from mynn.drawings import NAME, count, keep, my_digits, take_back


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The notebook's folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def drawn(seed: int) -> Bytes:
    """Pixels of which no two seeds have the same."""
    return np.random.default_rng(seed).integers(0, 256, 784, np.uint8)


def test_none_are_kept_before_the_first(folder: Path) -> None:
    assert len(my_digits()) == 0
    assert my_digits().pixels.shape == (0, 784)
    assert count() == [0] * 10
    assert not list(folder.iterdir())


def test_what_is_kept_is_read_back_also_as_mnist_is(folder: Path) -> None:
    for seed, label in enumerate((4, 7, 4)):
        keep(label, drawn(seed))
    for found in (my_digits(), read_csv(NAME)):
        assert found.labels.tolist() == [4, 7, 4]
        assert (found.pixels == [drawn(seed) for seed in range(3)]).all()
    assert count() == [0, 0, 0, 0, 2, 0, 0, 1, 0, 0]
    assert [path.name for path in folder.iterdir()] == [NAME]


def test_one_drawing_is_one_line_and_its_last_label_counts() -> None:
    for label in (4, 4, 9):
        keep(label, drawn(1))
    keep(4, drawn(2))
    assert my_digits().labels.tolist() == [9, 4]


def test_the_one_that_is_taken_back_is_gone_and_no_other() -> None:
    for seed in range(3):
        keep(seed, drawn(seed))
    take_back(1, drawn(1))
    take_back(2, drawn(0))  # a 0, kept as another
    assert my_digits().labels.tolist() == [0, 2]


@pytest.mark.parametrize(
    "damage",
    [b"5,1,2,3", b"nonsense", b"\0" * 500, b"11" + b",0" * 784, b"3" + b",256" * 784, b"3" + b",-1" * 784, b"\xff\xfe"],
    ids=["cut off", "no numbers", "a power cut's zeros", "label 11", "too bright", "negative", "not ASCII"],
)
def test_a_damaged_line_loses_no_other(damage: bytes, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keep(1, drawn(1))
    keep(2, drawn(2))
    lines = (folder / NAME).read_bytes().splitlines()
    (folder / NAME).write_bytes(b"\n".join([lines[0], damage, lines[1]]))  # and its last line has no end
    keep(3, drawn(3))
    take_back(1, drawn(1))
    assert my_digits().labels.tolist() == [2, 3]
    assert capsys.readouterr().out == f"{NAME}: 1 of its 3 lines cannot be read; the others can.\n"
    assert damage in (folder / NAME).read_bytes(), "what it was can still be looked at"


def test_there_is_a_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawings, "MOST", 3)
    for seed in range(3):
        keep(seed, drawn(seed))
    with pytest.raises(DataError, match=r"my_digits.csv: this holds 3 drawings, and no more fit; rename it, and a new"):
        keep(3, drawn(3))
    keep(5, drawn(2))  # another label for one that is there needs no room
    assert my_digits().labels.tolist() == [0, 1, 5]


def test_2000_of_the_darkest_drawings_fit() -> None:
    dark = np.full(784, 255, np.uint8)
    line = b"8," + b",".join(b"%d" % pixel for pixel in dark) + b"\n"
    Path(NAME).write_bytes(line * drawings.MOST)
    assert sum(count()) == len(my_digits()) == drawings.MOST == 2000


def test_what_is_far_too_large_is_not_read() -> None:
    with Path(NAME).open("wb") as file:
        file.truncate(10**9)
    for use in (my_digits, count, lambda: keep(1, drawn(1))):
        with pytest.raises(DataError, match=r"my_digits.csv: this is too large to be drawings from the pad; rename it"):
            use()
    assert Path(NAME).stat().st_size == 10**9


def test_a_folder_of_that_name_is_one_sentence(folder: Path) -> None:
    (folder / NAME).mkdir()
    with pytest.raises(DataError, match=r"my_digits.csv: is a directory; rename it, and a new one is begun"):
        keep(1, drawn(1))


def test_a_full_disk_leaves_what_was_kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(1, drawn(1))

    def full(_file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(DataError, match=r"my_digits.csv: no space left on device, so the drawing is not kept; free"):
        keep(2, drawn(2))
    assert my_digits().labels.tolist() == [1]
    assert [path.name for path in folder.iterdir()] == [NAME]
