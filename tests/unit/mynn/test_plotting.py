"""The plots: their pixels, lines, titles and labels."""

import io
import re
from base64 import b64decode

import matplotlib
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from mynn import NeuralNetwork

matplotlib.use("Agg")

from mynn import plotting
from mynn.lesson.described import description, show_described
from mynn.png import plot_source


def colours(ax: Axes) -> NDArray[np.float64]:
    """Return red, green and blue of each pixel, 0..1."""
    (image,) = ax.images
    return np.asarray(image.to_rgba(image.get_array())[..., :3], np.float64)  # type: ignore[arg-type]


def darkness(ax: Axes) -> NDArray[np.float64]:
    """Return the darkness of each pixel: 0 (white) to 1 (black)."""
    darkness: NDArray[np.float64] = 1 - colours(ax).mean(axis=2)
    return darkness


def test_digits_are_in_order_and_dark_where_there_is_ink() -> None:
    rows = np.zeros((7, 784), np.uint8)
    rows[:, 28 * 3 + 20] = 255  # in the fourth row, to the right
    rows[range(7), [28 * 9 + number for number in range(7)]] = 127
    names = [f"no. {number}" for number in range(7)]
    for figure in (plotting.digits(rows, names, columns=3), plotting.digits(rows / 255, names, columns=3)):
        assert figure
        for number, ax in enumerate(figure.axes[:7]):
            dark = darkness(ax)
            assert dark.shape == (28, 28) and dark[3, 20] == 1.0 and 0.3 < dark[9, number] < 0.7
            assert np.count_nonzero(dark) == 2 and ax.get_title() == names[number]
        assert not any(ax.axison for ax in figure.axes[7:])
        left = [round(ax.get_position().x0, 3) for ax in figure.axes]
        assert left[0] == left[3] == left[6] < left[1] == left[4] < left[2]


def test_in_a_notebook_digits_are_small_pictures_with_text() -> None:
    rows = np.zeros((3, 784), np.uint8)
    rows[:, 28 * 3 + 20] = 255
    for pixels in (rows, rows / 255):
        (titled, named), (sheet, said) = (plotting.digits_html(pixels, titles, 2) for titles in (["7", "<b>", "1"], ()))
        assert (named, said) == ("A picture: 7; <b>; 1", "2 rows of 2 digits")
        assert (titled.count("<img "), titled.count(">7</span>"), titled.count("&lt;b&gt;")) == (3, 1, 2)
        assert '<img alt="2 rows of 2 digits"' in sheet
        for html, where in ((titled, [(4, 21)]), (sheet, [(4, 21), (4, 51), (34, 21)])):
            source = re.findall('base64,([^"]+)"', html)[0]
            grey = np.asarray(Image.open(io.BytesIO(b64decode(source))))
            assert [(y, x) for y, x in zip(*np.nonzero(grey < 255), strict=True)] == where and grey.min() == 0


def shown(figure: Figure) -> NDArray[np.uint8]:
    """Return the picture of a plot in a notebook."""
    return np.asarray(Image.open(io.BytesIO(b64decode(plot_source(figure).split(",")[1]))).convert("RGB"))


def whole(figure: Figure) -> NDArray[np.uint8]:
    """Return a picture of all that is drawn, as Jupyter makes it: in two drawings."""
    with io.BytesIO() as file:
        figure.savefig(file, bbox_inches="tight", pad_inches=0.1, dpi=figure.dpi)
        return np.asarray(Image.open(file).convert("RGB"))


@settings(max_examples=10)
@given(
    size=st.tuples(st.floats(1, 8), st.floats(1, 5)),
    title=st.text("the digits", max_size=120),
    legend=st.none() | st.tuples(st.floats(-2, 3), st.floats(-2, 3)),
    picture=st.booleans(),
)
@example(size=(2.4375, 4.5), title="", legend=(0.0, 2.25), picture=True)  # just within the margin
def test_a_plot_is_not_cut_off(
    size: tuple[float, float], title: str, legend: tuple[float, float] | None, picture: bool
) -> None:
    """However far its texts reach, and wherever its legend is, it looks as if it had been drawn twice."""
    figure = Figure(size)
    axes = figure.subplots()
    axes.plot([0, 9], [0, 1], label="one of the curves")
    if picture:
        axes.imshow(np.eye(10), cmap="Reds")
    axes.set(title=title, xlabel="epochs", ylabel="recognised")
    if legend:
        axes.legend(loc="upper left", bbox_to_anchor=legend)
    once, twice = shown(figure), whole(figure)
    assert np.allclose(once.shape, twice.shape, atol=5)
    assert np.allclose(once.mean(axis=(0, 1)), twice.mean(axis=(0, 1)), atol=3)


def test_plots_side_by_side_are_laid_out_and_not_cut_off() -> None:
    figure = Figure((7, 3), layout="constrained")
    for axes in figure.subplots(1, 2):
        axes.set(title="a rather long title", ylabel="recognised")
    once, twice = shown(figure), whole(figure)
    assert np.allclose(once.shape, twice.shape, atol=15) and (once[[0, -1]] == 255).all()
    assert np.allclose(once.mean(), twice.mean(), atol=2) and (once[:, [0, -1]] == 255).all()


def test_where_only_text_is_shown_a_plot_is_its_description(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[dict[str, str]] = []
    monkeypatch.setattr("IPython.display.display", lambda data, **_how: shown.append(data))
    plot = plotting.curves({"one": ([1, 3, 5], [0.1, 0.2, 0.3])}, x="epochs", y="recognised")
    show_described(plot.figure)
    assert [data["text/plain"] for data in shown] == [description(plot.figure)]


def test_nothing_is_shown_of_an_empty_figure(capsys: pytest.CaptureFixture[str]) -> None:
    show_described(Figure())
    assert capsys.readouterr().out == ""


def test_curves_show_the_mean_of_runs_and_a_band_of_their_spread() -> None:
    runs = np.array([[0.5, 0.7], [0.6, 0.9], [0.7, 1.1]])
    ax = plotting.curves({"many": ([1, 5], runs), "one": ([1, 3, 5], [0.1, 0.2, 0.3])}, x="epochs", y="recognised")
    assert all(tick == round(tick) for tick in ax.get_xticks())  # there is no epoch 2.5
    many, one = (np.asarray(line.get_xydata()) for line in ax.lines)
    np.testing.assert_allclose(many, [[1, 0.6], [5, 0.9]])
    np.testing.assert_allclose(one, [[1, 0.1], [3, 0.2], [5, 0.3]])
    corners = np.asarray(ax.collections[0].get_paths()[0].vertices)
    np.testing.assert_allclose(sorted({float(y) for x, y in corners if x == 5}), [0.7, 1.1])


def test_confusion_shows_counts_and_highlights_mistakes() -> None:
    counts = np.diag([90, 80, 70])
    counts[2, 0] = 10
    ax = plotting.confusion(counts)
    texts = {(int(t.get_position()[1]), int(t.get_position()[0])): t.get_text() for t in ax.texts}  # (row, column)
    assert (texts[0, 0], texts[1, 1], texts[2, 0], texts[0, 2]) == ("90", "80", "10", "·")
    dark = darkness(ax)
    assert dark.argmax() == 2 * 3 + 0 and dark[0, 0] == dark[1, 2] < dark[2, 0]
    assert ax.get_title() == "96.0% of 250 recognised"


def test_weights_are_red_above_zero_and_blue_below() -> None:
    network = NeuralNetwork(784, 6, 10, 0.1, seed=1)
    network.wih[4, :3] = (2.0, -1.0, 0.0)
    red, blue, white = colours(plotting.weights(network, 4))[0, :3]
    assert red[0] > red[2] + 0.2 and blue[2] > blue[0] + 0.2 and white.min() > 0.95


def test_a_plot_is_described_in_words() -> None:
    rows = np.zeros((3, 784), np.uint8)
    figure = plotting.digits(rows, ["is 7", "is 2", "is 1"])
    assert figure and description(figure) == "3 pictures: is 7; is 2; is 1."
    ax = plotting.curves({"book": ([1, 3, 5], [0.1, 0.9, 0.5])}, x="epochs", y="recognised")
    ax.set_title("two rules")
    ax.bar([1, 2], [3, 4.25], label="mistakes")
    ax.barh([1, 2], [0.5, 30], height=0.85, left=7)
    ax.errorbar(range(1, 7), [5, 6, 9, 4, 7, 7], [1] * 6, label="spread")
    assert description(ax.figure) == (
        "two rules: recognised by epochs; bars (mistakes) 3, 4.25; bars 0.5, 30; a curve (book) 0.1 at 1, 0.9 at 3,"
        " 0.5 at 5; a curve (spread) from 5 at 1 to 7 at 6, highest 9 at 3."
    )


def test_a_curve_is_described_by_the_words_below_it() -> None:
    """Where dots are drawn a little beside their word, so that none hides another, it is still theirs."""
    ax = plotting.curves({}, x="learnt from", y="recognised")
    ax.errorbar([0.05, 1.05, 1.5, 2.05], [97, 81, 85, 96], [1] * 4, fmt="o")
    ax.set_xticks(range(3), ["school", "the\noffice", "both"])
    said = "97 at school, 81 at the office, 85 at 1.5, 96 at both"
    assert description(ax.figure) == f"A plot: recognised by learnt from; a curve {said}."
    ax = plotting.curves({}, x="", y="")
    ax.plot(["book", "gradient", "cross-entropy"], [3, 1, 2])
    assert description(ax.figure) == "A plot; a curve 3 at book, 1 at gradient, 2 at cross-entropy."
