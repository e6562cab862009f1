"""The file of a student's own drawings, my_digits.csv."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mynn import DataError, read_csv, rows
from mynn.arrays import Bytes
from mynn.drawings import NAME, count, keep, my_digits, take_back

pytestmark = pytest.mark.usefixtures("folder")


def drawing(seed: int) -> Bytes:
    """Return pixels that differ from those of any other seed."""
    return np.random.default_rng(seed).integers(0, 256, 784, np.uint8)


def test_a_drawing_is_kept_once_with_its_last_label_and_only_the_given_one_is_taken_back(folder: Path) -> None:
    for seed, label in ((0, 4), (0, 0), (1, 1), (2, 2), (1, 1)):
        keep(label, drawing(seed))
    take_back(1, drawing(1))
    take_back(2, drawing(0))  # this drawing is kept as a 0, not as a 2
    for found in (my_digits(), read_csv(NAME)):
        assert found.labels.tolist() == [0, 2]
        assert (found.pixels == [drawing(0), drawing(2)]).all()
    assert count() == [1, 0, 1, 0, 0, 0, 0, 0, 0, 0]
    assert [path.name for path in folder.iterdir()] == [NAME]


DAMAGE = (b"5,1,2,3", b"\0" * 500, b"11" + b",0" * 784, b"3" + b",256" * 784, b"3" + b",-1" * 784, b"\xff\xfe")


@pytest.mark.parametrize("damage", DAMAGE, ids=range(len(DAMAGE)))
def test_a_damaged_line_does_not_affect_the_others(
    damage: bytes, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keep(1, drawing(1))
    keep(2, drawing(2))
    lines = (folder / NAME).read_bytes().splitlines()
    (folder / NAME).write_bytes(b"\n".join([lines[0], damage, lines[1]]))  # without a newline at the end
    keep(3, drawing(3))
    take_back(1, drawing(1))
    assert my_digits().labels.tolist() == [2, 3]
    assert capsys.readouterr().out == f"{NAME}: 1 of its 3 lines cannot be read; the others can.\n"
    assert damage in (folder / NAME).read_bytes(), "the damaged line must stay in the file"


def test_the_number_of_drawings_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "MOST", 3)
    for seed in range(3):
        keep(seed, drawing(seed))
    with pytest.raises(DataError, match=r"my_digits.csv: this file is full: it has room for 3 drawings; rename it"):
        keep(3, drawing(3))
    keep(5, drawing(2))  # relabelling a drawing needs no space
    assert my_digits().labels.tolist() == [0, 1, 5]


def test_a_huge_file_is_not_read() -> None:
    with Path(NAME).open("wb") as file:
        file.truncate(10**9)
    for use in (my_digits, count, lambda: keep(1, drawing(1))):
        with pytest.raises(DataError, match=r"my_digits.csv: this file is too large for drawings from the pad"):
            use()
    assert Path(NAME).stat().st_size == 10**9


def test_on_a_full_disk_the_old_drawings_are_kept(folder: Path, fill_disk: Callable[[], None]) -> None:
    keep(1, drawing(1))
    fill_disk()
    with pytest.raises(DataError, match=r"my_digits.csv: no space left on device, so the drawing is not kept; free"):
        keep(2, drawing(2))
    assert my_digits().labels.tolist() == [1]
    assert [path.name for path in folder.iterdir()] == [NAME]
