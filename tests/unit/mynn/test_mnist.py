"""Reading the CSV of digits: what it accepts, what it refuses, and the examples that it gives."""

import re
import tempfile
from pathlib import Path

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
    for limit in (1, 60):
        assert has(read_csv(path, limit=limit), rows[:limit])
    with pytest.raises(DataError, match=r"line 61: this is not 785 numbers .*, but 1;"):
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
    with pytest.raises(DataError, match=r"line 1: this is not 785 numbers .*, but \d+;"):
        read_csv(path)


def simply_parsed(text: bytes) -> list[list[int]] | None:
    """Parse a text in the simplest way; return None if it must be refused."""
    lines = [line.rstrip(b"\r").replace(b";", b",").split(b",") for line in text.split(b"\n") if line.rstrip(b"\r")]
    allowed = {b"%d" % value for value in range(256)}
    if not all(len(fields) == 785 and allowed.issuperset(fields) and len(fields[0]) == 1 for fields in lines):
        return None
    return [list(map(int, fields)) for fields in lines]


FIELDS = st.sampled_from(
    ["0", "10", "255", "007", " 9 ", "", "ink", "1.5", "1e2", "1 2", "256", "-1", "1" * 9999, "٣", "\x7f"]
)


@settings(max_examples=200)
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
        named = re.fullmatch(rf"{path}, line (\d): .*; correct that line, or fetch the file again", str(caught.value))
        assert named and (junk or named[1] == str(line))


def test_a_csv_from_another_program_is_read_as_it_is(tmp_path: Path) -> None:
    path, rows = tmp_path / "train.csv", random_rows(3)
    names = ["label", *(f"pixel{number}" for number in range(784))]
    for head in (names, [f'"{name}"' for name in names], ["label", *map(str, range(784))], []):
        text = text_of([head, *rows], "\r\n") + "\r\n"
        path.write_text(text.replace(",", ";") if head else text, "utf-8-sig", newline="")
        assert has(read_csv(path), rows) and has(read_csv(path, limit=2), rows[:2])
    path.write_text(text_of([names, rows[0], ["7"]]))
    with pytest.raises(DataError, match=r"line 3: this is not 785 numbers .*, but 1;"):
        read_csv(path)


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
    with pytest.raises(TypeError, match="pixels must be an array of bytes"):
        Examples(examples.labels, examples.pixels / 255)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"must have shape \(n,\) and pixels \(n, 784\), not \(8,\) and \(9, 784\)"):
        Examples(examples.labels[1:], examples.pixels)
