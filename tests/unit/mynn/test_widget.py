# mypy: untyped-calls-exclude=nbformat
# (nbformat says that it is typed, and a few of its functions are not.)
"""The pad: what Python answers to a drawing, and the whole of it in a real browser that has no internet."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import matplotlib.image
import nbformat
import numpy as np
import pytest
from playwright.sync_api import BrowserContext, FloatRect, Locator, Page, ViewportSize, expect

from mynn import DataError, NeuralNetwork, read_csv
from mynn.drawings import my_digits
from mynn.widget import EMPTY, FIRST, GONE, SIDE, Pad
from tests.support.browser import CHROMIUM, DESKTOP, open_browser, run_until
from tests.support.local_server import notebook_server
from tests.unit.conftest import PROJECT

Strokes = list[list[tuple[float, float]]]
PHONE: ViewportSize = {"width": 390, "height": 844}
PATIENCE = 180_000  # in milliseconds, with a busy computer
# Digits as a mouse draws them: strokes through points, x to the right and y down, 0 to 1 across the square.
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
    """One that reads nine digits in ten."""
    network = NeuralNetwork(784, 50, 10, 0.2, seed=1)
    network.fit(read_csv(mnist / "mnist_train.csv", limit=20_000))
    return network


def ink(strokes: Strokes) -> bytes:
    """What the browser sends for such strokes: brightness, SIDE x SIDE."""
    rows, columns = (np.mgrid[:SIDE, :SIDE] + 0.5) / SIDE
    nearest = np.full((SIDE, SIDE), np.inf)
    for points in strokes:
        for (x, y), (to_x, to_y) in pairwise(points):
            for part in np.linspace(0, 1, 50):
                distance = np.hypot(columns - x - part * (to_x - x), rows - y - part * (to_y - y))
                nearest = np.minimum(nearest, distance)
    return np.where(nearest < 0.04, 0, 255).astype(np.uint8).tobytes()


@pytest.mark.parametrize(("strokes", "label"), [(ONE, 1), (SEVEN, 7), (FOUR, 4)])
def test_a_drawing_is_framed_and_read(strokes: Strokes, label: int, network: NeuralNetwork) -> None:
    pad = Pad(network)
    pad.set_trait("drawing", memoryview(ink(strokes)))  # as it comes from the browser
    assert pad.says == f"This is a {label}."
    assert np.argmax(pad.outputs) == label
    rows = np.flatnonzero(pad.pixels.reshape(28, 28).max(axis=1) > 127)
    assert 17 <= np.ptp(rows) + 1 <= 20, "as tall as MNIST's, or, like the 1, as its bars may be"
    assert pad.outputs == network.query(pad.pixels / 255 * 0.99 + 0.01).tolist()


def test_an_empty_pad_says_what_to_do(network: NeuralNetwork) -> None:
    pad = Pad(network)
    assert (pad.says, pad.outputs, pad.seen) == (EMPTY, [], b"")
    assert pad.pixels.tolist() == [0] * 784
    pad.drawing = ink(SEVEN)
    pad.drawing = b""
    assert (pad.says, pad.outputs, pad.seen) == (EMPTY, [], b"")


def test_paper_without_a_digit_is_said_to_be_so(network: NeuralNetwork) -> None:
    pad = Pad(network)
    pad.drawing = bytes([255]) * SIDE**2
    assert "no digit can be seen" in pad.says
    assert pad.outputs == []


def test_doubts_are_said(network: NeuralNetwork) -> None:
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


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The notebook's folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def press(pad: Pad, label: object, drawing: bytes = ink(SEVEN)) -> None:
    """Press one of the pad's buttons 0 to 9, as it comes from the browser."""
    pad._handle_custom_msg({"keep": label, "sent": 1}, [memoryview(drawing)])


def test_drawings_are_kept_with_their_labels(folder: Path, network: NeuralNetwork) -> None:
    pad = Pad(network)
    assert pad.kept == FIRST
    press(pad, 7)
    assert pad.kept == "Kept as a 7. 1 drawing in my_digits.csv."
    press(pad, 4, ink(FOUR))
    assert pad.kept == "Kept as a 4. 2 drawings in my_digits.csv."
    assert pad.counts == [0, 0, 0, 0, 1, 0, 0, 1, 0, 0]
    mine = my_digits()
    assert mine.labels.tolist() == [7, 4]
    pad.drawing = ink(FOUR)
    assert mine.pixels[1].tolist() == pad.pixels.tolist(), "kept as the network sees it"
    assert network.predict(mine).tolist() == [7, 4]
    assert Pad(network).kept == "2 drawings in my_digits.csv."


def test_only_what_this_pad_has_kept_can_be_taken_back(folder: Path, network: NeuralNetwork) -> None:
    press(Pad(network), 7)
    pad = Pad(network)
    assert not pad.more
    for label in (4, 9):
        press(pad, label, ink(FOUR))  # a slip, and then right
    press(pad, 1, ink(ONE))
    for left, news in (([7, 9], "The 1 is taken back. 2 drawings"), ([7], "The 9 is taken back. 1 drawing")):
        assert pad.more
        pad._handle_custom_msg({"take_back": True}, [])
        assert pad.kept == f"{news} in my_digits.csv."
        assert my_digits().labels.tolist() == left


@pytest.mark.parametrize("label", [-1, 10, True, "7", 7.0, None, [7], {}])
def test_a_label_that_is_none_keeps_nothing(label: object, folder: Path, network: NeuralNetwork) -> None:
    press(Pad(network), label)
    assert not list(folder.iterdir())


def test_what_cannot_be_kept_is_said(folder: Path, network: NeuralNetwork) -> None:
    pad = Pad(network)
    press(pad, 7, b"")
    assert pad.kept == FIRST
    press(pad, 7, bytes([255]) * SIDE**2)
    assert pad.kept.startswith("Not kept: no digit can be seen in this picture")
    press(pad, 7, b"123")
    assert pad.kept == "Not kept: a drawing has 112 x 112 pixels."
    assert not list(folder.iterdir())
    (folder / "my_digits.csv").mkdir()
    press(pad, 7)
    assert pad.kept.startswith("Not kept: my_digits.csv: is a directory; rename it")
    assert Pad(network).kept.startswith("Nothing can be kept: my_digits.csv: is a directory")


def test_a_network_of_other_inputs_is_refused() -> None:
    with pytest.raises(DataError, match=r"this network has 100 inputs, not 784; give one that reads digits"):
        Pad(NeuralNetwork(100, 5, 10, 0.1))


def test_without_its_library_there_is_one_sentence() -> None:
    code = "import sys; sys.modules['anywidget'] = None; import mynn.widget"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stderr.splitlines()[-1].startswith("ImportError: the pad needs the library anywidget, and it is missing")
    assert run.stderr.count("Traceback") == 1


# From here on it takes a browser.


@pytest.fixture(scope="module")
def work(network: NeuralNetwork, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one notebook, of one cell: the pad."""
    work = tmp_path_factory.mktemp("pad") / "work"
    work.mkdir()
    network.save(work / "network.npz")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL.strip())])
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, work / "pad.ipynb")
    return work


@pytest.fixture(scope="module")
def server(work: Path) -> Iterator[str]:
    """A notebook server of our own in that folder: its URL."""
    with notebook_server(work) as url:
        yield url


@pytest.fixture(scope="module")
def browser() -> Iterator[BrowserContext]:
    """A browser with a screen of many pixels that takes touches, and without internet."""
    if not CHROMIUM.exists():
        pytest.skip(f"there is no browser {CHROMIUM}: `make test` brings it")
    with open_browser(PATIENCE, offline=True, device_scale_factor=2, has_touch=True) as context:
        yield context


@pytest.fixture(scope="module")
def asked(browser: BrowserContext) -> list[str]:
    """The address of everything that the browser asks for."""
    addresses: list[str] = []
    browser.on("request", lambda request: addresses.append(request.url))
    return addresses


@pytest.fixture(scope="module")
def page(browser: BrowserContext, asked: list[str], server: str) -> Page:
    """The notebook, with its cell run and the pad under it."""
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
    """The pad's answer; the pad is empty when a test begins."""
    page.get_by_role("button", name="Clear").click()
    answer = page.locator(".mynn-pad-says")
    expect(answer).to_have_text(EMPTY)
    return answer


@pytest.fixture
def kept(says: Locator, work: Path) -> Iterator[Path]:
    """The file of what is kept: there is none when a test begins."""
    file = work / "my_digits.csv"
    file.unlink(missing_ok=True)
    yield file
    file.unlink(missing_ok=True)


@pytest.fixture
def phone(page: Page) -> Iterator[Page]:
    """The notebook on a screen as narrow as a phone's."""
    page.set_viewport_size(PHONE)
    yield page
    page.set_viewport_size(DESKTOP)


def box_of(place: Locator) -> FloatRect:
    """Where something is in the window."""
    place.scroll_into_view_if_needed()
    box = place.bounding_box()
    assert box
    return box


def draw(page: Page, strokes: Strokes) -> None:
    """Draw with the mouse."""
    box = box_of(page.locator(".mynn-pad-paper"))
    for first, *others in strokes:
        page.mouse.move(box["x"] + first[0] * box["width"], box["y"] + first[1] * box["height"])
        page.mouse.down()
        for x, y in others:
            page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=8)
        page.mouse.up()


def touch(page: Page, strokes: Strokes) -> None:
    """Draw with a finger that is quick, and leaves the paper in full swing."""
    box = box_of(page.locator(".mynn-pad-paper"))
    session = page.context.new_cdp_session(page)
    for stroke in strokes:
        for index, (x, y) in enumerate([*stroke, stroke[-1]]):
            kind = "touchStart" if index == 0 else "touchEnd" if index == len(stroke) else "touchMove"
            place = {"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"]}
            session.send(
                "Input.dispatchTouchEvent", {"type": kind, "touchPoints": [] if kind == "touchEnd" else [place]}
            )
    session.detach()


def dark(page: Page) -> float:
    """How much of the paper is dark, 0 to 1, as it is seen."""
    shot = matplotlib.image.imread(io.BytesIO(page.locator(".mynn-pad-paper").screenshot()))
    return float((shot[..., :3].mean(axis=2) < 0.5).mean())


def strokes_of(page: Page) -> int:
    """How many strokes there are on the paper."""
    return page.locator(".mynn-pad-paper polyline").count()


def labels(file: Path) -> list[int]:
    """What is kept."""
    return [int(label) for label in my_digits(file).labels]


@pytest.mark.parametrize(("strokes", "label"), [(SEVEN, 7), (ONE, 1), (FOUR, 4)])
def test_what_the_mouse_draws_is_read(strokes: Strokes, label: int, page: Page, says: Locator) -> None:
    draw(page, strokes)
    expect(says).to_have_text(f"This is a {label}.")
    best = page.locator(".mynn-pad-best")
    assert best.count() == 1
    assert float(re.sub("[^0-9.]", "", best.evaluate("bar => bar.style.width"))) > 50
    screenshot = PROJECT / "dist/screenshots/pad.png"
    if label == 4:
        page.screenshot(path=screenshot)


def test_what_a_finger_draws_is_read_and_nothing_scrolls(page: Page, says: Locator) -> None:
    paper = page.locator(".mynn-pad-paper")
    before = box_of(paper)
    touch(page, SEVEN)
    expect(says).to_have_text("This is a 7.")
    assert paper.bounding_box() == before


def test_on_a_phone_the_answer_is_above_and_a_touch_keeps_the_drawing(phone: Page, says: Locator, kept: Path) -> None:
    touch(phone, FOUR)
    expect(says).to_have_text("This is a 4.")
    phone.screenshot(path=PROJECT / "dist/screenshots/pad-phone.png")
    answer, paper = says.bounding_box(), phone.locator(".mynn-pad-paper").bounding_box()
    assert answer and paper and answer["y"] >= 0 and answer["y"] + answer["height"] <= paper["y"]
    assert paper["y"] + paper["height"] <= PHONE["height"], "both are seen at once"
    buttons = phone.locator(".mynn-pad button:visible")
    assert buttons.count() == 12
    for button in buttons.all():
        box = button.bounding_box()
        assert box and box["height"] >= 44 and box["width"] >= 40, "for a finger"
        assert box["x"] >= 0 and box["x"] + box["width"] <= PHONE["width"]
    phone.get_by_title("Keep this drawing as a 4").tap()
    expect(phone.locator(".mynn-pad-kept")).to_contain_text("Kept as a 4. 1 drawing in my_digits.csv.")
    expect(says).to_have_text(EMPTY)  # ready for the next one
    assert labels(kept) == [4]
    phone.get_by_role("button", name="Take it back").tap()
    expect(phone.locator(".mynn-pad-kept")).to_contain_text("The 4 is taken back. 0 drawings in my_digits.csv.")
    assert labels(kept) == []


def test_a_button_without_a_drawing_says_what_to_do(page: Page, kept: Path) -> None:
    page.get_by_title("Keep this drawing as a 3").click()
    expect(page.locator(".mynn-pad-kept")).to_contain_text(FIRST)
    assert not kept.exists()


def test_a_digits_key_keeps_the_drawing_and_leaves_the_notebook_alone(page: Page, says: Locator, kept: Path) -> None:
    source = page.locator(".jp-CodeCell .cm-content").first.inner_text()
    for strokes, label in ((FOUR, "4"), (SEVEN, "7")):
        draw(page, strokes)
        page.keyboard.press(label)
        expect(page.locator(".mynn-pad-kept")).to_contain_text(f"Kept as a {label}.")
        expect(says).to_have_text(EMPTY)
    assert labels(kept) == [4, 7]
    assert page.locator(".jp-CodeCell").count() == 1, "a 4 for the notebook makes this cell a heading"
    assert page.locator(".jp-CodeCell .cm-content").first.inner_text() == source


def test_a_stroke_is_undone_by_button_and_by_keys(page: Page, says: Locator) -> None:
    draw(page, FOUR)
    expect(says).to_have_text("This is a 4.")
    page.get_by_role("button", name="Undo").click()
    assert strokes_of(page) == 1
    page.keyboard.press("Control+z")
    expect(says).to_have_text(EMPTY)
    assert strokes_of(page) == 0
    draw(page, SEVEN)
    expect(says).to_have_text("This is a 7.")
    page.keyboard.press("Delete")
    expect(says).to_have_text(EMPTY)
    page.keyboard.press("Control+z")  # what was cleared comes back
    expect(says).to_have_text("This is a 7.")


def test_a_digit_is_drawn_by_keys_alone(page: Page, says: Locator, kept: Path) -> None:
    page.locator(".mynn-pad-paper").focus()
    for key, times in (("ArrowUp", 9), (" ", 1), ("ArrowDown", 18), (" ", 1)):
        for _ in range(times):
            page.keyboard.press(key)
    expect(says).to_have_text("This is a 1.")
    assert strokes_of(page) == 1
    page.keyboard.press("1")
    expect(page.locator(".mynn-pad-kept")).to_contain_text("Kept as a 1.")
    assert labels(kept) == [1]


def test_it_shows_what_the_network_sees(page: Page, says: Locator) -> None:
    draw(page, SEVEN)
    expect(says).to_have_text("This is a 7.")
    shades = page.locator(".mynn-pad-seen").evaluate(
        "seen => Array.from(seen.getContext('2d').getImageData(0, 0, 28, 28).data.filter((_, i) => i % 4 == 0))"
    )
    dark = np.array(shades).reshape(28, 28) < 128
    rows, columns = (np.flatnonzero(dark.any(axis=axis)) for axis in (1, 0))
    assert np.ptp(rows) + 1 in (18, 19, 20) and np.ptp(columns) + 1 <= 20
    assert 40 < dark.sum() < 200


def test_a_stroke_may_end_beside_the_paper(page: Page, says: Locator) -> None:
    draw(page, [[(0.25, 0.2), (0.72, 0.2), (0.5, 1.1)]])
    expect(says).to_have_text("This is a 7.")


def test_the_right_button_draws_nothing(page: Page, says: Locator) -> None:
    box = page.locator(".mynn-pad-paper").bounding_box()
    assert box
    page.mouse.move(box["x"] + 100, box["y"] + 100)
    page.mouse.down(button="middle")
    page.mouse.move(box["x"] + 200, box["y"] + 200)
    page.mouse.up(button="middle")
    draw(page, ONE)  # the answer to this is the first
    expect(says).to_have_text("This is a 1.")


@pytest.mark.parametrize("key", ["Space", "Enter"])
def test_clear_works_by_keyboard(key: str, page: Page, says: Locator) -> None:
    draw(page, SEVEN)
    expect(says).to_have_text("This is a 7.")
    page.get_by_role("button", name="Clear").focus()
    page.keyboard.press(key)
    expect(says).to_have_text(EMPTY)
    assert page.locator(".mynn-pad-best").count() == 0
    assert dark(page) == 0


def test_the_cell_run_again_gives_an_empty_pad_that_works(page: Page, says: Locator) -> None:
    draw(page, SEVEN)
    expect(says).to_have_text("This is a 7.")
    page.locator(".jp-CodeCell .cm-content").first.click()
    page.keyboard.press("Control+Enter")
    expect(says).to_have_text(EMPTY)
    assert page.locator(".mynn-pad").count() == 1
    draw(page, ONE)
    expect(says).to_have_text("This is a 1.")


@pytest.mark.slow
def test_a_page_loaded_anew_has_the_drawing_still(page: Page, says: Locator) -> None:
    draw(page, SEVEN)
    expect(says).to_have_text("This is a 7.")
    with page.expect_response(lambda answer: answer.request.method == "PUT" and "pad.ipynb" in answer.url):
        page.keyboard.press("Control+s")
    page.reload()
    expect(says).to_have_text("This is a 7.")
    assert 0.03 < dark(page) < 0.2  # of 560 x 560: what were 10,000 and 60,000
    page.get_by_role("button", name="Undo").click()
    expect(says).to_have_text(EMPTY)


@pytest.mark.slow
def test_a_program_that_does_not_answer_is_said_to_be_busy(page: Page, says: Locator, work: Path) -> None:
    kernel = int((work / "pid").read_text())
    os.kill(kernel, signal.SIGSTOP)  # as while it runs another cell: some versions of ipykernel draw beside that
    try:
        draw(page, SEVEN)
        expect(says).to_have_text(re.compile("No answer yet. If another cell is running, wait for it; if none is, run"))
    finally:
        os.kill(kernel, signal.SIGCONT)
    expect(says).to_have_text("This is a 7.")


@pytest.fixture
def gone(page: Page) -> Iterator[Locator]:
    """The sentence for a pad without its program; afterwards there is one with a program again."""
    yield page.locator(".mynn-gone")
    run_the_cell(page)


@pytest.mark.slow
def test_a_pad_whose_program_was_started_anew_says_so_when_it_is_drawn_on(
    page: Page, says: Locator, gone: Locator, work: Path
) -> None:
    expect(gone).to_be_hidden()
    kernel = Path("/proc", (work / "pid").read_text())
    page.get_by_role("menuitem", name="Kernel", exact=True).click()
    page.get_by_role("menuitem", name=re.compile("^Restart Kernel")).first.click()
    page.locator(".jp-Dialog .jp-mod-accept").click()
    deadline = time.monotonic() + PATIENCE / 1000
    while kernel.exists():
        assert time.monotonic() < deadline, "the kernel is still there"
        page.wait_for_timeout(100)
    draw(page, SEVEN)
    expect(says).to_have_text(re.compile("No answer yet. .* if none is, run this lesson again from the top."))


@pytest.mark.slow
def test_a_page_that_is_opened_after_its_program_has_ended_says_so(page: Page, server: str, gone: Locator) -> None:
    with page.expect_response(lambda answer: answer.request.method == "PUT" and "pad.ipynb" in answer.url):
        page.keyboard.press("Control+s")
    for session in page.request.get(f"{server}/api/sessions?token=test").json():
        page.request.delete(f"{server}/api/sessions/{session['id']}?token=test")
    page.reload()
    expect(gone).to_be_visible()
    assert gone.evaluate("place => getComputedStyle(place, '::before').content") == f'"{GONE}"'
    assert "model not found" not in page.locator("body").inner_text()


def test_the_pad_needs_no_internet(asked: list[str], page: Page, says: Locator) -> None:
    """All that the tests before this one did."""
    assert len(asked) > 20
    elsewhere = [url for url in asked if not url.startswith(("http://127.0.0.1:", "ws://127.0.0.1:", "blob:", "data:"))]
    assert elsewhere == []
