"""Photos of sheets: cut into digits, read, labelled, and refused if they are none; and in a browser, by taps."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from mynn import Examples, NeuralNetwork, read_csv
from mynn.doubt import is_digit
from mynn.drawings import my_digits
from tests.support.browser import MINUTES, assert_accessible, open_browser, run_until, sign_in
from tests.support.doodles import DOODLES, digit, letter, pictures, printed
from tests.support.jupyter_server import PASSWORD, Server
from tests.support.programs import ROOT
from tests.support.pupil import PHONE
from tests.unit.mynn.test_images import sheet
from tests.unit.mynn_server.conftest import notebook, write

CELL = """\
from mynn import NeuralNetwork
from mynn.widget.photos import Photos
photos = Photos(NeuralNetwork.load("network.npz"))
photos
"""


@pytest.fixture(scope="module")
def digits(mnist: Path) -> Examples:
    return read_csv(mnist / "mnist_test.csv", 12)


def photo(digits: Examples) -> Image.Image:
    return Image.fromarray(sheet(digits, np.random.default_rng(1)).astype(np.uint8))


def test_what_is_no_digit_is_refused_and_hardly_a_digit(mnist: Path) -> None:
    """Of 10,000 test digits PCT are refused; tests/benchmarks/doubt.py has the other figures."""
    digits = read_csv(mnist / "mnist_test.csv", 1000).pixels
    assert np.mean([not is_digit(pixels) for pixels in digits]) < 0.02
    for kinds in ([letter], DOODLES, [printed]):
        assert np.mean([not is_digit(pixels) for pixels in pictures(kinds, 200, seed=7)]) > 0.9
    assert np.mean([is_digit(pixels) for pixels in pictures([digit], 200, seed=7)]) > 0.98


@pytest.fixture
def page(chromium: None, trained: NeuralNetwork, server: Server) -> Iterator[Page]:
    """A notebook whose cell has shown the button for photos, on a phone."""
    work = server.home / "notebooks"
    trained.save(work / "network.npz")
    write(server, "photos.ipynb", notebook("Photos", CELL))
    with open_browser(offline=True, viewport=PHONE, has_touch=True) as browser:
        page = browser.pages[0]
        sign_in(page, server.url, PASSWORD)
        expect(page.locator("h1")).to_be_visible()
        page.goto(f"{server.url}/notebooks/photos.ipynb")
        ask = page.get_by_role("button", name="Run all").click
        run_until(page, ask, page.get_by_text("Take a photo of one digit"), MINUTES)
        yield page


@pytest.mark.slow
def test_on_a_phone_a_sheet_is_photographed_and_one_answer_corrected(
    page: Page, server: Server, digits: Examples, tmp_path: Path
) -> None:
    """The photo is a WebP. A file that the browser cannot decode gets a sentence."""
    says, boxes = page.locator(".mynn-pad > p"), page.locator(".mynn-photos-photo button")

    def choose(button: str, file: str) -> None:
        with page.expect_file_chooser() as chosen:
            page.get_by_role("button", name=button).tap()
        chosen.value.set_files(tmp_path / file)

    (tmp_path / "photo.heic").write_bytes(b"\0\0\0\x18ftypheic")
    choose("Take a photo", "photo.heic")
    expect(says).to_contain_text(
        "This browser cannot read photo.heic. Take the photo here, or let the camera make JPEGs"
    )
    expect(page.locator("input[capture=environment][accept='image/*']")).to_have_count(1)
    photo(digits).save(tmp_path / "photo.webp")
    choose("Choose a picture", "photo.webp")
    expect(boxes).to_have_count(12)
    boxes.nth(3).tap()
    expect(boxes.nth(3)).to_have_attribute("aria-pressed", "true")
    page.get_by_title("Keep this drawing as a 5").tap()
    expect(says).to_have_text("Kept as a 5. my_digits.csv")
    expect(boxes.nth(3)).to_have_text("5")
    assert my_digits(server.home / "notebooks/my_digits.csv").labels.tolist() == [5]
    page.screenshot(path=ROOT / "dist/screenshots/photos-phone.png")
    assert_accessible(page, ".mynn-pad")
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    page.get_by_role("button", name="No digit").tap()
    expect(boxes).to_have_count(11)
    line = Image.new("L", (160, 160), 255)
    line.paste(0, (30, 75, 130, 85))
    line.save(tmp_path / "line.webp")
    choose("Choose a picture", "line.webp")
    expect(boxes).to_have_text(["?"])
    Image.new("L", (160, 160), 255).save(tmp_path / "empty.webp")
    choose("Choose a picture", "empty.webp")
    expect(says).to_contain_text("no digit can be seen")
    expect(boxes).to_have_count(0)
