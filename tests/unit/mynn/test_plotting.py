"""The plots: their pixels, lines, titles and labels."""

from collections.abc import Iterator
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mynn import NeuralNetwork, targets_for

matplotlib.use("Agg")

import matplotlib.pyplot as plt

from mynn import plotting


@pytest.fixture(autouse=True)
def close_figures() -> Iterator[None]:
    """Check that each figure can be rendered, then close it."""
    yield
    for number in plt.get_fignums():
        plt.figure(number).canvas.draw()
    plt.close("all")


@pytest.fixture
def network() -> NeuralNetwork:
    return NeuralNetwork(784, 6, 10, 0.1, seed=1)


def points(line: Any) -> NDArray[np.float64]:
    return np.asarray(line.get_xydata(), np.float64)


def shown(ax: Axes) -> NDArray[np.float64]:
    (image,) = ax.images
    return np.asarray(image.get_array(), np.float64)


def colours(ax: Axes) -> NDArray[np.float64]:
    """Return red, green and blue of each pixel, 0..1."""
    (image,) = ax.images
    return np.asarray(image.to_rgba(image.get_array())[..., :3], np.float64)  # type: ignore[arg-type]


def darkness(ax: Axes) -> NDArray[np.float64]:
    """Return the darkness of each pixel: 0 (white) to 1 (black)."""
    darkness: NDArray[np.float64] = 1 - colours(ax).mean(axis=2)
    return darkness


def titles(figure: Figure) -> list[str]:
    return [ax.get_title() for ax in figure.axes]


@pytest.mark.parametrize("most", [255, 1.0])
def test_digits_are_in_order_and_dark_where_there_is_ink(most: float) -> None:
    rows = np.zeros((7, 784), np.uint8 if most == 255 else float)
    rows[:, 28 * 3 + 20] = most  # in the fourth row, to the right
    rows[range(7), [28 * 9 + number for number in range(7)]] = most / 2
    names = [f"no. {number}" for number in range(7)]
    figure = plotting.digits(rows, names, columns=3)
    for number, ax in enumerate([*figure.axes[:7], plotting.digit(rows[0], title="no. 0")]):
        dark = darkness(ax)
        assert dark.shape == (28, 28) and dark[3, 20] == 1.0 and 0.3 < dark[9, number % 7] < 0.7
        assert np.count_nonzero(dark) == 2 and ax.get_title() == names[number % 7]
    assert not any(ax.axison for ax in figure.axes[7:])
    left = [round(ax.get_position().x0, 3) for ax in figure.axes]
    assert left[0] == left[3] == left[6] < left[1] == left[4] < left[2]


def test_curves_show_the_mean_of_runs_and_a_band_of_their_spread() -> None:
    runs = np.array([[0.5, 0.7], [0.6, 0.9], [0.7, 1.1]])
    ax = plotting.curves({"many": ([1, 5], runs), "one": ([1, 3, 5], [0.1, 0.2, 0.3])}, x="epochs", y="recognised")
    assert all(tick == round(tick) for tick in ax.get_xticks())  # there is no epoch 2.5
    many, one = ax.lines
    np.testing.assert_allclose(points(many), [[1, 0.6], [5, 0.9]])
    np.testing.assert_allclose(points(one), [[1, 0.1], [3, 0.2], [5, 0.3]])
    (band,) = ax.collections
    corners = np.asarray(band.get_paths()[0].vertices)
    np.testing.assert_allclose(sorted({float(y) for x, y in corners if x == 1}), [0.5, 0.7])
    np.testing.assert_allclose(sorted({float(y) for x, y in corners if x == 5}), [0.7, 1.1])
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("epochs", "recognised")
    legend = ax.get_legend()
    assert legend and [text.get_text() for text in legend.get_texts()] == ["many", "one"]


def test_confusion_shows_counts_and_highlights_mistakes() -> None:
    counts = np.diag([90, 80, 70])
    counts[2, 0] = 10
    ax = plotting.confusion(counts)
    texts = {(int(t.get_position()[1]), int(t.get_position()[0])): t.get_text() for t in ax.texts}  # (row, column)
    assert (texts[0, 0], texts[1, 1], texts[2, 0], texts[0, 2]) == ("90", "80", "10", "·")
    dark = darkness(ax)
    assert dark.argmax() == 2 * 3 + 0 and dark[0, 0] == dark[1, 2] < dark[2, 0]
    assert (ax.get_ylabel(), ax.get_xlabel()) == ("what it is", "what the network says")
    assert ax.get_title() == "96.0% of 250 recognised"
    assert plotting.confusion(np.zeros((10, 10), int)).get_title() == "no digits"


def test_weights_are_red_above_zero_and_blue_below(network: NeuralNetwork) -> None:
    network.wih[4, :3] = (2.0, -1.0, 0.0)
    ax = plotting.weights(network, 4)
    (image,) = ax.images
    assert image.get_clim()[1] == -image.get_clim()[0] >= 2.0
    red, blue, white = colours(ax)[0, :3]
    assert red[0] > red[2] + 0.2 and blue[2] > blue[0] + 0.2 and white.min() > 0.95
    assert ax.get_title() == "hidden node 4"


def test_backqueries_are_those_of_the_network(network: NeuralNetwork) -> None:
    figure = plotting.backqueries(network)
    assert titles(figure) == list("0123456789")
    for label, ax in enumerate(figure.axes):
        np.testing.assert_array_equal(shown(ax).reshape(784), network.backquery(targets_for(label)))
        assert ax.images[0].get_cmap().name == "Greys"
    assert titles(plotting.backqueries(network, [3])) == ["3"]


def test_the_damage_curve_shows_the_mean_and_the_level_of_guessing() -> None:
    ax = plotting.damage_curve([0, 10, 20], [[0.9, 0.8, 0.3], [0.9, 0.6, 0.1]])
    np.testing.assert_allclose(points(ax.lines[0]), [[0, 0.9], [10, 0.7], [20, 0.2]])
    np.testing.assert_allclose(points(ax.lines[1])[:, 1], 0.1)
    assert ax.get_xlabel() == "hidden nodes removed" and ax.get_ylim() == (0, 1)
    assert ax.yaxis.get_major_formatter()(0.5, 0) == "50%"
