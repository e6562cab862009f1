# mypy: untyped-calls-exclude=nbformat
# (nbformat says that it is typed, and a few of its functions are not.)
"""The pad: what Python answers to a drawing, and the whole of it in a real browser that has no internet."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from urllib.request import urlopen

import nbformat
import numpy as np
import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect, sync_playwright

from mynn import DataError, NeuralNetwork, read_csv
from mynn.widget import EMPTY, SIDE, Pad
from tests.support.browser import ARGUMENTS, CHROMIUM, run_until
from tests.unit.conftest import PROJECT

Strokes = list[list[tuple[float, float]]]
PATIENCE = 60_000  # in milliseconds, with a busy computer
OFFLINE = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
# Digits as a mouse draws them: strokes through points, x to the right and y down, 0 to 1 across the square.
ONE = [[(0.52, 0.15), (0.5, 0.5), (0.48, 0.85)]]
SEVEN = [[(0.25, 0.2), (0.72, 0.2), (0.6, 0.5), (0.48, 0.85)]]
FOUR = [[(0.35, 0.12), (0.22, 0.55), (0.75, 0.55)], [(0.62, 0.3), (0.56, 0.88)]]

# How many of the canvas's pixels are dark, as JavaScript.
DARK = "paper.getContext('2d').getImageData(0, 0, 560, 560).data.filter((v, i) => i % 4 == 0 && v < 128).length"

CELL = """
from mynn import NeuralNetwork
from mynn.widget import Pad
pad = Pad(NeuralNetwork.load("network.npz"))
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
def server(network: NeuralNetwork, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A notebook server of our own, in a folder with one notebook: its URL up to the notebook's name."""
    folder = tmp_path_factory.mktemp("server")
    work = folder / "work"
    work.mkdir()
    network.save(work / "network.npz")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL.strip())])
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, work / "pad.ipynb")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    own = {f"JUPYTER_{name}_DIR": str(folder / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")}
    command = [
        *(sys.executable, "-m", "notebook", "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}"),
        *("--IdentityProvider.token=pad", f"--ServerApp.root_dir={work}", "--ServerApp.port_retries=0"),
    ]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, env={**os.environ, **own}, stdout=log, stderr=subprocess.STDOUT)
    try:
        for _ in range(600):
            try:
                urlopen(f"http://127.0.0.1:{port}/api?token=pad").close()
                break
            except OSError:
                assert process.poll() is None, (folder / "log").read_text(encoding="utf-8")
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/notebooks/pad.ipynb?token=pad"
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:  # ended while its page asks for something, it may wait for a thread for ever
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrowserContext]:
    """A browser with a screen of many pixels that takes touches, and without internet."""
    if not CHROMIUM.exists():
        pytest.skip(f"there is no browser {CHROMIUM}: `make test` brings it")
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            tmp_path_factory.mktemp("profile"),
            executable_path=CHROMIUM,
            args=[*ARGUMENTS, OFFLINE],
            viewport={"width": 1100, "height": 700},
            device_scale_factor=2,
            has_touch=True,
        )
        context.set_default_timeout(PATIENCE)
        expect.set_options(timeout=PATIENCE)
        yield context
        context.close()


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
    page.goto(server)
    cell, says = page.locator(".jp-CodeCell .cm-content").first, page.locator(".mynn-pad-says")

    def ask() -> None:
        cell.click()
        page.keyboard.press("Control+Enter")

    run_until(page, ask, says, PATIENCE)
    expect(says).to_have_text(EMPTY)
    return page


@pytest.fixture
def says(page: Page) -> Locator:
    """The pad's answer; the pad is empty when a test begins."""
    page.get_by_role("button", name="Clear").click()
    answer = page.locator(".mynn-pad-says")
    expect(answer).to_have_text(EMPTY)
    return answer


def draw(page: Page, strokes: Strokes) -> None:
    """Draw with the mouse."""
    box = page.locator(".mynn-pad-paper").bounding_box()
    assert box
    for first, *others in strokes:
        page.mouse.move(box["x"] + first[0] * box["width"], box["y"] + first[1] * box["height"])
        page.mouse.down()
        for x, y in others:
            page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=8)
        page.mouse.up()


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
    before = paper.bounding_box()
    assert before
    touch = page.context.new_cdp_session(page)
    for index, (x, y) in enumerate([*SEVEN[0], SEVEN[0][-1]]):
        kind = "touchStart" if index == 0 else "touchEnd" if index == len(SEVEN[0]) else "touchMove"
        place = {"x": before["x"] + x * before["width"], "y": before["y"] + y * before["height"]}
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [] if kind == "touchEnd" else [place]})
    expect(says).to_have_text("This is a 7.")
    assert paper.bounding_box() == before


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
    assert page.locator(".mynn-pad-paper").evaluate(f"paper => {DARK}") == 0


def test_the_cell_run_again_gives_an_empty_pad_that_works(page: Page, says: Locator) -> None:
    draw(page, SEVEN)
    expect(says).to_have_text("This is a 7.")
    page.locator(".jp-CodeCell .cm-content").first.click()
    page.keyboard.press("Control+Enter")
    expect(says).to_have_text(EMPTY)
    assert page.locator(".mynn-pad").count() == 1
    draw(page, ONE)
    expect(says).to_have_text("This is a 1.")


def test_a_page_loaded_anew_has_the_drawing_still(page: Page, says: Locator) -> None:
    draw(page, SEVEN)
    expect(says).to_have_text("This is a 7.")
    with page.expect_response(lambda answer: answer.request.method == "PUT" and "pad.ipynb" in answer.url):
        page.keyboard.press("Control+s")
    page.reload()
    expect(says).to_have_text("This is a 7.")
    assert 10_000 < page.locator(".mynn-pad-paper").evaluate(f"paper => {DARK}") < 60_000


def test_the_pad_needs_no_internet(asked: list[str], page: Page, says: Locator) -> None:
    """All that the tests before this one did."""
    assert len(asked) > 20
    elsewhere = [url for url in asked if not url.startswith(("http://127.0.0.1:", "ws://127.0.0.1:", "blob:", "data:"))]
    assert elsewhere == []
