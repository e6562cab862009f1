"""A student's own classes: what may be in their file, and that two tablets lose nothing in it."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mynn import DataError, rows
from mynn_server import own_classes

PIXELS = [b",".join([b"%d" % ink] * rows.PIXELS) for ink in range(5)]
NAMES = ["a", "Ö", "two words", "👩\u200d🚀", "💙" * own_classes.LONGEST_NAME]


def lines(changes: dict[bytes, str]) -> list[bytes]:
    return [name.encode() + b"," + pixels for pixels, name in changes.items()]


@settings(max_examples=30)
@given(st.lists(st.dictionaries(st.integers(0, 4), st.sampled_from([*NAMES, ""]), min_size=1), min_size=1, max_size=6))
def test_tablets_that_keep_in_turn_lose_nothing_but_what_was_taken_away(tablets: list[dict[int, str]]) -> None:
    expected: dict[bytes, bytes] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, own_classes.NAME)
        for places in tablets:
            changes = {PIXELS[place]: name for place, name in places.items()}
            expected |= {pixels: name.encode() for pixels, name in changes.items()}
            expected = {pixels: name for pixels, name in expected.items() if name}
            assert own_classes.change(lines(changes), path) == len(expected)
            assert own_classes.read(path) == expected


@given(st.binary(max_size=30) | st.text().map(str.encode), st.sampled_from([PIXELS[0], b"0,1", PIXELS[0] + b",0"]))
@example("\u202eevil".encode(), PIXELS[0])
@example(b" a", PIXELS[0])
@example(b'a"b', PIXELS[0])
@example(b"a,b", PIXELS[0])
@example(b"a" * 21, PIXELS[0])
@example(b"", PIXELS[0])
def test_whatever_is_sent_is_refused_or_is_a_drawing_with_a_name_that_is_shown(name: bytes, pixels: bytes) -> None:
    with contextlib.suppress(DataError):
        [(kept, by)] = own_classes.names([name + b"," + pixels], "no").items()
        text = by.decode()
        assert kept == PIXELS[0] and 1 <= len(text) <= 20
        assert [text] == text.strip().splitlines() and not set(',"\0\u202e') & set(text)


def test_a_full_file_takes_no_more(tmp_path: Path) -> None:
    path = tmp_path / own_classes.NAME
    full = {b",".join([b"%d" % (number % 256), b"%d" % (number // 256), *[b"0"] * 782]): "a" for number in range(500)}
    assert own_classes.change(lines(full), path) == 500
    with pytest.raises(DataError, match="has room for 500 drawings"):
        own_classes.change(lines({PIXELS[1]: "a"}), path)
    assert own_classes.change(lines({PIXELS[1]: "a", next(iter(full)): ""}), path) == 500


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", "\uff1d1"])
def test_a_new_name_is_no_formula_for_a_spreadsheet_and_an_older_one_can_be_changed(tmp_path: Path, name: str) -> None:
    path = tmp_path / own_classes.NAME
    assert own_classes.change(lines({PIXELS[0]: name[0]}), path) == 1
    with pytest.raises(DataError, match="not kept"):
        own_classes.change(lines({PIXELS[1]: name}), path)
    path.write_bytes(lines({PIXELS[0]: name})[0] + b"\n")
    assert own_classes.change(lines({PIXELS[0]: "sum", PIXELS[1]: "1+1"}), path) == 2
