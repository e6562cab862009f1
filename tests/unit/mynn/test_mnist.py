"""Reading the CSV of digits: what it accepts, what it refuses, and the examples that it gives."""

import csv
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mynn import DataError, Examples, read_csv, scale, targets_for


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


def test_the_reader_agrees_with_the_csv_module(mnist: Path, tmp_path: Path) -> None:
    path = tmp_path / "without an npy.csv"
    shutil.copy(mnist / "mnist_test.csv", path)
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    assert len(rows) == 10_000
    assert has(read_csv(path), rows)


@pytest.mark.parametrize("count", [1, 49, 50, 51, 100, 103])
def test_any_number_of_lines_is_read(tmp_path: Path, count: int) -> None:
    path, rows = tmp_path / "digits.csv", random_rows(count)
    path.write_text(text_of(rows))
    assert has(read_csv(path), rows)


def test_harmless_variations_are_accepted(tmp_path: Path) -> None:
    path, rows = tmp_path / "digits.csv", random_rows(53)
    for text in (
        text_of(rows).removesuffix("\n"),  # no newline at the end, as some editors save it
        text_of(rows, end="\r\n"),  # from Windows
        text_of(rows).replace(",", ", "),
        text_of([[field.zfill(5) for field in row] for row in rows]),
    ):
        path.write_text(text, newline="")
        assert has(read_csv(path), rows)


def test_lines_beyond_the_limit_are_not_read(tmp_path: Path) -> None:
    path, rows = tmp_path / "digits.csv", random_rows(60)
    path.write_text(text_of(rows) + "a bad line\n")
    for limit in (1, 50, 60):
        assert has(read_csv(path, limit=limit), rows[:limit])
    with pytest.raises(DataError, match="line 61:"):
        read_csv(path, limit=61)


BAD: dict[str, tuple[Callable[[list[str]], list[str]], str]] = {
    "short": (lambda row: row[:-1], "too short: 784 numbers, not 785"),
    "long": (lambda row: [*row, "0"], "too long: 786 numbers, not 785"),
    "two rows in one": (lambda row: row + row, "too long: 1570 numbers"),
    "blank": (lambda row: [], "the line is blank"),
    "empty field": (lambda row: [*row[:9], "", *row[10:]], "pixel 9 is '', which is not a whole number"),
    "word": (lambda row: [*row[:9], "ink", *row[10:]], "pixel 9 is 'ink', which is not a whole number"),
    "fraction": (lambda row: [*row[:-1], "1.5"], "pixel 784 is '1.5', which is not a whole number"),
    "exponent": (lambda row: [*row[:-1], "1e2"], "pixel 784 is '1e2', which is not a whole number"),
    "two in a field": (lambda row: [*row[:9], "1 2", *row[10:]], "pixel 9 is '1 2', which is not a whole"),
    "above": (lambda row: [*row[:9], "256", *row[10:]], "pixel 9 is '256', outside 0 to 255"),
    "far above": (lambda row: [*row[:9], "4294967296", *row[10:]], "pixel 9 is '4294967296', outside"),
    "endless": (lambda row: [*row[:9], "1" * 9999, *row[10:]], "outside 0 to 255"),
    "below": (lambda row: [*row[:9], "-1", *row[10:]], "pixel 9 is '-1', outside 0 to 255"),
    "label above": (lambda row: ["10", *row[1:]], "the label is '10', outside 0 to 9"),
    "label below": (lambda row: ["-1", *row[1:]], "the label is '-1', outside 0 to 9"),
    "header": (lambda row: ["label", *row[1:]], "the label is 'label', which is not a whole number"),
    "another separator": (lambda row: [";".join(row)], "too short: 1 numbers"),
    "Arabic digit": (lambda row: ["٣", *row[1:]], "which is not a whole number"),
    "not text": (lambda row: [*row[:9], "\0\x7f", *row[10:]], "pixel 9 is "),
}


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("line", [1, 50, 51])
def test_a_bad_line_is_reported_with_its_number_and_the_reason(tmp_path: Path, kind: str, line: int) -> None:
    change, reason = BAD[kind]
    path, rows = tmp_path / "digits.csv", random_rows(60)
    rows[line - 1] = change(rows[line - 1])
    path.write_text(text_of(rows))
    with pytest.raises(DataError) as caught:
        read_csv(path)
    message = str(caught.value)
    assert message.startswith(f"{path}, line {line}: ") and reason in message and "\n" not in message


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


def simply_parsed(text: bytes) -> list[list[int]] | None:
    """Parse a text in the simplest way; return None if it must be refused."""
    rows = []
    for line in text.removesuffix(b"\n").split(b"\n"):
        fields = [field.strip() for field in line.split(b",")]
        if len(fields) != 785 or not all(field.isdigit() for field in fields):
            return None
        row = [int(field) for field in fields]
        if row[0] > 9 or max(row) > 255:
            return None
        rows.append(row)
    return rows


def test_a_changed_character_is_refused_or_read_as_it_is(tmp_path: Path) -> None:
    """The fast parser and the careful one together accept exactly what the simplest parser accepts."""
    path, random = tmp_path / "digits.csv", np.random.default_rng(8)
    whole = text_of(random_rows(4)).encode()
    intruders = [b"", b"0", b"9", b",", b"\n", b" ", b"-", b"/", b":", b"\r", b"\xff"]
    refused = 0
    for _ in range(500):
        text = bytearray(whole)
        at = int(random.integers(len(text)))
        intruder = intruders[int(random.integers(len(intruders)))]
        text[at : at + int(random.integers(2))] = intruder
        path.write_bytes(text)
        wanted = simply_parsed(bytes(text))
        if wanted is None:
            refused += 1
            with pytest.raises(DataError):
                read_csv(path)
        else:
            examples = read_csv(path)
            assert np.column_stack([examples.labels, examples.pixels]).tolist() == wanted
    assert 100 < refused < 400


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


def test_iterating_gives_inputs_for_the_network_and_labels(tmp_path: Path) -> None:
    path, rows = tmp_path / "digits.csv", random_rows(3)
    path.write_text(text_of(rows))
    examples = read_csv(path)
    pairs = list(examples)
    assert len(examples) == len(pairs) == 3
    for (inputs, label), row in zip(pairs, rows, strict=True):
        assert label == int(row[0])
        assert inputs.shape == (784,) and inputs.dtype == np.float64
        np.testing.assert_allclose(inputs, [int(pixel) / 255 * 0.99 + 0.01 for pixel in row[1:]], rtol=1e-15)


def test_inputs_and_targets_are_never_zero() -> None:
    assert scale(np.array([0, 255], np.uint8)).tolist() == [0.01, 1.0]
    assert targets_for(3).tolist() == [0.01, 0.01, 0.01, 0.99, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01]


def test_indexing_examples_gives_examples(tmp_path: Path) -> None:
    path, rows = tmp_path / "digits.csv", random_rows(9)
    path.write_text(text_of(rows))
    examples = read_csv(path)
    assert has(examples[2:5], rows[2:5])
    assert has(examples[np.array([7, 0])], [rows[7], rows[0]])
    inputs, label = examples[np.intp(8)]
    assert label == int(rows[8][0]) and (inputs == scale(examples.pixels[8])).all()


LABELS, ROWS = np.zeros(2, np.uint8), np.zeros((2, 784), np.uint8)


@pytest.mark.parametrize(
    "labels, pixels, error, message",
    [
        ([0, 1], ROWS, TypeError, r"labels must be an array of bytes \(numpy's uint8\), not list \[0, 1\]"),
        (LABELS.astype(float), ROWS, TypeError, "labels must be an array of bytes .*, not an array of float64"),
        (LABELS, ROWS / 255, TypeError, "pixels must be an array of bytes .*, not an array of float64"),
        (LABELS, ROWS[0], ValueError, r"labels must have shape \(n,\) and pixels \(n, 784\), not \(2,\) and \(784,\)"),
        (LABELS[:1], ROWS, ValueError, r"not \(1,\) and \(2, 784\)"),
    ],
)
def test_labels_and_pixels_of_a_wrong_type_or_shape_are_refused(
    labels: Any, pixels: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        Examples(labels, pixels)


def test_wrong_arguments_of_read_csv_are_refused(mnist: Path) -> None:
    path = mnist / "mnist_test.csv"
    with pytest.raises(TypeError, match="read_csv needs the path of a CSV, not int 7"):
        read_csv(7)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"limit must be a whole number, not float 1\.5"):
        read_csv(path, limit=1.5)  # type: ignore[arg-type]
    for limit in (0, -1):
        with pytest.raises(ValueError, match=f"limit must be 1 or more, not {limit}"):
            read_csv(path, limit=limit)
