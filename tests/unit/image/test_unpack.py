"""Unpack a vendor's image, such as Raspberry Pi OS, into a folder: roles/image/files/unpack."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

import pytest

from tests.unit.image.rootfs import CAPABILITY, DAY, EPOCH, OURS, make_root
from tests.unit.image.test_disk import DISK, make_disk

UNPACK = DISK.with_name("unpack")


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make an image from a small root."""
    folder = tmp_path_factory.mktemp("image")
    built = make_disk(make_root(folder / "root", EPOCH + DAY), folder / "card.img")
    assert built.returncode == 0, built.stderr
    return folder / "card.img"


def unpack(image: Path, total: str, root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([UNPACK, image, total, root], capture_output=True, text=True, check=False)


def sum_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("packed", [False, True])
def test_both_partitions_become_one_folder(image: Path, tmp_path: Path, packed: bool) -> None:
    if packed:
        subprocess.run(["xz", "--keep", "-0", image], check=True)
        image = image.with_name("card.img.xz")
    done = unpack(image, sum_of(image), tmp_path / "root")
    assert done.returncode == 0, done.stderr
    for name, contents in OURS.items():
        assert (tmp_path / "root" / name).read_bytes() == contents, name
    assert os.getxattr(tmp_path / "root/usr/bin/ping", "security.capability") == CAPABILITY
    assert [path.name for path in tmp_path.iterdir()] == ["root"]


@pytest.mark.parametrize(
    ("total", "contents", "sentence"),
    [
        ("0" * 64, b"x" * 4096, "it is another file, or damaged"),
        ("", b"x" * 4096, "does not have the two partitions of Raspberry Pi OS"),
        ("", None, "there is no image"),
    ],
)
def test_an_unsuitable_image_is_refused(tmp_path: Path, total: str, contents: bytes | None, sentence: str) -> None:
    if contents is not None:
        (tmp_path / "card.img").write_bytes(contents)
    done = unpack(tmp_path / "card.img", total, tmp_path / "root")
    assert done.returncode != 0
    assert sentence in done.stderr
    assert {path.name for path in tmp_path.iterdir()} <= {"card.img"}
