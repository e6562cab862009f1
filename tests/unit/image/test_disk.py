"""From a folder to a card's image and back: roles/image/files/disk and unpack, and tasks/raspberry.yml."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.support.image import Image
from tests.support.programs import ROOT
from tests.unit.image.rootfs import DAY, EPOCH, LEFT_BEHIND, OLD, make_root

DISK = ROOT / "roles/image/files/disk"
MIB = 1 << 20
BOOT, ROOM = 160, 12  # MiB
MKE2FS = subprocess.run(["mke2fs", "-V"], capture_output=True, text=True, check=False).stderr
reproducible = pytest.mark.skipif(
    [int(number) for number in re.findall(r"\d+", MKE2FS)[1:4]] < [1, 47, 1],
    reason="mke2fs before 1.47.1 stores the time of the build; Debian 13 has a newer one",
)
# Units enabled in Raspberry Pi OS Lite of 2026 that act at first boot or, like cloud-init, at each boot.
VENDOR = yaml.safe_load((ROOT / "roles/image/vars/main.yml").read_text(encoding="utf-8"))["__image_masked"]
CMDLINE = (
    "console=serial0,115200 console=tty1 root=PARTUUID=3d1e6f2a-02 rootfstype=ext4 fsck.repair=yes rootwait quiet "
    "init=/usr/lib/raspberrypi-sys-mods/firstboot resize ds=nocloud;i=rpi-imager-1 cfg80211.ieee80211_regdom=GB\n"
)
PLAYBOOK = """
- hosts: localhost
  connection: local
  gather_facts: false
  tasks:
    - ansible.builtin.include_role: { name: image, tasks_from: raspberry, public: true }
      vars: { __image_stage: STAGE, image_from: IMAGE }
"""


def make_disk(root: Path, image: Path, path: str = os.environ["PATH"]) -> subprocess.CompletedProcess[str]:
    command: list[str | Path] = [DISK, root, image, str(EPOCH), str(ROOM), str(BOOT)]
    return subprocess.run(command, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False)


def unpack(image: Path, total: str, root: Path) -> subprocess.CompletedProcess[str]:
    command: list[str | Path] = [DISK.with_name("unpack"), image, total, root]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@dataclass
class BuiltImage:
    """An image, and the folder it was made from, with the vendor's first boot."""

    root: Path
    image: Path


@pytest.fixture(scope="module")
def built() -> Iterator[BuiltImage]:
    build = ROOT / "build"
    build.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="a disk-", dir=build))  # not in /tmp, which may be a tmpfs
    files = {f"usr/lib/systemd/system/{name}": b"[Install]\nWantedBy=multi-user.target\n" for name in VENDOR}
    files |= {"boot/firmware/cmdline.txt": CMDLINE.encode(), "etc/systemd/system/ssh.service": b"[Service]\n"}
    built = BuiltImage(make_root(folder / "root", EPOCH + DAY, files), folder / "a.img")
    done = make_disk(built.root, built.image)
    assert done.returncode == 0, done.stderr
    yield built
    shutil.rmtree(folder)


def test_a_folder_comes_back_as_it_was(built: BuiltImage, tmp_path: Path) -> None:
    """With owners, modes and times; without what a build leaves behind."""
    there = tmp_path / "root"
    assert unpack(built.image, "", there).returncode == 0
    names = {path.relative_to(there) for path in there.rglob("*")} - {Path("lost+found")}
    left = {Path(name) for name in (*LEFT_BEHIND, "proc/1", "run/lock")}
    assert names == {path.relative_to(built.root) for path in built.root.rglob("*")} - left
    for name in names:
        found, wanted = (there / name).lstat(), (built.root / name).lstat()
        if not name.is_relative_to("boot/firmware"):  # FAT has no owners
            assert (found.st_mode, found.st_uid, found.st_gid) == (wanted.st_mode, wanted.st_uid, wanted.st_gid), name
        if stat.S_ISREG(wanted.st_mode):
            assert (there / name).read_bytes() == (built.root / name).read_bytes(), name
            assert found.st_mtime == (EPOCH - 10 * DAY if str(name) == OLD else EPOCH), name


def test_its_partitions_are_sound_aligned_and_have_free_space(built: BuiltImage) -> None:
    image = Image(built.image)
    assert image.table["id"] == "0x6d796e6e"
    assert [partition["type"] for partition in image.table["partitions"]] == ["c", "83"]
    assert (image.boot, image.root) == (4 * MIB, (4 + BOOT) * MIB)  # a card erases 4 MiB at once
    subprocess.run(["e2fsck", "-f", "-n", f"{built.image}?offset={image.root}"], check=True, capture_output=True)
    fields = dict(re.findall(r"^([\w ]+): +(\S+)", image.debugfs("stats -h").decode(), re.M))
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


def test_a_bad_folder_is_refused_with_a_message(built: BuiltImage, tmp_path: Path) -> None:
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
    with (root / "boot/firmware/large").open("wb") as file:
        file.truncate(200 * MIB)
    assert "Disk full" in refused(root)


@pytest.mark.parametrize(
    ("total", "contents", "sentence"),
    [
        ("0" * 64, b"x" * 4096, "it is another file, or damaged"),
        ("", b"x" * 4096, "does not have the two partitions of Raspberry Pi OS"),
    ],
)
def test_an_unsuitable_image_is_refused(tmp_path: Path, total: str, contents: bytes, sentence: str) -> None:
    (tmp_path / "card.img").write_bytes(contents)
    done = unpack(tmp_path / "card.img", total, tmp_path / "root")
    assert done.returncode != 0
    assert sentence in done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"card.img"}


@pytest.mark.slow
def test_the_vendors_first_boot_is_disabled(built: BuiltImage, tmp_path: Path) -> None:
    """In a root that the role makes from an image of Raspberry Pi OS: it boots our partition with systemd."""
    text = PLAYBOOK.replace("STAGE", str(tmp_path)).replace("IMAGE", f'"{tmp_path}/card.img.xz"')
    (tmp_path / "playbook.yml").write_text(text)
    with (tmp_path / "card.img.xz").open("wb") as packed:
        subprocess.run(["xz", "-0", "--stdout", built.image], stdout=packed, check=True)
    command = [Path(sys.executable).with_name("ansible-playbook"), tmp_path / "playbook.yml"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    root = tmp_path / "root"
    states = subprocess.run(["systemctl", f"--root={root}", "is-enabled", *VENDOR], capture_output=True, check=False)
    assert states.stdout.split() == [b"masked"] * len(VENDOR)
    words = (root / "boot/firmware/cmdline.txt").read_text().split()
    assert [word for word in words if word.startswith("root=")] == ["root=PARTUUID=6d796e6e-02"]
    assert not [word for word in words if word.startswith(("init=", "systemd.")) or word == "resize"]
    assert {"rootwait", "cfg80211.ieee80211_regdom=GB"} <= set(words)
