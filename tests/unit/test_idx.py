import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from mynn import DataError
from mynn.idx import read_idx

PIXELS = np.random.default_rng(1).integers(0, 256, (5, 28, 28)).astype(np.uint8)
LABELS = np.array([5, 0, 4, 1, 9], np.uint8)


def pictures(count: int = 5, rows: int = 28, columns: int = 28, magic: int = 0x803) -> bytes:
    return struct.pack(">4I", magic, count, rows, columns) + PIXELS.tobytes()


def labels(count: int = 5, magic: int = 0x801, values: bytes = LABELS.tobytes()) -> bytes:
    return struct.pack(">2I", magic, count) + values


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_pictures_and_labels_are_read_plain_or_zipped(tmp_path: Path, pack: type[bytes]) -> None:
    (tmp_path / "pictures").write_bytes(pack(pictures()))
    (tmp_path / "labels").write_bytes(pack(labels()))
    examples = read_idx(tmp_path / "pictures", str(tmp_path / "labels"))
    assert np.array_equal(examples.pixels, PIXELS.reshape(5, 784)) and np.array_equal(examples.labels, LABELS)
    assert examples.pixels.dtype == examples.labels.dtype == np.uint8


BAD = {
    "short": (pictures()[:-1], labels(), "pictures: the file is too short for the 5 pictures"),
    "long": (pictures(), labels() + b"\0", "labels: the file is too long for the 5 labels"),
    "other sides": (pictures(rows=32), labels(), "pictures: its pictures are 32 x 28 pixels, not 28 x 28"),
    "swapped": (labels(), pictures(), "pictures: this is no IDX file of pictures"),
    "other values": (pictures(magic=0xD03), labels(), "pictures: this is no IDX file of pictures"),
    "a CSV": (pictures(), b"5,0,0\n", "labels: this is no IDX file of labels"),
    "empty": (b"", labels(), "pictures: this is no IDX file"),
    "cut off in the head": (pictures()[:10], labels(), "pictures: this is no IDX file"),
    "fewer labels": (pictures(), labels(4, values=b"\1\2\3\4"), "labels: it has 4 labels for the 5 pictures"),
    "a label above": (pictures(), labels(values=b"\1\2\x0a\4\5"), "labels, label 3: it is 10, outside 0 to 9"),
    "a cut-off zip": (gzip.compress(pictures())[:-50], labels(), "pictures: the gzip file is damaged"),
    "a spoilt zip": (gzip.compress(pictures())[:-8] + b"\0" * 8, labels(), "pictures: the gzip file is damaged"),
    "a promise of gigabytes": (pictures(count=2**32 - 1), labels(), "pictures: the file is too short"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_file_is_named_with_its_reason(tmp_path: Path, kind: str) -> None:
    first, second, reason = BAD[kind]
    (tmp_path / "pictures").write_bytes(first)
    (tmp_path / "labels").write_bytes(second)
    with pytest.raises(DataError) as caught:
        read_idx(tmp_path / "pictures", tmp_path / "labels")
    assert str(caught.value).startswith(f"{tmp_path}/{reason}") and "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="pictures: no such file"):
        read_idx(tmp_path / "pictures", tmp_path / "labels")
