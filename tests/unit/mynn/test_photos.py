"""Photos of sheets: cut into digits, read, labelled, and refused if they are none; and in a browser, by taps."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont
from playwright.sync_api import Page, expect

from mynn import Examples, NeuralNetwork, read_csv
from mynn.arrays import Bytes
from mynn.drawings import my_digits
from mynn.images import frame
from mynn.likeness import LEAST, Likeness
from tests.support.browser import MINUTES, assert_accessible, open_browser, run_until, sign_in
from tests.support.jupyter_server import PASSWORD, Server
from tests.support.programs import ROOT
from tests.support.pupil import PHONE
from tests.unit.mynn.test_images import sheet
from tests.unit.mynn_server.conftest import notebook, write

CELL = """\
from mynn import NeuralNetwork, read_csv
from mynn.widget.photos import Photos
photos = Photos(NeuralNetwork.load("network.npz"), read_csv("digits.csv"))
photos
"""
LETTERS_AND_SHAPES = "AEFHKMNRTWXYadefhkmnprtwxßäÄЖ&@%$?€#+☆♡□△→☺⌂♪"
TEXTS = ("a line of text", "Hello", "mynn", "Class 7b", "x = y", "?!?", "═══", "||||", "╱╲╱╲")


@pytest.fixture(scope="module")
def digits(mnist: Path) -> Examples:
    return read_csv(mnist / "mnist_test.csv", 12)


def photo(digits: Examples) -> Image.Image:
    return Image.fromarray(sheet(digits, np.random.default_rng(1)).astype(np.uint8))


def written(text: str) -> Bytes:
    """Return what a network sees of a text."""
    font = ImageFont.truetype(font_manager.findfont("DejaVu Sans"), 60)
    left, top, right, bottom = font.getbbox(text)
    picture = Image.new("L", (int(right - left) + 80, int(bottom - top) + 80), 255)
    ImageDraw.Draw(picture).text((40 - left, 40 - top), text, font=font, fill=0)
    return frame(np.asarray(picture))


def scribble(random: np.random.Generator) -> Bytes:
    picture = Image.new("L", (112, 112), 255)
    ImageDraw.Draw(picture).line(random.uniform(17, 95, 18).tolist(), fill=0, width=7, joint="curve")
    return frame(np.asarray(picture))


def test_most_of_what_is_no_digit_is_refused_and_hardly_a_digit(mnist: Path) -> None:
    """With other parts of the training digits, 58 to 67 % of these 64 pictures, and 3 to 4 % of other digits."""
    likeness, random = Likeness(read_csv(mnist / "mnist_train.csv", 20_000)), np.random.default_rng(5)

    def refused(pictures: Sequence[Bytes] | Bytes) -> float:
        return float(np.mean([likeness.nearest(pixels)[1] < LEAST for pixels in pictures]))

    texts = list(map(written, TEXTS))
    assert refused(texts) == 1
    assert refused([*texts, *map(written, LETTERS_AND_SHAPES), *(scribble(random) for _number in range(10))]) > 0.55
    assert refused(read_csv(mnist / "mnist_test.csv", 500).pixels) < 0.06


@pytest.fixture
def page(chromium: None, digits: Examples, trained: NeuralNetwork, server: Server) -> Iterator[Page]:
    """A notebook whose cell has shown the button for photos, on a phone."""
    work = server.home / "notebooks"
    trained.save(work / "network.npz")
    lines = [",".join(map(str, (label, *pixels))) for label, pixels in zip(digits.labels, digits.pixels, strict=True)]
    write(server, "digits.csv", "\n".join(lines))
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
