"""What repairs a torn superblock, and the checks of a card after a power cut: each finds what it is for."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.image import Image
from tests.support.power_cut import FILES, identity_faults, panic_boots_again, tear
from tests.unit.image.card import Card
from tests.unit.image.conftest import Built

pytestmark = [pytest.mark.root, pytest.mark.slow]


def test_a_torn_superblock_is_repaired_and_booted_again(tmp_path: Path) -> None:
    """In the initramfs. Its copy is of the moment when the root grew, and tells of a journal: e2fsck stops at that."""
    root = tmp_path / "root"
    root.touch()
    os.truncate(root, 160 << 20)
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-b", "4096", root], check=True)
    with root.open("r+b") as file:
        file.seek(32768 * 4096)
        copy = bytearray(file.read(1020))
        copy[96] |= 4  # needs_recovery
        file.seek(32768 * 4096)
        file.write(copy + crc32c(bytes(copy)).to_bytes(4, "little"))
    tear_and_repair(root)


def test_if_its_copies_are_torn_too_the_boot_block_has_one(built: Built, tmp_path: Path) -> None:
    root = tmp_path / "root"
    with built.image.open("rb") as image, root.open("wb") as file:
        image.seek(Image(built.image).root)
        shutil.copyfileobj(image, file)
    tear_and_repair(root)  # one so small has no copies


def tear_and_repair(root: Path) -> None:
    """Tear the superblock, and see that e2fsck alone gives up, and that the initramfs repairs it."""
    tear(root)
    assert subprocess.run(["e2fsck", "-y", root], capture_output=True, check=False).returncode & 8
    for needed in (True, False):  # not again and again
        assert panic_boots_again(root) == needed
        subprocess.run(["e2fsck", "-f", "-n", root], check=True, stdout=subprocess.DEVNULL)


def crc32c(content: bytes) -> int:
    """Return the checksum that ext4 uses."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc


def test_a_torn_file_of_the_first_boot_is_seen(tmp_path: Path) -> None:
    pi = Card(tmp_path)
    pi.boot()
    files = {path: (pi.root / path.lstrip("/")).read_bytes() for path in FILES if "student" not in path}
    this_pi = pi.read("boot/firmware/this-pi.txt")
    assert not [*identity_faults(files, this_pi)]
    for path, content in files.items():
        for torn in (b"", content[: len(content) // 2], bytes(len(content))):
            assert [*identity_faults(files | {path: torn}, this_pi)], path
    assert [*identity_faults(files, this_pi[:-60])]
    assert [*identity_faults(files, this_pi.replace(pi.fact("Password"), "another"))]
