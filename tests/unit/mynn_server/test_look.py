"""A notebook is shortened on the Pi for the desk."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mynn_server.look import LARGEST_ANSWER, LARGEST_OUTPUT, LEFT_OUT, shortened
from tests.support.json_values import JSON

SIZES = st.lists(st.sampled_from([1, 20_000, LARGEST_OUTPUT - 100, LARGEST_OUTPUT]), max_size=20)


@given(SIZES, st.sampled_from(["x", '"', "\ud800"]))
def test_what_is_too_large_is_left_out_from_the_end(sizes: list[int], letter: str) -> None:
    outputs = [{"output_type": "stream", "text": letter * size} for size in sizes]
    cells = [{"cell_type": "code", "source": "1", "outputs": [one]} for one in outputs]
    text = shortened(json.dumps({"cells": cells}).encode())
    assert text and text.isascii() and len(json.dumps(text)) <= LARGEST_ANSWER
    shown = [cell["outputs"] for cell in json.loads(text)]
    small = [LEFT_OUT if LEFT_OUT in one else outputs[place] for place, one in enumerate(shown)]
    assert shown == [[one] for one in small]
    if letter == "x":
        fit = [size < LARGEST_OUTPUT for size in sizes]
        assert sum(sizes) > LARGEST_ANSWER - 10_000 or [one != [LEFT_OUT] for one in shown] == fit


@given(JSON)
def test_what_is_no_notebook_is_not_shown_or_fits(value: Any) -> None:
    for content in (value, {"cells": value}, {"cells": [value]}, {"cells": [{"outputs": value}]}):
        assert len(json.dumps(shortened(json.dumps(content).encode()))) <= LARGEST_ANSWER
