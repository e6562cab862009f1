"""Reading pictures of digits: MNIST's own digits as scans, photos, chalk and pencil, and pictures that are refused."""

import struct
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from mynn import DataError, Examples, NeuralNetwork, read_csv
from mynn.arrays import Bytes
from mynn.images import MOST_PIXELS, frame, read_image

Page = NDArray[np.float64]  # brightness 0..255, (height, width)

COUNT = 100

# How much lower the score on pictures may be than on MNIST. With three times as many digits and four networks the
# difference was between .04 lower and .02 higher for each kind of picture below.
BAND = 0.06


@pytest.fixture(scope="module")
def digits(mnist: Path) -> Examples:
    return read_csv(mnist / "mnist_test.csv", COUNT)


@pytest.fixture(scope="module")
def network(mnist: Path) -> NeuralNetwork:
    """A network that recognises about 94 % of MNIST's digits."""
    trained = NeuralNetwork(784, 50, 10, 0.1, seed=0)
    trained.fit(read_csv(mnist / "mnist_train.csv"))
    return trained


def ink(pixels: Bytes, scale: int) -> Page:
    """Return a smoothly enlarged digit: 0 (paper) to 1 (ink)."""
    picture = Image.fromarray(pixels.reshape(28, 28)).resize((28 * scale, 28 * scale), Image.Resampling.BICUBIC)
    return np.asarray(picture) / 255


def page(pixels: Bytes, scale: int, shape: tuple[int, int], random: np.random.Generator) -> Page:
    """Return a page of a given shape with a digit at a random place: 0 (paper) to 1 (ink)."""
    drawn = np.zeros(shape)
    down, across = (random.integers(0, side - 28 * scale + 1) for side in shape)
    drawn[down : down + 28 * scale, across : across + 28 * scale] = ink(pixels, scale)
    return drawn


def scan(pixels: Bytes, random: np.random.Generator) -> Page:
    return 235 - 205 * page(pixels, 8, (260, 340), random)


def chalk(pixels: Bytes, random: np.random.Generator) -> Page:
    return 40 + 180 * page(pixels, 8, (260, 340), random)


def small(pixels: Bytes, random: np.random.Generator) -> Page:
    return 255 - 255 * page(pixels, 3, (400, 300), random)


def filling(pixels: Bytes, random: np.random.Generator) -> Page:
    return 255 - 255 * ink(pixels, 7)


def photo(pixels: Bytes, random: np.random.Generator) -> Page:
    """Return a photo of dark ink, lit from one side, with the soft shadow of a hand and with noise."""
    drawn = page(pixels, 6, (300, 400), random)
    down, across = np.mgrid[-1:1:300j, -1:1:400j]
    light = 1 + 0.25 * across * random.choice([-1, 1]) - 0.1 * (across**2 + down**2)
    light *= 1 - 0.25 / (1 + np.exp(-12 * (across + down - random.uniform(-1, 1))))
    taken: Page = np.clip((190 - 100 * drawn) * light + random.normal(0, 12, drawn.shape), 0, 255)
    return taken


def pencil(pixels: Bytes, random: np.random.Generator) -> Page:
    """Return a photo of pale strokes, evenly lit, with noise."""
    drawn = page(pixels, 6, (300, 400), random)
    return np.clip(200 - 50 * drawn + random.normal(0, 12, drawn.shape), 0, 255)


KINDS = [scan, chalk, small, filling, photo, pencil]


@pytest.mark.parametrize("make", KINDS)
def test_pictures_are_recognised_nearly_as_well_as_mnist(
    make: Callable[[Bytes, np.random.Generator], Page], digits: Examples, network: NeuralNetwork
) -> None:
    random = np.random.default_rng(1)
    framed = Examples(digits.labels, np.array([frame(make(pixels, random)) for pixels in digits.pixels]))
    assert network.score(framed) > network.score(digits) - BAND


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


def framed_ink(ink: Page) -> tuple[Page, Page]:
    """Return ink, 0 to 1, framed: (28, 28), and its centre of mass."""
    framed = frame(np.pad(255 - 255 * ink, 60, constant_values=255)).reshape(28, 28) / 255
    return framed, np.array(ndimage.center_of_mass(framed))


def test_the_digit_is_scaled_and_centred_as_in_mnist() -> None:
    down, across = np.mgrid[-30:30:61j, -30:30:61j]
    diamond = (np.abs(down) + 2 * np.abs(across) <= 30).astype(float)  # a diamond, 61 high and 31 wide
    framed, centre = framed_ink(diamond)
    rows, columns = np.nonzero(framed > 0.1)
    assert 19 <= np.ptp(rows) + 1 <= 21 and 9 <= np.ptp(columns) + 1 <= 11  # its edges are smoothed
    assert centre == pytest.approx([14, 14], abs=0.05)

    diamond[55:, 30:60] = 1  # now with a foot to the right
    bar = np.ones((60, 30))  # straight ends are scaled a little smaller
    for shape, size in ((diamond, None), (bar, 18 * 9)):
        framed, centre = framed_ink(shape)
        assert centre == pytest.approx([14, 14], abs=0.05)
        assert size is None or framed.sum() == pytest.approx(size, rel=0.02)


def thickness(framed: Bytes) -> float:
    """Return the thickness of a vertical stroke in pixels: its ink divided by its height."""
    return float(framed.sum() / 255 / np.count_nonzero(framed.reshape(28, 28).max(axis=1)))


def test_thin_and_thick_strokes_become_as_thick_as_mnists() -> None:
    """A vertical line, with a width of 1 % and of 10 % of its height."""
    for width in (2, 20):
        drawn = np.full((260, 260), 255.0)
        drawn[30:230, 130 : 130 + width] = 0
        assert thickness(frame(drawn)) == pytest.approx(1.75, abs=0.35)


def save(path: Path, brightness: Page, mode: str = "L", **options: Any) -> Path:
    Image.fromarray(brightness.round().astype(np.uint8)).convert(mode).save(path, **options)
    return path


@pytest.fixture
def drawn(digits: Examples) -> Page:
    return scan(digits.pixels[0], np.random.default_rng(2))  # a 7


def near(one: Bytes, other: Bytes) -> bool:
    return bool(np.abs(one.astype(int) - other).mean() < 3)


@pytest.mark.parametrize("mode", ["L", "RGB", "P", "RGBA", "LA", "CMYK"])
def test_pngs_and_jpegs_of_all_modes_are_read(mode: str, drawn: Page, tmp_path: Path) -> None:
    for kind in ("PNG", "JPEG"):
        with suppress(OSError):  # not every mode is there in both
            save(tmp_path / "a name without a dot", drawn, mode, format=kind)
            assert near(read_image(tmp_path / "a name without a dot"), frame(drawn))


@pytest.mark.parametrize("pen", [(0, 0, 0), (255, 255, 255), (200, 30, 30)])
def test_transparent_pixels_are_paper(pen: tuple[int, int, int], drawn: Page, tmp_path: Path) -> None:
    alpha = np.clip((235 - drawn) / 205 * 255, 0, 255)
    picture = np.dstack([np.broadcast_to(pen, (*alpha.shape, 3)), alpha]).astype(np.uint8)
    path = tmp_path / "pen.png"
    Image.fromarray(picture).save(path)
    assert near(read_image(path), frame(drawn))


@pytest.mark.parametrize(("orientation", "quarters"), [(1, 0), (3, 2), (6, 1), (8, 3)])
def test_a_phones_photo_is_turned_upright(orientation: int, quarters: int, drawn: Page, tmp_path: Path) -> None:
    """A phone stores what its sensor sees, and the orientation in EXIF: 6 needs a quarter turn clockwise."""
    exif = Image.Exif()
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
        np.full((50, 60), 255.0),
        np.zeros((1, 1)),
        light,
        random.normal(128, 20, (300, 200)),
        random.normal(128, 20, (28, 28)),
        random.uniform(0, 255, (100, 100)),
        np.where(random.random((200, 200)) < 0.005, 0.0, 255.0),  # specks
        light + random.normal(0, 8, light.shape),
    ):
        path = save(tmp_path / "empty.png", np.clip(picture, 0, 255))
        with pytest.raises(DataError, match=rf"^{path}: no digit can be seen"):
            read_image(path)


def write_bomb(path: Path, side: int) -> None:
    """Write a small PNG that claims to have a given number of pixels a side (a decompression bomb)."""
    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")]
    parts = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    ]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


def test_unreadable_files_are_refused_in_one_sentence(drawn: Page, tmp_path: Path) -> None:
    def error_message(path: Path) -> str:
        with pytest.raises(DataError) as caught:
            read_image(path)
        message = str(caught.value)
        assert message.startswith(f"{path}: ") and "\n" not in message and ";" in message
        return message.removeprefix(f"{path}: ")

    path = tmp_path / "picture"
    assert error_message(path).startswith("no such file")
    assert error_message(tmp_path).startswith("is a directory")
    for content in (b"", b"a text", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"):
        path.write_bytes(content)
        assert error_message(path).startswith(("this is not a PNG or JPEG picture", "this picture is damaged"))
    Image.fromarray(drawn.astype(np.uint8)).save(path, format="GIF")
    assert error_message(path).startswith("this is not a PNG or JPEG picture")
    for kind in ("PNG", "JPEG"):
        whole = save(path, drawn, format=kind).read_bytes()
        for part in (0.3, 0.6, 0.9):
            path.write_bytes(whole[: int(part * len(whole))])
            assert error_message(path).startswith("this picture is damaged")
    for side in (5_000, 12_000, 60_000):  # too large for a Pi, for Pillow, for any computer
        write_bomb(path, side)
        assert error_message(path).startswith("this picture is too large")
