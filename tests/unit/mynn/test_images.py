"""Reading pictures of digits: MNIST's own digits as scans, photos, chalk and pencil, and pictures that are refused."""

import struct
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from mynn import DataError, Examples, NeuralNetwork, read_csv
from mynn.arrays import Bytes
from mynn.images import MOST_PIXELS, cut, frame, read_image

Page = NDArray[np.float64]  # brightness 0..255, (height, width)

COUNT = 100

# How much lower the score on pictures may be than on MNIST. With three times as many digits and four networks the
# difference was between .04 lower and .02 higher for each kind of picture below.
BAND = 0.06


@pytest.fixture(scope="module")
def digits(mnist: Path) -> Examples:
    return read_csv(mnist / "mnist_test.csv", COUNT)


def ink(pixels: Bytes, scale: int) -> Page:
    """Return a smoothly enlarged digit: 0 (paper) to 1 (ink)."""
    picture = Image.fromarray(pixels.reshape(28, 28)).resize((28 * scale, 28 * scale), Image.Resampling.BICUBIC)
    return np.asarray(picture) / 255


@dataclass(frozen=True)
class Kind:
    """A picture of a page: how bright the paper is, how much brighter the ink, and how noisy it is.

    A digit's pixels become `scale` pixels wide. A photo is lit from one side, with the soft shadow of a hand.
    """

    paper: float
    ink: float
    scale: int
    shape: tuple[int, int]
    noise: float = 0
    photo: bool = False

    def of(self, pixels: Bytes, random: np.random.Generator) -> Page:
        """Return a page with the digit at a random place."""
        drawn, side, light = np.zeros(self.shape), 28 * self.scale, np.ones(self.shape)
        top, left = (random.integers(0, length - side + 1) for length in self.shape)
        drawn[top : top + side, left : left + side] = ink(pixels, self.scale)
        if self.photo:
            down, across = np.mgrid[-1:1:300j, -1:1:400j]
            light = 1 + 0.25 * across * random.choice([-1, 1]) - 0.1 * (across**2 + down**2)
            light *= 1 - 0.25 / (1 + np.exp(-12 * (across + down - random.uniform(-1, 1))))
        taken = (self.paper + self.ink * drawn) * light + random.normal(0, self.noise, self.shape)
        return np.clip(taken, 0, 255)


SCAN = Kind(235, -205, 8, (260, 340))
KINDS = {
    "scan": SCAN,
    "chalk": Kind(40, 180, 8, (260, 340)),
    "small": Kind(255, -255, 3, (400, 300)),
    "filling": Kind(255, -255, 7, (196, 196)),
    "photo": Kind(190, -100, 6, (300, 400), noise=12, photo=True),
    "pencil": Kind(200, -50, 6, (300, 400), noise=12),
}


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_are_recognised_nearly_as_well_as_mnist(kind: str, digits: Examples, trained: NeuralNetwork) -> None:
    random = np.random.default_rng(1)
    framed = Examples(digits.labels, np.array([frame(KINDS[kind].of(pixels, random)) for pixels in digits.pixels]))
    assert trained.score(framed) > trained.score(digits) - BAND


@pytest.mark.parametrize("inside_out", [False, True])
def test_framing_hardly_changes_mnists_own_digits(inside_out: bool, digits: Examples) -> None:
    """Most are not moved at all: all pixels but the faintest stay the same."""
    differences, same = [], 0
    for pixels in digits.pixels:
        framed = frame((255 - pixels if inside_out else pixels).reshape(28, 28))
        assert framed.shape == (784,) and framed.dtype == np.uint8
        difference = np.abs(framed.astype(int) - pixels)
        differences.append(difference.mean())
        same += bool(difference[framed > 100].max() <= 40)
    assert np.quantile(differences, 0.9) < 4  # a shift by one pixel would give 20
    assert same >= 0.7 * len(digits)


def test_the_digit_is_scaled_and_centred_as_in_mnist() -> None:
    down, across = np.mgrid[-30:30:61j, -30:30:61j]
    diamond = (np.abs(down) + 2 * np.abs(across) <= 30).astype(float)  # 61 high and 31 wide
    lopsided = diamond.copy()
    lopsided[55:, 30:60] = 1  # a foot to the right
    bar = np.ones((60, 30))  # straight ends are scaled a little smaller
    for shape, size in ((diamond, (20, 10)), (lopsided, None), (bar, (18, 9))):
        framed = frame(np.pad(255 - 255 * shape, 60, constant_values=255)).reshape(28, 28) / 255
        assert ndimage.center_of_mass(framed) == pytest.approx([14, 14], abs=0.05)
        rows, columns = np.nonzero(framed > 0.5)
        assert size is None or (np.ptp(rows) + 1, np.ptp(columns) + 1) == pytest.approx(size, abs=1)


def test_thin_and_thick_strokes_become_as_thick_as_mnists() -> None:
    """A vertical line, with a width of 1 % and of 10 % of its height."""
    for width in (2, 20):
        drawn = np.full((260, 260), 255.0)
        drawn[30:230, 130 : 130 + width] = 0
        framed = frame(drawn)
        height = np.count_nonzero(framed.reshape(28, 28).max(axis=1))
        assert framed.sum() / 255 / height == pytest.approx(1.75, abs=0.35)


def sheet(digits: Examples, random: np.random.Generator, columns: int = 4) -> Page:
    """Return a photo of a sheet with digits in rows, none quite in line, lit from one side."""
    cells = [np.roll(np.pad(ink(pixels, 3), 20), random.integers(-12, 13, 2), (0, 1)) for pixels in digits.pixels]
    drawn = np.block([cells[first : first + columns] for first in range(0, len(cells), columns)])
    light = 1 + 0.25 * np.linspace(-1, 1, drawn.shape[1])
    return np.clip((190 - 120 * drawn) * light + random.normal(0, 8, drawn.shape), 0, 255)


def test_a_sheet_is_cut_into_its_digits(digits: Examples, trained: NeuralNetwork) -> None:
    """In the order of reading. A 5 or a 4 in two pieces is one digit."""
    random, found = np.random.default_rng(1), []
    for first in range(0, 96, 12):
        found += [pixels for _box, pixels in cut(sheet(digits[first : first + 12], random))]
    assert trained.score(Examples(digits.labels[:96], np.array(found))) > trained.score(digits) - BAND


def test_a_page_of_text_is_no_sheet_and_a_table_at_its_edge_is_left_out(drawn: Page) -> None:
    text = np.pad(np.kron(np.ones((8, 10)), np.pad(np.ones((10, 8)), 10)), 20)
    with pytest.raises(DataError, match="more than 50 things"):
        cut(235 - 200 * text)
    with pytest.raises(DataError, match="no digit can be seen"):
        cut(np.where(np.arange(200) < 100, 0.0, 255.0) * np.ones((150, 1)))  # half a page
    drawn[:, :12] = 40
    [((_top, _right, _bottom, left), pixels)] = cut(drawn)
    assert near(pixels, frame(drawn[:, 20:])) and left > 12 / drawn.shape[1]


def save(path: Path, brightness: Page, mode: str = "L", **options: Any) -> Path:
    Image.fromarray(brightness.round().astype(np.uint8)).convert(mode).save(path, **options)
    return path


@pytest.fixture
def drawn(digits: Examples) -> Page:
    return SCAN.of(digits.pixels[0], np.random.default_rng(2))  # a 7


def near(one: Bytes, other: Bytes) -> bool:
    return bool(np.abs(one.astype(int) - other).mean() < 3)


@pytest.mark.parametrize("mode", ["L", "RGB", "P", "RGBA", "LA", "CMYK"])
def test_pngs_and_jpegs_of_all_modes_are_read(mode: str, drawn: Page, tmp_path: Path) -> None:
    for kind in ("PNG", "JPEG"):
        with suppress(OSError):  # not every mode is there in both
            save(tmp_path / "a name without a dot", drawn, mode, format=kind)
            assert near(read_image(tmp_path / "a name without a dot"), frame(drawn))


def test_transparent_pixels_are_paper(drawn: Page, tmp_path: Path) -> None:
    alpha = np.clip((235 - drawn) / 205 * 255, 0, 255)
    for pen in ((0, 0, 0), (255, 255, 255), (200, 30, 30)):
        picture = np.dstack([np.broadcast_to(pen, (*alpha.shape, 3)), alpha]).astype(np.uint8)
        Image.fromarray(picture).save(tmp_path / "pen.png")
        assert near(read_image(tmp_path / "pen.png"), frame(drawn))


def test_a_phones_photo_is_turned_upright(drawn: Page, tmp_path: Path) -> None:
    """A phone stores what its sensor sees, and the orientation in EXIF: 6 needs a quarter turn clockwise."""
    exif = Image.Exif()
    for orientation, quarters in ((3, 2), (6, 1), (8, 3)):
        exif[0x0112] = orientation
        for name, mode in (("photo.jpg", "L"), ("photo.png", "RGBA")):
            path = save(tmp_path / name, np.rot90(drawn, quarters), mode, exif=exif)
            assert near(read_image(path), frame(drawn))


def test_a_large_photo_is_scaled_down_when_it_is_read(digits: Examples, tmp_path: Path) -> None:
    large = np.full((4000, 6000), 220.0)
    large[1000:2400, 2000:3400] -= 180 * ink(digits.pixels[0], 50)
    path = save(tmp_path / "large.jpg", large)
    assert large.size > MOST_PIXELS
    difference = read_image(path).astype(int) - frame(large.reshape(400, 10, 600, 10).mean(axis=(1, 3)))
    assert np.abs(difference).mean() < 10  # it is scaled down in other steps


def test_a_picture_without_a_digit_is_refused(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    light = 120 + 100 * np.linspace(0, 1, 300) * np.ones((200, 1))  # from one side
    for picture in (
        np.zeros((1, 1)),
        light,
        random.normal(128, 20, (300, 200)),
        np.where(random.random((200, 200)) < 0.005, 0.0, 255.0),  # specks
        np.where(random.random((200, 200)) < 0.05, 0.0, 255.0),  # so many that some of them touch
        *(np.where(np.arange(200) < edge, 0.0, 255.0) * np.ones((150, 1)) for edge in (70, 100, 130)),
        np.where(np.arange(200) < 100, 90.0, 200.0)[:, None] + random.normal(0, 4, (200, 150)),  # half a page
        light + random.normal(0, 8, light.shape),
    ):
        path = save(tmp_path / "empty.png", np.clip(picture, 0, 255))
        with pytest.raises(DataError, match=rf"^{path}: no digit can be seen"):
            read_image(path)


def test_numbers_that_are_no_brightness_are_refused(drawn: Page) -> None:
    for wrong in (drawn * 1e200, drawn - drawn.max(), drawn * np.nan, drawn[:0]):
        with pytest.raises(DataError, match="of numbers from 0 to 255, not"):
            frame(wrong)


def test_a_scan_of_16_bits_may_use_fewer_of_them(drawn: Page, tmp_path: Path) -> None:
    for bits in (8, 10, 12, 16):
        Image.fromarray((drawn * 2 ** (bits - 8)).astype(np.uint16)).save(tmp_path / "scan.png")
        assert near(read_image(tmp_path / "scan.png"), frame(drawn))


def write_bomb(path: Path, side: int) -> None:
    """Write a small PNG that claims to have a given number of pixels a side (a decompression bomb)."""
    Image.new("L", (1, 1)).save(path, format="PNG")
    content = bytearray(path.read_bytes())
    content[16:24] = struct.pack(">II", side, side)  # behind the signature, a length and IHDR
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    path.write_bytes(content)


def test_unreadable_files_are_refused_in_one_sentence(drawn: Page, tmp_path: Path) -> None:
    path = tmp_path / "picture"

    def assert_refused(reason: str, content: bytes | None = None) -> None:
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(DataError, match=rf"^{path}: {reason}[^\n]*; [^\n]*$"):
            read_image(path)

    assert_refused("no such file")
    for content in (b"", b"a text", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"):
        assert_refused("this (is not a PNG or JPEG picture|picture is damaged)", content)
    Image.fromarray(drawn.astype(np.uint8)).save(path, format="GIF")
    assert_refused("this is not a PNG or JPEG picture")
    for kind in ("PNG", "JPEG"):
        whole = save(path, drawn, format=kind).read_bytes()
        for part in (0.3, 0.9):
            assert_refused("this picture is damaged", whole[: int(part * len(whole))])
    for side in (5_000, 12_000, 60_000):  # too large for a Pi, for Pillow, for any computer
        write_bomb(path, side)
        assert_refused("this picture is too large")
