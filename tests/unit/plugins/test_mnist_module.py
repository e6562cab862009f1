"""MNIST: packed on the control node, and unpacked on a Pi, here two folders."""

import hashlib
import lzma
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from ansible_collections.mynn.pi.plugins.modules import mnist

IMAGES = "train-images-idx3-ubyte.xz"


class Pi:
    """A Pi's folder with all files of a small MNIST, the control node's archive, and what both are made of.

    It has 110 digits for training and 20 for testing, mostly background.
    """

    def __init__(self, folder: Path) -> None:
        self.source, self.archive, self.data = folder / "source", folder / "mnist.tar.gz", folder / "pi"
        self.source.mkdir()
        chance = random.Random(7)
        for part, count in (("train", 110), ("t10k", 20)):
            labels = bytes(chance.randrange(10) for _ in range(count))
            pixels = bytes(chance.choice((0, 0, 0, chance.randrange(256))) for _ in range(784 * count))
            for name, content in (("labels-idx1", bytes(8) + labels), ("images-idx3", bytes(16) + pixels)):
                (self.source / f"{part}-{name}-ubyte.xz").write_bytes(lzma.compress(content))
        self.files = {
            name: {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            for name, content in mnist.contents(self.source)
        }
        mnist.pack(self.source, self.archive, self.files)
        self.data.mkdir()
        self.unpack(*self.files)

    def unpack(self, *names: str) -> None:
        mnist.unpack(self.archive, self.data, self.files, list(names))


@pytest.fixture
def pi(tmp_path: Path) -> Pi:
    return Pi(tmp_path)


def test_a_damaged_source_is_noticed(pi: Pi) -> None:
    pi.archive.unlink()
    content = bytearray((pi.source / IMAGES).read_bytes())
    content[len(content) // 2] ^= 1
    (pi.source / IMAGES).write_bytes(content)
    with pytest.raises(mnist.DamagedError, match=r"source is damaged \(.+\): put it back with git checkout"):
        mnist.pack(pi.source, pi.archive, pi.files)
    assert not pi.archive.exists()


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(bytes(path.stat().st_size)),
        lambda path: path.chmod(0o666),
        lambda path: path.rename(path.with_name("elsewhere")) and path.symlink_to("elsewhere"),
    ],
    ids=["overwritten", "open to all", "a link"],
)
def test_a_damaged_file_is_noticed_and_replaced(damage: Callable[[Path], object], pi: Pi) -> None:
    damage(pi.data / "mnist_test.csv")
    assert mnist.wanted(pi.data, pi.files) == ["mnist_test.csv"]
    pi.unpack("mnist_test.csv")
    assert mnist.wanted(pi.data, pi.files) == []


def test_a_damaged_archive_never_replaces_a_file(pi: Pi) -> None:
    before = {path.name: path.read_bytes() for path in pi.data.iterdir()}
    whole = pi.archive.read_bytes()
    for cut in (100, 20_000):
        pi.archive.write_bytes(whole[:cut])
        with pytest.raises(mnist.DamagedError, match="came damaged to the Pi"):
            pi.unpack(*pi.files)
    pi.archive.write_bytes(whole)
    pi.files = {name: content | {"sha256": "0" * 64} for name, content in pi.files.items()}
    with pytest.raises(mnist.DamagedError, match=r"mnist_train\.csv came damaged to the Pi; run the play again"):
        pi.unpack(*pi.files)
    assert {path.name: path.read_bytes() for path in pi.data.glob("[!.]*")} == before
