"""Make an SD card image from a folder, without mounts: roles/image/files/disk."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.image import Image
from tests.support.programs import ROOT
from tests.unit.image.rootfs import DAY, EPOCH, LEFT_BEHIND, OLD, OURS, make_root

DISK = ROOT / "roles/image/files/disk"
MIB = 1 << 20
BOOT, ROOM = 160, 12  # MiB
MKE2FS = subprocess.run(["mke2fs", "-V"], capture_output=True, text=True, check=False).stderr
reproducible = pytest.mark.skipif(
    [int(number) for number in re.findall(r"\d+", MKE2FS)[1:4]] < [1, 47, 1],
    reason="mke2fs before 1.47.1 stores the time of the build; Debian 13 has a newer one",
)


def make_disk(root: Path, image: Path, path: str = os.environ["PATH"]) -> subprocess.CompletedProcess[str]:
    command: list[str | Path] = [DISK, root, image, str(EPOCH), str(ROOM), str(BOOT)]
    return subprocess.run(command, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False)


@dataclass
class BuiltImage:
    """An image, the folder it was made from, and copies of its two partitions."""

    root: Path
    image: Path
    boot: Path
    partition: Path


@pytest.fixture(scope="module")
def built() -> Iterator[BuiltImage]:
    build = ROOT / "build"
    build.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="a disk-", dir=build))  # not in /tmp, which may be a tmpfs
    built = BuiltImage(make_root(folder / "root", EPOCH + DAY), folder / "a.img", folder / "boot", folder / "partition")
    done = make_disk(built.root, built.image)
    assert done.returncode == 0, done.stderr
    split(built.image, built.boot, built.partition)
    yield built
    shutil.rmtree(folder)


def split(image: Path, boot: Path, partition: Path) -> None:
    """Copy an image's partitions to files."""
    found = Image(image)
    with image.open("rb") as file:
        file.seek(found.boot)
        boot.write_bytes(file.read(found.root - found.boot))
        partition.write_bytes(file.read())


def test_partitions_are_aligned_to_a_cards_erase_blocks(built: BuiltImage) -> None:
    image = Image(built.image)
    assert image.partuuids == ["6d796e6e-01", "6d796e6e-02"]
    assert [partition["type"] for partition in image.table["partitions"]] == ["c", "83"]
    assert (image.boot, image.root) == (4 * MIB, (4 + BOOT) * MIB)
    assert built.image.stat().st_size % (4 * MIB) == 0


def test_the_file_systems_are_sound(built: BuiltImage) -> None:
    subprocess.run(["fsck.vfat", "-n", built.boot], check=True, stdout=subprocess.PIPE)
    subprocess.run(["e2fsck", "-f", "-n", built.partition], check=True, capture_output=True)


def test_the_firmware_reads_the_files_of_the_folder(built: BuiltImage) -> None:
    image = Image(built.image)
    expected = {name.removeprefix("boot/firmware/") for name in OURS if name.startswith("boot/firmware/")}
    assert image.boot_names() == expected
    for name in expected:
        assert image.boot_read(name) == OURS[f"boot/firmware/{name}"]


def test_files_owners_modes_and_times_are_kept(built: BuiltImage, tmp_path: Path) -> None:
    subprocess.run(["debugfs", "-R", f"rdump / {tmp_path}", built.partition], check=True, capture_output=True)
    there = {path.relative_to(tmp_path) for path in tmp_path.rglob("*")} - {Path("lost+found")}
    left = ("boot/firmware", "dev", "proc", "run", "sys", "tmp", "var/tmp")
    paths = {path.relative_to(built.root) for path in built.root.rglob("*")} - set(map(Path, LEFT_BEHIND))
    assert there == {path for path in paths if not any(Path(folder) in path.parents for folder in left)}
    image = Image(built.image)
    for name in there:
        found, wanted = (tmp_path / name).lstat(), (built.root / name).lstat()
        assert image.names(str(name.parent))[name.name] == wanted.st_mode, name  # debugfs extracts no set-user-ID bit
        assert (found.st_uid, found.st_gid) == (wanted.st_uid, wanted.st_gid), name
        if stat.S_ISREG(wanted.st_mode):
            assert (tmp_path / name).read_bytes() == (built.root / name).read_bytes(), name
            assert found.st_mtime == (EPOCH - 10 * DAY if str(name) == OLD else EPOCH), name


def test_there_is_free_space_for_the_first_boot(built: BuiltImage) -> None:
    output = subprocess.run(["dumpe2fs", "-h", built.partition], check=True, capture_output=True, text=True).stdout
    fields = dict(re.findall(r"^([\w ]+): +(\S+)", output, re.M))
    free = (int(fields["Free blocks"]) - int(fields["Reserved block count"])) * int(fields["Block size"])
    assert ROOM * MIB <= free <= 2 * ROOM * MIB
    assert int(fields["Free inodes"]) > 4000


@reproducible
def test_the_image_is_reproducible(built: BuiltImage, tmp_path: Path) -> None:
    other = tmp_path / "root"
    subprocess.run(["cp", "--archive", built.root, other], check=True)
    for path in other.rglob("*"):
        if path.relative_to(other) != Path(OLD):
            os.utime(path, (EPOCH + 9 * DAY, EPOCH + 9 * DAY), follow_symlinks=False)
    (other / "var/log/another.log").write_text("another build's")
    image = tmp_path / "b.img"
    assert make_disk(other, image).returncode == 0
    assert subprocess.run(["cmp", built.image, image], check=False).returncode == 0


def test_bad_input_is_refused_with_a_message(built: BuiltImage, tmp_path: Path) -> None:
    def refused(root: Path, path: str = os.environ["PATH"]) -> str:
        done = make_disk(root, tmp_path / "c.img", path)
        assert done.returncode != 0
        assert not list(tmp_path.glob("*c.img*"))
        return done.stderr.strip().splitlines()[-1]

    assert "is not a finished root" in refused(tmp_path)
    (tmp_path / "tools").mkdir()
    assert "apt install genimage mtools" in refused(built.root, path=str(tmp_path / "tools"))
    root = tmp_path / "root"
    subprocess.run(["cp", "--archive", built.root, root], check=True)
    link = root / "boot/firmware/link"
    link.symlink_to("config.txt")
    assert "which FAT cannot store" in refused(root)
    link.unlink()
    with link.open("wb") as file:
        file.truncate(200 * MIB)
    assert "Disk full" in refused(root)
