"""MNIST: packed on the control node, and unpacked on a Pi, here two folders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ansible_collections.mynn.pi.plugins.modules import mnist
from tests.support.small_mnist import IMAGES, files_of, make_source


class Pi:
    """A Pi's folder with all files of the small MNIST, and the control node's archive."""

    def __init__(self, folder: Path) -> None:
        self.source, self.archive, self.data = make_source(folder / "source"), folder / "mnist.tar.gz", folder / "pi"
        self.files = files_of(self.source)
        mnist.pack(self.source, self.archive, self.files)
        self.data.mkdir()
        self.unpack(*self.files)

    def unpack(self, *names: str) -> None:
        mnist.unpack(self.archive, self.data, self.files, list(names))


@pytest.fixture
def pi(tmp_path: Path) -> Pi:
    return Pi(tmp_path)


def test_a_damaged_cache_or_source_is_noticed(pi: Pi) -> None:
    assert mnist.is_good(pi.archive, pi.files)
    pi.archive.write_bytes(pi.archive.read_bytes()[:-9])
    assert not mnist.is_good(pi.archive, pi.files)
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
