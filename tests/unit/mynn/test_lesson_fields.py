"""The fields for guesses, on a phone's touch screen."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, ViewportSize, expect

from tests.support.browser import open_browser, run_until, touch
from tests.support.local_server import notebook_server, write_notebook
from tests.support.programs import ROOT

pytestmark = pytest.mark.slow
PATIENCE = 180_000  # in milliseconds, for a busy computer
QUESTION = "How many of 100 digits will it read?"
PERCENT = "How many digits does it recognise?"
CURVE = "Draw how many it recognises after each epoch."
AGAIN = "To guess here, run this lesson again from the top."

CELLS = [
    f"""
from mynn.lesson import guess, guess_curve
how_many = guess("{QUESTION}", 0, 100)
percent = guess("{PERCENT}", 0, 100, "%")
""",
    """
how_many.beside(21)
percent.beside(93.8)
""",
    f"""
curve = guess_curve("{CURVE}", range(1, 7), (0, 1),
                    xlabel="epochs", ylabel="recognised", percent=True)
""",
    """
print("heights", None if curve.value is None else curve.value.round(2).tolist())
""",
]


@pytest.fixture(scope="module")
def browser(chromium: None) -> Iterator[BrowserContext]:
    """A browser on a phone, without the Internet."""
    phone: ViewportSize = {"width": 390, "height": 844}
    with open_browser(PATIENCE, offline=True, viewport=phone, device_scale_factor=2, has_touch=True) as context:
        yield context


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The notebook's folder."""
    work = tmp_path_factory.mktemp("server") / "work"
    work.mkdir()
    return work


@pytest.fixture(scope="module")
def page(browser: BrowserContext, folder: Path) -> Iterator[Page]:
    """The notebook, after the cells with fields have run."""
    write_notebook(folder / "guesses.ipynb", CELLS)
    with notebook_server(folder) as url:
        page = browser.pages[0]
        page.goto(f"{url}/notebooks/guesses.ipynb?token=test")
        run_until(page, lambda: run(page, 0), page.locator(".mynn-guess").first, PATIENCE)
        run(page, 2)
        expect(page.locator(".mynn-guess")).to_have_count(3)
        yield page


def run(page: Page, number: int) -> None:
    """Run a cell."""
    page.locator(".jp-CodeCell .cm-content").nth(number).click()
    page.keyboard.press("Control+Enter")


def output(page: Page, number: int) -> Locator:
    """Return the output of a cell."""
    return page.locator(".jp-CodeCell").nth(number).locator(".jp-OutputArea")


def field(page: Page, question: str) -> Locator:
    """Return the input field of a question."""
    return page.get_by_label(question)


def message(page: Page, question: str) -> Locator:
    """Return the message below a question's field."""
    return page.locator(".mynn-guess", has_text=question).locator(".mynn-guess-says")


def test_a_number_is_guessed_with_enter_or_a_tap_and_shown_beside_the_result(page: Page) -> None:
    for entered in ("", "many", "101", "-1", "1e400"):
        field(page, QUESTION).fill(entered)
        field(page, QUESTION).press("Enter")
        expect(message(page, QUESTION)).to_have_text("Please enter a number from 0 to 100.")
    field(page, QUESTION).fill("30")
    field(page, QUESTION).press("Enter")
    expect(message(page, QUESTION)).to_have_text("Your guess: 30. Now run the next cell.")
    field(page, PERCENT).fill("93,8 %")  # with a decimal comma
    page.locator(".mynn-guess", has_text=PERCENT).get_by_role("button", name="Guess").tap()
    expect(message(page, PERCENT)).to_have_text("Your guess: 93.8 %. Now run the next cell.")
    run(page, 1)
    expect(output(page, 1)).to_contain_text("You guessed 30. It is 21.")
    expect(output(page, 1)).to_contain_text("You guessed 93.8 %, and so it is!")
    expect(output(page, 1).locator("img")).to_have_count(2)
    page.screenshot(path=ROOT / "dist/screenshots/guess.png")


def test_a_curve_is_drawn_with_a_finger_and_nothing_scrolls(page: Page) -> None:
    square, clear = page.locator(".mynn-guess-square"), page.get_by_role("button", name="Clear")
    for way in (1, -1):  # a tap right after a quick stroke is no part of it
        clear.scroll_into_view_if_needed()
        before = square.bounding_box()
        touch(square, [[(0.5, 0.5 - 0.4 * way), (0.55, 0.5), (0.6, 0.5 + 0.4 * way)]])
        expect(page.locator(".mynn-guess-square circle")).not_to_have_count(0)
        clear.tap()
        expect(page.locator(".mynn-guess-square circle")).to_have_count(0, timeout=2000)
        page.wait_for_timeout(300)  # for a page that is still on its way
        assert square.bounding_box() == before
    touch(square, [[(0.14, 0.8), (0.5, 0.3), (0.95, 0.1)]])
    expect(page.locator(".mynn-guess", has=square)).to_contain_text("Now run the next cell.")
    run(page, 3)
    expect(output(page, 3)).to_contain_text("heights [")
    heights = [float(text) for text in output(page, 3).inner_text().partition("[")[2].rstrip("] \n").split(",")]
    assert len(heights) == 6 and heights == sorted(heights)
    assert heights[0] < 0.15 and heights[-1] > 0.9
    page.locator(".jp-CodeCell").nth(2).screenshot(path=ROOT / "dist/screenshots/guess-curve.png")
    clear.tap()


def test_guesses_are_kept_when_the_cell_is_run_again_and_when_the_page_is_reloaded(page: Page) -> None:
    field(page, QUESTION).fill("42")
    field(page, QUESTION).press("Enter")
    run(page, 0)
    expect(message(page, QUESTION)).to_have_text("Your guess: 42. Now run the next cell.")
    assert field(page, QUESTION).input_value() == "42"
    for key in ("ArrowUp", "ArrowRight", "ArrowDown", "ArrowDown"):
        page.locator(".mynn-guess-square").press(key)
    run(page, 3)
    expect(output(page, 3)).to_contain_text("heights [0.55, 0.45")
    with page.expect_response(lambda answer: answer.request.method == "PUT" and "guesses.ipynb" in answer.url):
        page.keyboard.press("Control+s")
    page.reload()
    expect(message(page, QUESTION)).to_have_text("Your guess: 42. Now run the next cell.")
    expect(page.locator(".mynn-guess-square circle")).to_have_count(2)


def said_gone(page: Page) -> list[str]:
    """What stands in the place of fields; it is written by their style."""
    return [
        place.evaluate("place => JSON.parse(getComputedStyle(place, '::before').content)")
        for place in page.locator(".mynn-gone").locator("visible=true").all()
    ]


def end_the_kernel(page: Page) -> None:
    """Save the notebook, and end its kernel."""
    with page.expect_response(lambda answer: answer.request.method == "PUT" and "guesses.ipynb" in answer.url):
        page.keyboard.press("Control+s")
    url = page.url.partition("/notebooks/")[0]
    for session in page.request.get(f"{url}/api/sessions?token=test").json():
        page.request.delete(f"{url}/api/sessions/{session['id']}?token=test")


@pytest.mark.parametrize("trusted", [True, False], ids=["trusted", "untrusted"])
def test_a_page_that_is_opened_after_its_program_has_ended_says_what_to_do(
    trusted: bool, page: Page, folder: Path
) -> None:
    """In a notebook that Jupyter trusts, and in one that it does not, as after a restart of the Pi."""
    run(page, 0)
    run(page, 2)
    expect(page.locator(".mynn-guess")).to_have_count(3)
    expect(page.locator(".mynn-gone")).to_have_count(3)
    assert said_gone(page) == []
    end_the_kernel(page)
    if not trusted:
        file = folder / "guesses.ipynb"
        notebook = json.loads(file.read_text())
        notebook["cells"].append(
            {"cell_type": "markdown", "id": "new", "metadata": {}, "source": "This was not signed."}
        )
        file.write_text(json.dumps(notebook))
    page.reload()
    expected = [f"{question} {AGAIN}" for question in (QUESTION, PERCENT, CURVE)]
    if trusted:
        expect(page.locator(".mynn-gone").locator("visible=true")).to_have_count(3)
        assert said_gone(page) == expected
    else:
        expect(page.get_by_text(AGAIN)).to_have_text(expected)
    assert "model not found" not in page.locator("body").inner_text()
    picture = output(page, 1).locator("img").first  # of a guess beside its result: there in both
    assert picture.evaluate("picture => picture.decode().then(() => picture.naturalWidth)") == 310
    page.screenshot(path=ROOT / f"dist/screenshots/guess-gone-{trusted}.png")
    run_until(page, lambda: run(page, 0), page.locator(".mynn-guess").first, PATIENCE)
