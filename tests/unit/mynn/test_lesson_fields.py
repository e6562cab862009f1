"""The fields for guesses, on a phone's touch screen and in Firefox."""

import functools
import json
from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.support.browser import open_browser, open_firefox, run_until, sign_in
from tests.support.jupyter_server import PASSWORD, Server
from tests.support.look import looked_at
from tests.support.programs import ROOT
from tests.support.pupil import PHONE
from tests.unit.mynn_server.conftest import notebook, write

pytestmark = pytest.mark.slow
PERCENT = "How many digits does it recognise?"
CURVE = "Draw how many it recognises after each epoch."
AGAIN = "To guess here, run this lesson again from the top."

CELLS = [
    f"""\
from mynn.lesson import guess, guess_curve
percent = guess("{PERCENT}", 0, 100, "%")
curve = guess_curve("{CURVE}", range(1, 7), (0, 1),
                    xlabel="epochs", ylabel="recognised", percent=True)
""",
    """\
percent.beside(93.8)
print("heights", None if curve.value is None else curve.value.round(2).tolist())
""",
]


PHONES = functools.partial(open_browser, offline=True, viewport=PHONE, device_scale_factor=2, has_touch=True)


@pytest.fixture(scope="module", params=[PHONES, open_firefox], ids=["phone", "firefox"])
def page(chromium: None, server: Server, request: pytest.FixtureRequest) -> Iterator[Page]:
    """The notebook without the Internet, after the cell with fields has run."""
    write(server, "guesses.ipynb", notebook("Guesses", *CELLS))
    with request.param() as browser:
        page = browser.new_page()
        sign_in(page, server.url, PASSWORD)
        expect(page.locator("h1")).to_be_visible()
        page.goto(f"{server.url}/notebooks/guesses.ipynb")
        run_until(page, lambda: run(page, 0), page.locator(".mynn-guess").first)
        expect(page.locator(".mynn-guess")).to_have_count(2)
        yield page


def run(page: Page, number: int) -> None:
    """Run a cell."""
    page.locator(".jp-CodeCell .cm-content").nth(number).click()
    page.keyboard.press("Control+Enter")


def output(page: Page, number: int) -> Locator:
    """Return the output of a cell."""
    return page.locator(".jp-CodeCell").nth(number).locator(".jp-OutputArea")


def save(page: Page) -> None:
    """Save the notebook."""
    with page.expect_response(lambda answer: answer.request.method == "PUT" and "guesses.ipynb" in answer.url):
        page.keyboard.press("Control+s")


def test_a_guess_is_checked_shown_beside_the_result_and_kept(page: Page, server: Server) -> None:
    """When the cell is run again, when the page is reloaded, and for a look of the teacher's."""
    field, says = page.get_by_label(PERCENT), page.locator(".mynn-guess", has_text=PERCENT).locator(".mynn-guess-says")
    for entered in ("", "many", "101", "-1", "1e400", "1,000"):
        field.fill(entered)
        field.press("Enter")
        expect(says).to_have_text("Please enter a number from 0 to 100.")
    field.fill("93,8 %")  # with a decimal comma
    field.press("Enter")
    expect(says).to_have_text("Your guess: 93.8 %. Now run the next cell.")
    run(page, 0)
    expect(says).to_have_text("Your guess: 93.8 %. Now run the next cell.")
    for key in ("ArrowUp", "ArrowRight", "ArrowDown", "ArrowDown"):
        page.locator(".mynn-guess-square").press(key)
    # The page sends what four quick keys draw in two messages. A busy computer runs the cell in between.
    drawn = output(page, 1).get_by_text("heights [0.55, 0.45")
    run_until(page, lambda: run(page, 1), drawn)
    expect(output(page, 1)).to_contain_text("You guessed 93.8 %, and so it is!")
    page.screenshot(path=ROOT / "dist/screenshots/guess.png")
    expect(page.locator(".mynn-entered img")).to_have_count(1)
    save(page)
    look = looked_at(server.home / "notebooks/guesses.ipynb")
    assert f"{PERCENT} (guessed: 93.8 %)" in look and f"{CURVE}<br><img" in look and AGAIN not in look
    page.reload()
    expect(says).to_have_text("Your guess: 93.8 %. Now run the next cell.")
    expect(page.locator(".mynn-guess-square circle")).to_have_count(2)


@pytest.mark.parametrize("trusted", [True, False], ids=["trusted", "untrusted"])
def test_a_page_that_is_opened_after_its_program_has_ended_says_what_to_do(
    trusted: bool, page: Page, server: Server
) -> None:
    """In a notebook that Jupyter trusts, and in one that it does not, as after a restart of the Pi."""
    guessed = 10 + trusted  # another one each time, or an old output would be taken for the new one
    page.get_by_label(PERCENT).fill(str(guessed))
    page.get_by_label(PERCENT).press("Enter")
    beside = page.locator(".jp-OutputArea", has_text=f"You guessed {guessed} %.").locator("img")
    run_until(page, lambda: run(page, 1), beside.first)
    shown = page.locator(".mynn-gone").locator("visible=true")
    run(page, 0)
    expect(page.locator(".mynn-guess")).to_have_count(2)
    expect(page.locator(".mynn-gone")).to_have_count(2)
    expect(shown).to_have_count(0)
    save(page)
    student = server.student()
    for session in student.get("/api/sessions"):
        student.delete(f"/api/sessions/{session['id']}")
    if not trusted:
        file = server.home / "notebooks/guesses.ipynb"
        unsigned = {"cell_type": "markdown", "id": "new", "metadata": {}, "source": "This was not signed."}
        changed = json.loads(file.read_text())
        changed["cells"].append(unsigned)
        file.write_text(json.dumps(changed))
    page.reload()
    expected = [f"{question} {AGAIN}" for question in (PERCENT, CURVE)]
    if trusted:
        expect(shown).to_have_count(2)
        assert [sentence.get_attribute("data-says") for sentence in shown.all()] == expected  # its style writes it
    else:
        expect(page.get_by_text(AGAIN)).to_have_text(expected)
    assert "model not found" not in page.locator("body").inner_text()
    picture = output(page, 1).locator("img").first  # of a guess beside its result: there in both
    assert picture.evaluate("picture => picture.decode().then(() => picture.naturalWidth)") == 310
    page.screenshot(path=ROOT / f"dist/screenshots/guess-gone-{trusted}.png")
    run_until(page, lambda: run(page, 0), page.locator(".mynn-guess").first)
