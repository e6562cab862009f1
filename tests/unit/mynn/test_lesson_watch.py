"""The picture of a network that learns."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mynn import NeuralNetwork
from mynn.lesson import Watch, watch

LESSON = 600  # seconds


@given(st.floats(0.001, 10), st.floats(0.001, 1))
@example(drawing=0.00390625, learning=0.0010510455955662888)  # The last drawing comes just after another.
def test_a_network_is_watched_to_the_end_in_a_tenth_of_the_time(drawing: float, learning: float) -> None:
    """However many seconds the computer takes for a drawing, which it sends then, and to learn from a digit."""
    now, shown, drawn = [0.0], [], {"picture": ""}

    def show(picture: str, alt: str, place: object) -> None:
        shown.append(alt)
        assert "<image " in picture and picture.count("<rect ") >= 10
        drawn["picture"] = picture
        now[0] += drawing

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(watch, "time", SimpleNamespace(monotonic=lambda: now[0]))
        patch.setattr(watch, "in_a_notebook", lambda: True)
        patch.setattr(watch, "show_svg", show)
        total = min(int(LESSON / learning), 5000)
        network = NeuralNetwork(784, 1, 10, 0.1, seed=1)
        watched = Watch(network, total)
        for _ in range(total):
            watched.digit(np.full(784, 0.01), 8)
            now[0] += learning
        spent = len(shown) * drawing
        watched.curve([0, total], [0.1, 0.937])
    assert 2 * (spent - drawing) <= now[0] / 10
    assert len(shown) - 2 <= now[0] / 0.2, "Only the first and the last may come without 0.2 s before them."
    assert "<polyline " in drawn["picture"], "There is no curve."
    assert shown[-1] == f"{shown[0]} 94 % recognised after {total:,} digits."
    assert shown[0].startswith("This is an 8. The network says ")
