"""The drawing pad: what Python answers to drawings, and the pad in a browser without the Internet."""

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw
from playwright.sync_api import Locator, Page, expect

from mynn import NeuralNetwork
from mynn.drawings import my_digits
from mynn.images import frame
from mynn.lesson.fields import CurveField, NumberField
from mynn.live import Live
from mynn.widget import FIRST, Pad, Plane
from mynn.widget.photos import Photos
from tests.support.browser import DESKTOP, box_of, open_browser, run_until, sign_in, touch
from tests.support.jupyter_server import PASSWORD, Server
from tests.support.look import looked_at
from tests.support.programs import ROOT
from tests.support.pupil import DIGITS, PHONE, Strokes, drag
from tests.unit.mynn_server.conftest import notebook, write

EMPTY = "Draw a digit on the white square."
SEVEN, FOUR = DIGITS[7], DIGITS[4]

CELL = """\
from mynn import NeuralNetwork
from mynn.widget import Pad
pad = Pad(NeuralNetwork.load("network.npz"))
import os, pathlib; pathlib.Path("pid").write_text(str(os.getpid()))
pad
"""

# The outputs are 0.3, 0.2, and 0.1.
RETRAIN = """\
import numpy as np
pad.network.who[:] = np.log([[3 / 7], [1 / 4], *[[1 / 9]] * 8]) / pad.network.who.shape[1]
pad.network.wih[:] = 100
print("trained further")
"""


@pytest.mark.parametrize("widget", [CurveField, NumberField, Pad, Photos, Plane])
def test_no_two_scripts_of_a_widget_declare_the_same_name(widget: type[Live]) -> None:
    """They become one script, which a browser would refuse."""
    names = re.findall(r"^(?:export )?(?:const|let|(?:async )?function|class) +(\w+)", widget._script, re.M)
    assert sorted(names) == sorted(set(names))


def sent(strokes: Strokes) -> bytes:
    """Return what the browser sends for strokes: the pixels that the network sees."""
    picture = Image.new("L", (112, 112), 255)
    for points in strokes:
        ImageDraw.Draw(picture).line([(x * 112, y * 112) for x, y in points], fill=0, width=9, joint="curve")
    return frame(np.asarray(picture)).tobytes()


def test_a_drawing_is_answered(trained: NeuralNetwork) -> None:
    pad = Pad(trained)
    assert pad.outputs == [] and not pad.pixels.any() and pad.entered() == "nothing drawn"
    pad.set_trait("drawing", memoryview(sent(SEVEN)))  # as it comes from the browser
    assert np.argmax(pad.outputs) == 7 and pad.pixels.tobytes() == sent(SEVEN)
    assert re.fullmatch("<img .*><br>The network says 7.", pad.entered())
    assert pad.outputs == trained.query(pad.pixels / 255 * 0.99 + 0.01).tolist()


def press(pad: Pad, label: object, drawing: bytes = sent(SEVEN)) -> None:
    """Send what the browser sends when one of the buttons 0 to 9 is pressed."""
    pad._handle_custom_msg({"keep": label, "sent": 1}, [memoryview(drawing)])


def test_drawings_are_kept_with_their_labels_and_taken_back(folder: Path, trained: NeuralNetwork) -> None:
    """But only those that this pad has kept."""
    earlier, pad = Pad(trained), Pad(trained)
    assert earlier.kept == FIRST
    press(earlier, 7)
    assert earlier.kept == "Kept as a 7. 1 drawing in my_digits.csv."
    for label in (4, 9):  # a wrong label first, then the right one
        press(pad, label, sent(FOUR))
    assert pad.kept == "Kept as a 9. 2 drawings in my_digits.csv." and pad.counts == [0, 0, 0, 0, 0, 0, 0, 1, 0, 1]
    pad.drawing = sent(FOUR)
    assert my_digits().pixels[1].tolist() == pad.pixels.tolist(), "a drawing is kept as the network sees it"
    for other in (Pad(trained), pad):
        other._handle_custom_msg({"take_back": True}, [])
        assert my_digits().labels.tolist() == ([7] if other is pad else [7, 9])
    assert pad.kept == "The 9 is taken back. 1 drawing in my_digits.csv."


def test_what_cannot_be_kept_is_reported_or_ignored(folder: Path, trained: NeuralNetwork) -> None:
    pad = Pad(trained)
    labels: list[object] = [-1, 10, True, "7", None, [7]]
    for label in labels:
        press(pad, label)
        assert pad.kept == FIRST
    for drawing in (b"", b"123"):
        press(pad, 7, drawing)
        assert pad.kept == FIRST
    assert not list(folder.iterdir())
    (folder / "my_digits.csv").mkdir()
    press(pad, 7)
    assert pad.kept.startswith("Not kept: my_digits.csv: is a directory; rename it")
    assert Pad(trained).kept.startswith("Nothing can be kept: my_digits.csv: is a directory")


# The remaining tests need a browser.


@pytest.fixture(scope="module")
def work(server: Server) -> Path:
    """The notebook's folder."""
    return server.home / "notebooks"


@pytest.fixture(scope="module")
def page(chromium: None, trained: NeuralNetwork, server: Server, work: Path) -> Iterator[Page]:
    """A notebook whose only cell has shown the pad, on a touch screen, without the Internet."""
    trained.save(work / "network.npz")
    write(server, "pad.ipynb", notebook("The pad", CELL, RETRAIN))
    with open_browser(offline=True, device_scale_factor=2, has_touch=True) as browser:
        page = browser.pages[0]
        sign_in(page, server.url, PASSWORD)
        expect(page.locator("h1")).to_be_visible()
        page.goto(f"{server.url}/notebooks/pad.ipynb")

        def ask() -> None:
            page.locator(".jp-CodeCell .cm-content").first.click()
            page.keyboard.press("Control+Enter")

        run_until(page, ask, page.locator(".mynn-pad-says", has_text=EMPTY))
        yield page


@pytest.fixture
def says(page: Page, work: Path) -> Locator:
    """The pad's answer. The pad is empty, and nothing is kept, when a test begins."""
    (work / "my_digits.csv").unlink(missing_ok=True)
    page.set_viewport_size(DESKTOP)
    page.get_by_role("button", name="Clear").click()
    answer = page.locator(".mynn-pad-says")
    expect(answer).to_have_text(EMPTY)
    return answer


def draw(page: Page, strokes: Strokes) -> None:
    """Draw with the mouse."""
    drag(page.locator(".mynn-pad-paper"), strokes)


@pytest.mark.slow
def test_a_digit_drawn_with_the_mouse_is_recognised_and_its_strokes_undone(page: Page, says: Locator) -> None:
    draw(page, FOUR)
    expect(says).to_have_text("This is a 4.")
    best = page.locator(".mynn-pad-best")
    assert best.count() == 1
    fill = best.locator(".mynn-pad-fill")
    assert fill.evaluate("bar => bar.clientWidth / bar.parentElement.clientWidth") > 0.5
    page.screenshot(path=ROOT / "dist/screenshots/pad.png")
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".mynn-pad-paper polyline")).to_have_count(1)
    page.keyboard.press("Control+z")
    expect(says).to_have_text(EMPTY)
    draw(page, SEVEN)
    expect(says).to_have_text("This is a 7.")
    page.keyboard.press("Delete")
    expect(says).to_have_text(EMPTY)
    page.keyboard.press("Control+z")  # undoes Delete
    expect(says).to_have_text("This is a 7.")


@pytest.mark.slow
def test_on_a_phone_answer_and_bars_are_above_the_paper_and_a_tap_keeps_the_drawing(
    page: Page, says: Locator, work: Path
) -> None:
    page.set_viewport_size(PHONE)
    touch(page.locator(".mynn-pad-paper"), FOUR)
    expect(says).to_have_text("This is a 4.")
    page.screenshot(path=ROOT / "dist/screenshots/pad-phone.png")
    tops = [box_of(page.locator(f".mynn-pad-{name}"))["y"] for name in ("says", "bars", "paper")]
    assert tops == sorted(tops), "a hand would hide the answer or the bars"
    for name in ("says", "bars", "paper"):
        expect(page.locator(f".mynn-pad-{name}")).to_be_in_viewport(ratio=1)
    buttons = page.locator(".mynn-pad button:visible")
    assert buttons.count() == 12
    for button in buttons.all():
        box = button.bounding_box()
        assert box and box["height"] >= 44 and box["width"] >= 40, "too small for a finger"
        assert box["x"] >= 0 and box["x"] + box["width"] <= PHONE["width"]
    page.get_by_title("Keep this drawing as a 4").tap()
    expect(page.locator(".mynn-pad-kept")).to_contain_text("Kept as a 4. 1 drawing in my_digits.csv.")
    expect(says).to_have_text(EMPTY)  # ready for the next drawing
    assert my_digits(work / "my_digits.csv").labels.tolist() == [4]
    page.get_by_role("button", name="Take it back").tap()
    expect(page.locator(".mynn-pad-kept")).to_contain_text("The 4 is taken back. 0 drawings in my_digits.csv.")


@pytest.mark.slow
def test_a_digit_is_drawn_and_kept_with_keys_that_do_not_reach_the_notebook(
    page: Page, says: Locator, work: Path
) -> None:
    source = page.locator(".jp-CodeCell .cm-content").first.inner_text()
    page.locator(".mynn-pad-paper").focus()
    for key in (*["ArrowUp"] * 9, " ", *["ArrowDown"] * 18, " "):
        page.keyboard.press(key)
    for strokes, label in (([], "1"), (FOUR, "4")):
        draw(page, strokes)
        expect(says).to_have_text(f"This is a {label}.")
        page.keyboard.press(label)
        expect(page.locator(".mynn-pad-kept")).to_contain_text(f"Kept as a {label}.")
        expect(says).to_have_text(EMPTY)
    assert my_digits(work / "my_digits.csv").labels.tolist() == [1, 4]
    assert page.locator(".jp-CodeCell").count() == 2, "the notebook took the key 4, which makes a cell a heading"
    assert page.locator(".jp-CodeCell .cm-content").first.inner_text() == source


@pytest.mark.slow
def test_a_drawing_survives_a_reload(page: Page, says: Locator, work: Path) -> None:
    draw(page, SEVEN)
    expect(page.locator(".mynn-bar[data-state=idle]")).to_be_visible()  # the program has it
    expect(page.locator(".mynn-entered")).to_contain_text("The network says 7.")  # hidden, for a look of the teacher's
    with page.expect_response(lambda answer: answer.request.method == "PUT" and "pad.ipynb" in answer.url):
        page.keyboard.press("Control+s")
    assert "The network says 7." in looked_at(work / "pad.ipynb")
    page.reload()
    expect(says).to_have_text("This is a 7.")
    page.get_by_role("button", name="Undo").click()
    expect(says).to_have_text(EMPTY)


@pytest.mark.slow
def test_without_its_program_the_pad_answers_and_says_that_it_keeps_nothing(
    page: Page, says: Locator, work: Path
) -> None:
    kept, kernel = page.locator(".mynn-pad-kept"), int((work / "pid").read_text())
    os.kill(kernel, signal.SIGSTOP)
    try:
        draw(page, SEVEN)
        expect(says).to_have_text("This is a 7.")
        page.keyboard.press("7")
        expect(kept).to_contain_text("No answer yet. Wait, or run this lesson again.")
        assert not (work / "my_digits.csv").exists()
    finally:
        os.kill(kernel, signal.SIGCONT)
    expect(kept).to_contain_text("Kept as a 7.")
    expect(says).to_have_text(EMPTY)


@pytest.mark.slow
def test_a_network_that_was_trained_further_answers_the_next_stroke(page: Page, says: Locator) -> None:
    page.locator(".jp-CodeCell .cm-content").last.click()
    page.keyboard.press("Control+Enter")
    expect(page.get_by_text("trained further", exact=True)).to_be_visible()
    draw(page, FOUR)
    expect(says).to_have_text("I am not sure. Is it a 0, or a 1?")
