"""Pictures as people make them: MNIST's own digits drawn on pages, photographed, turned inside out, come back."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from mynn import DataError, Examples, NeuralNetwork, read_csv
from mynn.arrays import Bytes
from mynn.images import MOST_PIXELS, frame, read_image

Page = NDArray[np.float64]  # brightness 0..255, (height, width)

COUNT = 100

# So much less of the pictures is read, at most. With three times as many digits and four networks the difference
# was between .04 less and .02 more, in each of the ways in which they are drawn below.
BAND = 0.06


@pytest.fixture(scope="module")
def digits(mnist: Path) -> Examples:
    return read_csv(mnist / "mnist_test.csv", COUNT)


@pytest.fixture(scope="module")
def network(mnist: Path) -> NeuralNetwork:
    """One that reads about 94 % of these digits as MNIST has them."""
    trained = NeuralNetwork(784, 50, 10, 0.1, seed=0)
    trained.fit(read_csv(mnist / "mnist_train.csv"))
    return trained


def ink(pixels: Bytes, scale: int) -> Page:
    """A digit so many times as large, smoothly: 0 (paper) to 1."""
    picture = Image.fromarray(pixels.reshape(28, 28)).resize((28 * scale, 28 * scale), Image.Resampling.BICUBIC)
    return np.asarray(picture) / 255


def page(pixels: Bytes, scale: int, shape: tuple[int, int], random: np.random.Generator) -> Page:
    """A digit somewhere on a page of this shape: 0 (paper) to 1 (ink)."""
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
    """Dark ink under a lamp at one side, with the soft shadow of a hand across the page, and grain."""
    drawn = page(pixels, 6, (300, 400), random)
    down, across = np.mgrid[-1:1:300j, -1:1:400j]
    light = 1 + 0.25 * across * random.choice([-1, 1]) - 0.1 * (across**2 + down**2)
    light *= 1 - 0.25 / (1 + np.exp(-12 * (across + down - random.uniform(-1, 1))))
    taken: Page = np.clip((190 - 100 * drawn) * light + random.normal(0, 12, drawn.shape), 0, 255)
    return taken


def pencil(pixels: Bytes, random: np.random.Generator) -> Page:
    """Pale strokes on paper with grain, in even light."""
    drawn = page(pixels, 6, (300, 400), random)
    return np.clip(200 - 50 * drawn + random.normal(0, 12, drawn.shape), 0, 255)


MAKERS = [scan, chalk, small, filling, photo, pencil]


@pytest.mark.parametrize("make", MAKERS)
def test_a_network_reads_pictures_as_well_as_mnist_itself(
    make: Callable[[Bytes, np.random.Generator], Page], digits: Examples, network: NeuralNetwork
) -> None:
    random = np.random.default_rng(1)
    framed = Examples(digits.labels, np.array([frame(make(pixels, random)) for pixels in digits.pixels]))
    assert network.score(framed) > network.score(digits) - BAND


@pytest.mark.parametrize("inside_out", [False, True])
def test_a_digit_of_mnist_comes_back_as_it_was(inside_out: bool, digits: Examples) -> None:
    differences = []
    for pixels in digits.pixels:
        framed = frame((255 - pixels if inside_out else pixels).reshape(28, 28))
        assert framed.shape == (784,) and framed.dtype == np.uint8
        difference = np.abs(framed.astype(int) - pixels).mean()
        differences.append(difference)
    assert np.quantile(differences, 0.9) < 4  # a pixel to the side would be 20


def test_the_ink_is_put_where_mnist_has_it() -> None:
    drawn = np.full((90, 300), 255)
    drawn[20:80, 30:60] = 0  # a bar, 60 high and 30 wide
    framed = frame(drawn).reshape(28, 28)
    rows, columns = np.nonzero(framed > 120)  # its edge is smoothed
    assert np.ptp(rows) + 1 == 20 and np.ptp(columns) + 1 == 10 and np.count_nonzero(framed) == 200

    drawn[72:80, 30:85] = 0  # with a foot to the right
    framed = frame(drawn).reshape(28, 28).astype(float)
    for axis in (0, 1):
        weights = framed.sum(axis=1 - axis)
        assert abs(weights @ np.arange(28) / weights.sum() - 14) <= 0.5


def test_specks_are_no_part_of_the_digit(digits: Examples) -> None:
    drawn = 255 - 255 * ink(digits.pixels[0], 8)
    dirty = drawn.copy()
    dirty[3:6, 200:203] = 0
    dirty[215:218, 10:12] = 0
    assert (frame(dirty) == frame(drawn)).all()


def save(path: Path, brightness: Page, mode: str = "L", **how: Any) -> Path:
    Image.fromarray(brightness.round().astype(np.uint8)).convert(mode).save(path, **how)
    return path


@pytest.fixture
def drawn(digits: Examples) -> Page:
    return scan(digits.pixels[0], np.random.default_rng(2))  # a 7


def near(one: Bytes, other: Bytes) -> bool:
    return bool(np.abs(one.astype(int) - other).mean() < 3)


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("grey.png", "L"),
        ("colour.png", "RGB"),
        ("palette.png", "P"),
        ("transparent.png", "RGBA"),
        ("greytransparent.png", "LA"),
        ("grey.jpg", "L"),
        ("colour.jpeg", "RGB"),
        ("print.jpg", "CMYK"),
        ("a name without a dot", "L"),
    ],
)
def test_every_kind_of_picture_is_read(name: str, mode: str, drawn: Page, tmp_path: Path) -> None:
    kind = "JPEG" if ".jp" in name else "PNG"
    assert near(read_image(save(tmp_path / name, drawn, mode, format=kind)), frame(drawn))


def test_a_black_and_white_picture_is_read(drawn: Page, tmp_path: Path) -> None:
    path = tmp_path / "two.png"
    Image.fromarray(drawn < 128).save(path)
    assert near(read_image(path), frame(np.where(drawn < 128, 255, 0)))


def test_sixteen_bits_are_read(drawn: Page, tmp_path: Path) -> None:
    path = tmp_path / "deep.png"
    Image.fromarray((drawn * 257).astype(np.uint16)).save(path)
    assert Image.open(path).mode.startswith("I")
    assert near(read_image(path), frame(drawn))


@pytest.mark.parametrize("pen", [(0, 0, 0), (255, 255, 255), (200, 30, 30)])
def test_what_is_transparent_is_paper(pen: tuple[int, int, int], drawn: Page, tmp_path: Path) -> None:
    alpha = np.clip((235 - drawn) / 205 * 255, 0, 255)
    picture = np.dstack([np.broadcast_to(pen, (*alpha.shape, 3)), alpha]).astype(np.uint8)
    path = tmp_path / "pen.png"
    Image.fromarray(picture).save(path)
    assert near(read_image(path), frame(drawn))


@pytest.mark.parametrize("light_on_dark", [False, True])
def test_paper_with_transparent_edges_is_paper(light_on_dark: bool, drawn: Page, tmp_path: Path) -> None:
    if light_on_dark:
        drawn = 255 - drawn
    opaque = np.full(drawn.shape, 255)
    opaque[:, :20] = opaque[:30] = 0
    path = tmp_path / "cut.png"
    Image.fromarray(np.dstack([drawn, drawn, drawn, opaque]).astype(np.uint8)).save(path)
    assert near(read_image(path), frame(drawn))


def test_a_transparent_colour_of_a_palette_is_paper(drawn: Page, tmp_path: Path) -> None:
    path = tmp_path / "palette.png"
    picture = Image.fromarray((drawn < 128).astype(np.uint8)).convert("P")
    picture.putpalette([0, 0, 0, 10, 10, 10])  # paper would be as dark as ink, were it not transparent
    picture.save(path, transparency=0)
    assert near(read_image(path), frame(np.where(drawn < 128, 0, 255)))


@pytest.mark.parametrize(("turn", "quarters"), [(1, 0), (3, 2), (6, 1), (8, 3)])
def test_a_phones_photo_is_turned_upright(turn: int, quarters: int, drawn: Page, tmp_path: Path) -> None:
    """A phone stores what its sensor sees, and beside it how it was held: 6 is to be turned a quarter clockwise."""
    exif = Image.Exif()
    exif[0x0112] = turn
    path = save(tmp_path / "photo.jpg", np.rot90(drawn, quarters), exif=exif, quality=95)
    assert near(read_image(path), frame(drawn))
    path = save(tmp_path / "photo.png", np.rot90(drawn, quarters), "RGBA", exif=exif)
    assert near(read_image(path), frame(drawn))


def test_a_large_photo_is_read_at_a_smaller_size(digits: Examples, tmp_path: Path) -> None:
    large = np.full((4000, 6000), 220.0)
    large[1000:2400, 2000:3400] -= 180 * ink(digits.pixels[0], 50)
    path = save(tmp_path / "large.jpg", large)
    assert large.size > MOST_PIXELS
    difference = read_image(path).astype(int) - frame(large.reshape(400, 10, 600, 10).mean(axis=(1, 3)))
    assert np.abs(difference).mean() < 10  # on the way it is made smaller in other steps


def nothing() -> dict[str, Page]:
    random = np.random.default_rng(3)
    across = np.linspace(0, 1, 300) * np.ones((200, 1))
    return {
        "white": np.full((50, 60), 255.0),
        "black": np.zeros((28, 28)),
        "one pixel": np.zeros((1, 1)),
        "lamp at one side": 120 + 100 * across,
        "grain": random.normal(128, 20, (300, 200)),
        "grain, small": random.normal(128, 20, (28, 28)),
        "strong grain": random.uniform(0, 255, (100, 100)),
        "specks": np.where(random.random((200, 200)) < 0.005, 0.0, 255.0),
        "grain under a lamp": 120 + 100 * across + random.normal(0, 8, across.shape),
    }


@pytest.mark.parametrize("what", nothing())
def test_nothing_in_the_picture_is_said(what: str, tmp_path: Path) -> None:
    path = save(tmp_path / "empty.png", np.clip(nothing()[what], 0, 255))
    with pytest.raises(DataError) as caught:
        read_image(path)
    assert str(caught.value).startswith(f"{path}: no digit can be seen")


def test_wholly_transparent_is_nothing_too(tmp_path: Path) -> None:
    Image.new("RGBA", (40, 40), (0, 0, 0, 0)).save(tmp_path / "empty.png")
    with pytest.raises(DataError, match=r"empty\.png: no digit can be seen"):
        read_image(tmp_path / "empty.png")


def bomb(path: Path, side: int) -> None:
    """A PNG of a few bytes that promises so many pixels a side."""
    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")]
    parts = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    ]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


def test_what_cannot_be_read_is_one_sentence(drawn: Page, tmp_path: Path) -> None:
    def complaint(path: Path) -> str:
        with pytest.raises(DataError) as caught:
            read_image(path)
        said = str(caught.value)
        assert said.startswith(f"{path}: ") and "\n" not in said and ";" in said
        return said.removeprefix(f"{path}: ")

    path = tmp_path / "picture"
    assert complaint(path).startswith("no such file")
    assert complaint(tmp_path).startswith("is a directory")
    for content in (b"", b"a text", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"):
        path.write_bytes(content)
        assert complaint(path).startswith(("this is not a PNG or JPEG picture", "this picture is damaged"))
    Image.fromarray(drawn.astype(np.uint8)).save(path, format="GIF")
    assert complaint(path).startswith("this is not a PNG or JPEG picture")
    for kind in ("PNG", "JPEG"):
        whole = save(path, drawn, format=kind).read_bytes()
        for part in (0.3, 0.6, 0.9):
            path.write_bytes(whole[: int(part * len(whole))])
            assert complaint(path).startswith("this picture is damaged")
    for side in (5_000, 12_000, 60_000):  # too large for a Pi, for Pillow's taste, for any computer
        bomb(path, side)
        assert complaint(path).startswith("this picture is too large")


def test_frame_says_what_it_needs() -> None:
    for wrong in (np.zeros(784), np.zeros((28, 28, 3)), np.zeros((0, 5)), np.full((28, 28), np.nan)):
        with pytest.raises(DataError, match="a picture is an array of brightness"):
            frame(wrong)
