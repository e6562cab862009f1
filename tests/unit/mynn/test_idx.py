"""MNIST's own files: read as they are or compressed, and made into the CSVs."""

import gzip
import hashlib
import lzma
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mynn import DataError, read_csv
from mynn.cli import main
from tests.support.programs import ROOT

FORMS: dict[str, Callable[[bytes], bytes]] = {"": bytes, ".gz": gzip.compress, ".xz": lzma.compress}
RANDOM = np.random.default_rng(7)
LABELS, PIXELS = RANDOM.integers(0, 10, 9, np.uint8), RANDOM.integers(0, 256, (9, 784), np.uint8)
HEADS = {
    "labels-idx1": bytes([0, 0, 8, 1, 0, 0, 0, 9]),
    "images-idx3": bytes([0, 0, 8, 3, 0, 0, 0, 9, *[0, 0, 0, 28] * 2]),
}


def write(folder: Path, form: str) -> tuple[Path, Path]:
    """Write nine digits, and return the files of their labels and their pixels."""
    contents = zip(HEADS.items(), (LABELS, PIXELS), strict=True)
    files = {f"some-{name}-ubyte{form}": FORMS[form](head + array.tobytes()) for (name, head), array in contents}
    for name, content in files.items():
        (folder / name).write_bytes(content)
    labels, pixels = (folder / name for name in files)
    return labels, pixels


@pytest.mark.parametrize("form", FORMS)
def test_idx_files_are_read_as_they_are_or_compressed(form: str, tmp_path: Path) -> None:
    _, path = write(tmp_path, form)
    for count in (4, 9):
        examples = read_csv(path, limit=count if count < 9 else None)
        assert (examples.labels == LABELS[:count]).all() and (examples.pixels == PIXELS[:count]).all()
    csv = "".join(f"{label},{','.join(map(str, row))}\n" for label, row in zip(LABELS, PIXELS, strict=True))
    path.write_bytes(FORMS[form](csv.encode()))
    assert (read_csv(path).pixels == PIXELS).all()


@given(
    form=st.sampled_from(list(FORMS)),
    which=st.sampled_from([0, 1]),
    place=st.floats(0, 1, exclude_max=True),
    bit=st.none() | st.integers(0, 7),
)
def test_a_damaged_file_is_refused_or_gives_the_right_digits(
    form: str, which: int, place: float, bit: int | None
) -> None:
    """It is cut off, or a bit is another one. Only files that are compressed have a sum of what is in them."""
    with tempfile.TemporaryDirectory() as folder:
        paths = write(Path(folder), form)
        content = bytearray(paths[which].read_bytes())
        at = int(place * len(content))
        if bit is None or not form:
            del content[at:]
        else:
            content[at] ^= 1 << bit
        paths[which].write_bytes(content)
        try:
            examples = read_csv(paths[1])
        except DataError as error:
            assert str(error).startswith(f"{folder}/some-")
        else:
            assert form and bit is not None
            assert (examples.labels == LABELS).all() and (examples.pixels == PIXELS).all()


def test_what_does_not_belong_together_is_refused(tmp_path: Path) -> None:
    for which, content, message in (
        (0, HEADS["labels-idx1"][:-1] + bytes([8]) + LABELS[:8].tobytes(), "the labels in .* do not match"),
        (0, HEADS["labels-idx1"] + bytes([10]) * 9, "these are not labels of digits"),
        (0, HEADS["images-idx3"], "this is not an IDX file of labels"),
        (1, HEADS["images-idx3"].replace(b"\x1c", b"\x1b"), "this is not an IDX file of pictures of 28 x 28"),
    ):
        paths = write(tmp_path, "")
        paths[which].write_bytes(content)
        with pytest.raises(DataError, match=message):
            read_csv(paths[1])
    with pytest.raises(DataError, match="no such file"):
        read_csv(write(tmp_path, "")[1].rename(tmp_path / "other-images-idx3-ubyte"))
    with pytest.raises(DataError, match="this file has no labels; rename it"):
        read_csv(write(tmp_path, "")[1].rename(tmp_path / "digits"))


@pytest.mark.slow
def test_mynn_mnist_makes_the_files_that_a_pi_has(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And none but these, over nothing else."""
    assert main(["mnist", str(tmp_path)]) == 0
    assert f"mynn train --data {tmp_path}" in capsys.readouterr().out
    pi = yaml.safe_load((ROOT / "roles/mnist/vars/main.yml").read_text())["__mnist_files"]
    made = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in tmp_path.iterdir()}
    assert made == {name: about["sha256"] for name, about in pi.items()}

    for path, message in (
        (tmp_path / "mnist_test_10.csv", "these are not MNIST's digits"),
        (Path("no"), "no such file"),
    ):
        assert main(["mnist", str(tmp_path / "new"), str(path)]) == 2
        assert message in capsys.readouterr().err and not (tmp_path / "new").exists()
    (tmp_path / "mnist_test_10.csv").write_text("mine")
    assert main(["mnist", str(tmp_path), str(tmp_path / "mnist_test.csv")]) == 2
    assert "this file exists and is not MNIST's; choose another folder" in capsys.readouterr().err
    assert (tmp_path / "mnist_test_10.csv").read_text() == "mine"
