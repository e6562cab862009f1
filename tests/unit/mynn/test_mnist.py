"""Reading the CSV of digits: what it accepts, what it refuses, and the examples that it gives."""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mynn import DataError, Examples, read_csv, targets_for


def random_rows(count: int) -> list[list[str]]:
    """Return rows of a label and 784 pixels, with numbers of one, two and three digits."""
    random = np.random.default_rng(7)
    pixels = random.integers(0, 256, (count, 784)) // random.choice([1, 10, 100], (count, 784))
    labels = random.integers(0, 10, count)
    return [[str(label), *map(str, row)] for label, row in zip(labels, pixels, strict=True)]


def text_of(rows: list[list[str]], end: str = "\n") -> str:
    return "".join(",".join(row) + end for row in rows)


def has(examples: Examples, rows: list[list[str]]) -> bool:
    wanted = np.array([[int(field) for field in row] for row in rows])
    return bool(
        examples.labels.dtype == examples.pixels.dtype == np.uint8
        and np.array_equal(examples.labels, wanted[:, 0])
        and np.array_equal(examples.pixels, wanted[:, 1:])
    )


def test_lines_beyond_the_limit_are_not_read(tmp_path: Path) -> None:
    path, rows = tmp_path / "digits.csv", random_rows(60)
    path.write_text(text_of(rows) + "a bad line\n")
    for limit in (1, 50, 60):
        assert has(read_csv(path, limit=limit), rows[:limit])
    with pytest.raises(DataError, match="line 61:"):
        read_csv(path, limit=61)


def test_a_missing_or_empty_file_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "digits.csv"
    with pytest.raises(DataError, match=r"digits\.csv: no such file.*MNIST_DIR"):
        read_csv(path)
    with pytest.raises(DataError, match="is a directory"):
        read_csv(tmp_path)
    path.touch()
    with pytest.raises(DataError, match="this file is empty"):
        read_csv(path)
    path.write_text("0," * 3_000_000)  # a line longer than the reader's buffer
    with pytest.raises(DataError, match=r"line 1: the line is too long"):
        read_csv(path)
    with pytest.raises(TypeError, match="read_csv needs the path of a CSV, not int 7"):
        read_csv(7)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="limit must be 1 or more, not 0"):
        read_csv(path, limit=0)


def simply_parsed(text: bytes) -> list[list[int]] | None:
    """Parse a text in the simplest way; return None if it must be refused."""
    rows = []
    for line in text.removesuffix(b"\n").split(b"\n"):
        fields = [field.strip() for field in line.split(b",")]
        if len(fields) != 785 or not all(field.isdigit() for field in fields):
            return None
        row = [int(field[-4300:]) for field in fields]  # Python refuses longer ones; these are ones all the way
        if row[0] > 9 or max(row) > 255:
            return None
        rows.append(row)
    return rows


REASON = re.compile(
    r"the line is blank|the line is too (short|long): \d+ numbers, not 785 \(a label and 784 pixels\)"
    r"|(pixel \d+|the label) is .*, (which is not a whole number|outside 0 to (9|255))"
)
FIELDS = st.sampled_from(
    ["0", "10", "255", "007", " 9 ", "", "ink", "1.5", "1e2", "1 2", "256", "-1", "1" * 9999, "٣", "\x7f"]
)


@settings(max_examples=200, deadline=None)
@given(
    fields=st.dictionaries(st.integers(0, 784), FIELDS, max_size=2),
    length=st.sampled_from([785] * 6 + [0, 784, 786, 1570]),
    line=st.integers(1, 4),
    end=st.sampled_from(["\n", "\r\n"]),
    junk=st.none() | st.tuples(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=2)),
)
@example({0: "10"}, 785, 1, "\n", None)  # a label by one too large
def test_a_csv_is_read_as_the_simplest_parser_reads_it_or_the_bad_line_is_named(
    fields: dict[int, str], length: int, line: int, end: str, junk: tuple[float, bytes] | None
) -> None:
    rows = random_rows(4)
    for index, field in fields.items():
        rows[line - 1][index] = field
    rows[line - 1] = (rows[line - 1] * 2)[:length]
    text = bytearray(text_of(rows, end).encode().removesuffix(b"\n"))  # as some editors save it
    if junk:
        text[int(junk[0] * len(text))] = junk[1][0]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "digits.csv")
        path.write_bytes(text)
        wanted = simply_parsed(bytes(text))
        if wanted is not None:
            examples = read_csv(path)
            assert np.column_stack([examples.labels, examples.pixels]).tolist() == wanted
            return
        with pytest.raises(DataError) as caught:
            read_csv(path)
        named = re.fullmatch(r"(.+), line (\d): (.+); correct that line, or fetch the file again", str(caught.value))
        assert named and named[1] == str(path) and REASON.fullmatch(named[3])
        if not junk:
            assert named[2] == str(line)


@pytest.mark.slow
def test_60000_digits_fit_into_a_pi_zeros_memory(mnist: Path, tmp_path: Path) -> None:
    """Peak memory beyond Python and numpy, including mynn's own code: first from the CSV, then from the .npy."""
    program = """if True:
        import sys, numpy
        from pathlib import Path
        def peak():
            return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) / 1024
        before = peak()
        import mynn
        examples = mynn.read_csv(sys.argv[1])
        print(len(examples), peak() - before)
    """
    shutil.copy(mnist / "mnist_train.csv", tmp_path)
    command = [sys.executable, "-c", program, str(tmp_path / "mnist_train.csv")]

    def peak() -> float:
        run = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        count, mib = run.stdout.split()
        assert int(count) == 60_000
        return float(mib)

    assert 44 < peak() < 60  # of these, 45 are the digits
    assert peak() < 12  # the digits stay in the page cache, outside the process


def test_examples_give_inputs_for_the_network_and_labels(tmp_path: Path) -> None:
    path, rows = tmp_path / "digits.csv", random_rows(9)
    path.write_text(text_of(rows))
    examples = read_csv(path)
    pairs = list(examples)
    assert len(examples) == len(pairs) == 9
    for (inputs, label), row in zip([*pairs, examples[np.intp(8)]], [*rows, rows[8]], strict=True):
        assert label == int(row[0]) and inputs.shape == (784,) and inputs.dtype == np.float64
        np.testing.assert_allclose(inputs, [int(pixel) / 255 * 0.99 + 0.01 for pixel in row[1:]], rtol=1e-15)
    assert targets_for(3).tolist() == [0.01, 0.01, 0.01, 0.99, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01]
    assert has(examples[2:5], rows[2:5])
    assert has(examples[np.array([7, 0])], [rows[7], rows[0]])


def test_labels_and_pixels_of_a_wrong_type_or_shape_are_refused() -> None:
    labels, pixels = np.zeros(2, np.uint8), np.zeros((2, 784), np.uint8)
    wrong: list[tuple[Any, Any, type[Exception], str]] = [
        ([0, 1], pixels, TypeError, r"labels must be an array of bytes \(numpy's uint8\), not list \[0, 1\]"),
        (labels.astype(float), pixels, TypeError, "labels must be an array of bytes .*, not an array of float64"),
        (labels, pixels / 255, TypeError, "pixels must be an array of bytes .*, not an array of float64"),
        (labels, pixels[0], ValueError, r"must have shape \(n,\) and pixels \(n, 784\), not \(2,\) and \(784,\)"),
        (labels[:1], pixels, ValueError, r"not \(1,\) and \(2, 784\)"),
    ]
    for some, others, error, message in wrong:
        with pytest.raises(error, match=message):
            Examples(some, others)
