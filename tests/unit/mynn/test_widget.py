"""The drawing pad: what Python answers to drawings, and the pad in a browser without the Internet."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import BrowserContext, Locator, Page, ViewportSize, expect

from mynn import DataError, NeuralNetwork, read_csv
from mynn.drawings import my_digits
from mynn.widget import EMPTY, FIRST, SIDE, Pad
from tests.support.browser import DESKTOP, box_of, open_browser, run_until, touch
from tests.support.local_server import notebook_server, write_notebook
from tests.support.programs import ROOT

Strokes = list[list[tuple[float, float]]]
PHONE: ViewportSize = {"width": 390, "height": 844}
PATIENCE = 180_000  # in milliseconds, for a busy computer
# Digits as strokes through points: x to the right and y down, 0 to 1 across the paper.
ONE = [[(0.52, 0.15), (0.5, 0.5), (0.48, 0.85)]]
SEVEN = [[(0.25, 0.2), (0.72, 0.2), (0.6, 0.5), (0.48, 0.85)]]
FOUR = [[(0.35, 0.12), (0.22, 0.55), (0.75, 0.55)], [(0.62, 0.3), (0.56, 0.88)]]

CELL = """
from mynn import NeuralNetwork
from mynn.widget import Pad
pad = Pad(NeuralNetwork.load("network.npz"))
import os, pathlib; pathlib.Path("pid").write_text(str(os.getpid()))
pad
"""


@pytest.fixture(scope="module")
def network(mnist: Path) -> NeuralNetwork:
    """A network that recognises nine digits in ten."""
    network = NeuralNetwork(784, 50, 10, 0.2, seed=1)
    network.fit(read_csv(mnist / "mnist_train.csv", limit=20_000))
    return network


def ink(strokes: Strokes) -> bytes:
    """Return what the browser sends for strokes: brightness, SIDE x SIDE."""
    rows, columns = (np.mgrid[:SIDE, :SIDE] + 0.5) / SIDE
    nearest = np.full((SIDE, SIDE), np.inf)
    for points in strokes:
        for (x, y), (to_x, to_y) in pairwise(points):
            for part in np.linspace(0, 1, 50):
                distance = np.hypot(columns - x - part * (to_x - x), rows - y - part * (to_y - y))
                nearest = np.minimum(nearest, distance)
    return np.where(nearest < 0.04, 0, 255).astype(np.uint8).tobytes()


@pytest.mark.parametrize(("strokes", "label"), [(ONE, 1), (SEVEN, 7), (FOUR, 4)])
def test_a_drawing_is_framed_and_recognised(strokes: Strokes, label: int, network: NeuralNetwork) -> None:
    pad = Pad(network)
    pad.set_trait("drawing", memoryview(ink(strokes)))  # as it comes from the browser
    assert pad.says == f"This is a {label}."
    assert np.argmax(pad.outputs) == label
    rows = np.flatnonzero(pad.pixels.reshape(28, 28).max(axis=1) > 127)
    assert 17 <= np.ptp(rows) + 1 <= 20  # as in MNIST; digits with straight ends, such as this 1, are smaller
    assert pad.outputs == network.query(pad.pixels / 255 * 0.99 + 0.01).tolist()


def test_a_doubtful_answer_says_so(network: NeuralNetwork) -> None:
    pad = Pad(network)
    pad.network = NeuralNetwork(784, 5, 10, 0.1, seed=1)
    pad.network.who[:] = 0
    pad.network.who[4] = -0.1
    pad.network.who[7] = -0.2
    pad.network.who[[0, 1, 2, 3, 5, 6, 8, 9]] = -5
    pad.drawing = ink(FOUR)
    assert pad.says == "I am not sure. Is it a 4, or a 7?"
    pad.network.who[[4, 7]] = [[5], [4]]
    pad.drawing = ink(SEVEN)
    assert pad.says == "It could be a 4, but also a 7."


def press(pad: Pad, label: object, drawing: bytes = ink(SEVEN)) -> None:
    """Send what the browser sends when one of the buttons 0 to 9 is pressed."""
    pad._handle_custom_msg({"keep": label, "sent": 1}, [memoryview(drawing)])


def take_back(pad: Pad) -> None:
    pad._handle_custom_msg({"take_back": True}, [])


def test_drawings_are_kept_with_their_labels_and_taken_back(folder: Path, network: NeuralNetwork) -> None:
    """But only those that this pad has kept."""
    earlier, pad = Pad(network), Pad(network)
    assert earlier.kept == FIRST
    press(earlier, 7)
    assert earlier.kept == "Kept as a 7. 1 drawing in my_digits.csv."
    take_back(pad)
    assert not pad.more and my_digits().labels.tolist() == [7]
    for label in (4, 9):  # a wrong label first, then the right one
        press(pad, label, ink(FOUR))
    assert pad.kept == "Kept as a 9. 2 drawings in my_digits.csv." and pad.counts == [0, 0, 0, 0, 0, 0, 0, 1, 0, 1]
    pad.drawing = ink(FOUR)
    assert my_digits().pixels[1].tolist() == pad.pixels.tolist(), "a drawing is kept as the network sees it"
    assert Pad(network).kept == "2 drawings in my_digits.csv."
    press(pad, 1, ink(ONE))
    for left, news in (([7, 9], "The 1 is taken back. 2 drawings"), ([7], "The 9 is taken back. 1 drawing")):
        assert pad.more
        take_back(pad)
        assert pad.kept == f"{news} in my_digits.csv."
        assert my_digits().labels.tolist() == left


def test_what_cannot_be_kept_is_reported_or_ignored(folder: Path, network: NeuralNetwork) -> None:
    pad = Pad(network)
    labels: list[object] = [-1, 10, True, "7", 7.0, None, [7], {}]
    for label in labels:
        press(pad, label)
        assert pad.kept == FIRST
    for drawing, sentence in (
        (b"", FIRST),
        (bytes([255]) * SIDE**2, "Not kept: no digit can be seen in this picture"),
        (b"123", "Not kept: a drawing has 112 x 112 pixels."),
    ):
        press(pad, 7, drawing)
        assert pad.kept.startswith(sentence)
    assert not list(folder.iterdir())
    (folder / "my_digits.csv").mkdir()
    press(pad, 7)
    assert pad.kept.startswith("Not kept: my_digits.csv: is a directory; rename it")
    assert Pad(network).kept.startswith("Nothing can be kept: my_digits.csv: is a directory")


def test_a_network_with_other_inputs_is_refused() -> None:
    with pytest.raises(DataError, match=r"this network has 100 inputs, not 784; give one that reads digits"):
        Pad(NeuralNetwork(100, 5, 10, 0.1))


def test_a_missing_library_is_reported_in_one_line() -> None:
    code = "import sys; sys.modules['anywidget'] = None; import mynn.widget"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stderr.splitlines()[-1].startswith("ImportError: the pad needs the library anywidget, and it is missing")
    assert run.stderr.count("Traceback") == 1


# The remaining tests need a browser.


@pytest.fixture(scope="module")
def work(network: NeuralNetwork, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a notebook whose only cell shows the pad."""
    work = tmp_path_factory.mktemp("pad") / "work"
    work.mkdir()
    network.save(work / "network.npz")
    write_notebook(work / "pad.ipynb", [CELL])
    return work


@pytest.fixture(scope="module")
def server(work: Path) -> Iterator[str]:
    """The URL of a notebook server in that folder."""
    with notebook_server(work) as url:
        yield url


@pytest.fixture(scope="module")
def browser(chromium: None) -> Iterator[BrowserContext]:
    """A browser with a high-resolution touch screen, and without the Internet."""
    with open_browser(PATIENCE, offline=True, device_scale_factor=2, has_touch=True) as context:
        yield context


@pytest.fixture(scope="module")
def page(browser: BrowserContext, server: str) -> Page:
    """The notebook, after its cell has run."""
    page = browser.pages[0]
    page.goto(f"{server}/notebooks/pad.ipynb?token=test")
    run_the_cell(page)
    return page


def run_the_cell(page: Page) -> None:
    """Run the pad's cell, which shows a new pad."""
    cell, says = page.locator(".jp-CodeCell .cm-content").first, page.locator(".mynn-pad-says", has_text=EMPTY)

    def ask() -> None:
        cell.click()
        page.keyboard.press("Control+Enter")

    run_until(page, ask, says, PATIENCE)


@pytest.fixture
def says(page: Page) -> Locator:
    """The pad's answer. The pad is empty when a test begins."""
    page.get_by_role("button", name="Clear").click()
    answer = page.locator(".mynn-pad-says")
    expect(answer).to_have_text(EMPTY)
    return answer


@pytest.fixture
def kept(says: Locator, work: Path) -> Iterator[Path]:
    """The file of kept drawings, which does not exist when a test begins."""
    file = work / "my_digits.csv"
    file.unlink(missing_ok=True)
    yield file
    file.unlink(missing_ok=True)


@pytest.fixture
def phone(page: Page) -> Iterator[Page]:
    """The notebook on a phone's screen."""
    page.set_viewport_size(PHONE)
    yield page
    page.set_viewport_size(DESKTOP)


def draw(page: Page, strokes: Strokes) -> None:
    """Draw with the mouse."""
    box = box_of(page.locator(".mynn-pad-paper"))
    for first, *others in strokes:
        page.mouse.move(box["x"] + first[0] * box["width"], box["y"] + first[1] * box["height"])
        page.mouse.down()
        for x, y in others:
            page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=8)
        page.mouse.up()


def count_strokes(page: Page) -> int:
    """Return the number of strokes on the paper."""
    return page.locator(".mynn-pad-paper polyline").count()


def labels(file: Path) -> list[int]:
    """Return the labels of the kept drawings."""
    return [int(label) for label in my_digits(file).labels]


def test_a_digit_drawn_with_the_mouse_is_recognised_and_its_strokes_undone(page: Page, says: Locator) -> None:
    draw(page, FOUR)
    expect(says).to_have_text("This is a 4.")
    best = page.locator(".mynn-pad-best")
    assert best.count() == 1
    assert float(re.sub("[^0-9.]", "", best.evaluate("bar => bar.style.width"))) > 50
    page.screenshot(path=ROOT / "dist/screenshots/pad.png")
    page.get_by_role("button", name="Undo").click()
    assert count_strokes(page) == 1
    page.keyboard.press("Control+z")
    expect(says).to_have_text(EMPTY)
    draw(page, SEVEN)
    expect(says).to_have_text("This is a 7.")
    page.keyboard.press("Delete")
    expect(says).to_have_text(EMPTY)
    page.keyboard.press("Control+z")  # undoes Delete
    expect(says).to_have_text("This is a 7.")


def test_on_a_phone_the_answer_is_above_the_paper_and_a_tap_keeps_the_drawing(
    phone: Page, says: Locator, kept: Path
) -> None:
    touch(phone.locator(".mynn-pad-paper"), FOUR)
    expect(says).to_have_text("This is a 4.")
    phone.screenshot(path=ROOT / "dist/screenshots/pad-phone.png")
    answer, paper = says.bounding_box(), phone.locator(".mynn-pad-paper").bounding_box()
    assert answer and paper and answer["y"] >= 0 and answer["y"] + answer["height"] <= paper["y"]
    assert paper["y"] + paper["height"] <= PHONE["height"], "the answer and the paper must fit on the screen"
    buttons = phone.locator(".mynn-pad button:visible")
    assert buttons.count() == 12
    for button in buttons.all():
        box = button.bounding_box()
        assert box and box["height"] >= 44 and box["width"] >= 40, "too small for a finger"
        assert box["x"] >= 0 and box["x"] + box["width"] <= PHONE["width"]
    phone.get_by_title("Keep this drawing as a 4").tap()
    expect(phone.locator(".mynn-pad-kept")).to_contain_text("Kept as a 4. 1 drawing in my_digits.csv.")
    expect(says).to_have_text(EMPTY)  # ready for the next drawing
    assert labels(kept) == [4]
    phone.get_by_role("button", name="Take it back").tap()
    expect(phone.locator(".mynn-pad-kept")).to_contain_text("The 4 is taken back. 0 drawings in my_digits.csv.")
    assert labels(kept) == []


def test_a_digit_is_drawn_and_kept_with_keys_that_do_not_reach_the_notebook(
    page: Page, says: Locator, kept: Path
) -> None:
    source = page.locator(".jp-CodeCell .cm-content").first.inner_text()
    page.locator(".mynn-pad-paper").focus()
    for key, times in (("ArrowUp", 9), (" ", 1), ("ArrowDown", 18), (" ", 1)):
        for _ in range(times):
            page.keyboard.press(key)
    for strokes, label in (([], "1"), (FOUR, "4")):
        draw(page, strokes)
        expect(says).to_have_text(f"This is a {label}.")
        page.keyboard.press(label)
        expect(page.locator(".mynn-pad-kept")).to_contain_text(f"Kept as a {label}.")
        expect(says).to_have_text(EMPTY)
    assert labels(kept) == [1, 4]
    assert page.locator(".jp-CodeCell").count() == 1, "the notebook took the key 4, which makes a cell a heading"
    assert page.locator(".jp-CodeCell .cm-content").first.inner_text() == source


@pytest.mark.slow
def test_a_drawing_is_still_there_after_a_reload(page: Page, says: Locator) -> None:
    draw(page, SEVEN)
    expect(says).to_have_text("This is a 7.")
    with page.expect_response(lambda answer: answer.request.method == "PUT" and "pad.ipynb" in answer.url):
        page.keyboard.press("Control+s")
    page.reload()
    expect(says).to_have_text("This is a 7.")
    assert count_strokes(page) == 1
    page.get_by_role("button", name="Undo").click()
    expect(says).to_have_text(EMPTY)


@pytest.mark.slow
def test_a_kernel_that_does_not_answer_is_reported(page: Page, says: Locator, work: Path) -> None:
    kernel = int((work / "pid").read_text())
    os.kill(kernel, signal.SIGSTOP)  # as if it ran another cell, during which some versions of ipykernel answer
    try:
        draw(page, SEVEN)
        expect(says).to_have_text("No answer yet. Wait, or run this lesson again.")
    finally:
        os.kill(kernel, signal.SIGCONT)
    expect(says).to_have_text("This is a 7.")
