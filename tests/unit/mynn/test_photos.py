"""Photos of sheets: cut into digits, read, labelled and refused if they are none; and in a browser, by taps."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from mynn import Examples, NeuralNetwork, read_csv
from mynn.drawings import my_digits
from mynn.likeness import LEAST, Likeness
from mynn.widget.photos import Photos
from tests.support.browser import MINUTES, assert_accessible, open_browser, run_until, sign_in
from tests.support.jupyter_server import PASSWORD, Server
from tests.support.no_digits import TEXTS, no_digits
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


@pytest.fixture(scope="module")
def digits(mnist: Path) -> Examples:
    return read_csv(mnist / "mnist_test.csv", 12)


@pytest.fixture(scope="module")
def training(mnist: Path) -> Examples:
    return read_csv(mnist / "mnist_train.csv", 5000)


def test_a_sheet_is_read_and_its_digits_are_kept_with_the_pupils_labels(
    folder: Path, digits: Examples, training: Examples, trained: NeuralNetwork
) -> None:
    photos = Photos(trained, training)
    page = sheet(digits, np.random.default_rng(1)).astype(np.uint8)

    def send(message: object, *buffers: bytes) -> None:
        photos._handle_custom_msg(message, [memoryview(one) for one in buffers])

    send({"width": page.shape[1]}, page.tobytes())
    assert len(photos.digits) == 12 and photos.says.startswith("12 digits.")
    assert sum(one["answer"] == label for one, label in zip(photos.digits, digits.labels, strict=True)) >= 10
    send({"keep": int(digits.labels[3]), "which": 3})
    assert photos.says == f"Kept as a {digits.labels[3]}. my_digits.csv"
    assert my_digits().pixels[0].tobytes() == photos.digits[3]["seen"]
    send({"keep": -1, "which": 0})
    assert len(photos.digits) == 11 and photos.digits[2]["kept"] == digits.labels[3]
    for message in ({"keep": 1, "which": 11}, {"keep": "1", "which": 0}, {"width": 0}, {"width": 7}, "photo"):
        send(message, b"12345")
    assert len(photos.digits) == 11 and len(my_digits()) == 1
    send({"width": 100}, bytes(10_000))
    assert photos.says.startswith("no digit can be seen") and photos.digits == []
    send({"width": 112}, np.pad(np.zeros((6, 90), np.uint8), ((50, 56), (11, 11)), constant_values=255).tobytes())
    assert photos.digits[0]["answer"] is None, "a line is no digit"


def test_most_of_what_is_no_digit_is_refused_and_hardly_a_digit(mnist: Path) -> None:
    """With other parts of the training digits, 62 to 72 % of the 64 pictures, and 3 to 4 % of the digits."""
    likeness = Likeness(read_csv(mnist / "mnist_train.csv", 20_000))
    refused = {name: likeness.nearest(pixels)[1] < LEAST for name, pixels in no_digits()}
    assert sum(refused.values()) > 0.55 * len(refused)
    assert all(refused[name] for name in (*TEXTS, "the edge of a table", "the corner of a sheet", "squared paper"))
    digits = read_csv(mnist / "mnist_test.csv", 500)
    assert sum(likeness.nearest(pixels)[1] < LEAST for pixels in digits.pixels) < 0.06 * len(digits)


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
    with page.expect_file_chooser() as chosen:
        page.get_by_role("button", name="Take a photo").tap()
    (tmp_path / "photo.heic").write_bytes(b"\0\0\0\x18ftypheic")
    chosen.value.set_files(tmp_path / "photo.heic")
    expect(says).to_contain_text(
        "This browser cannot read photo.heic. Take the photo here, or let the camera make JPEGs"
    )
    assert page.locator("input[capture=environment][accept='image/*']").count() == 1
    Image.fromarray(sheet(digits, np.random.default_rng(1)).astype(np.uint8)).save(tmp_path / "photo.webp")
    with page.expect_file_chooser() as chosen:
        page.get_by_role("button", name="Choose pictures").tap()
    chosen.value.set_files(tmp_path / "photo.webp")
    expect(boxes).to_have_count(12)
    boxes.nth(3).tap()
    expect(boxes.nth(3)).to_have_attribute("aria-pressed", "true")
    page.get_by_title("Keep it as a 5").tap()
    expect(says).to_have_text("Kept as a 5. my_digits.csv")
    expect(boxes.nth(3)).to_have_text("5")
    assert my_digits(server.home / "notebooks/my_digits.csv").labels.tolist() == [5]
    page.screenshot(path=ROOT / "dist/screenshots/photos-phone.png")
    assert_accessible(page, ".mynn-pad")
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    page.get_by_role("button", name="No digit").tap()
    expect(boxes).to_have_count(11)
