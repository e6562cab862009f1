"""A root file system with everything that an image must keep or leave out, and the image of it."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from tests.support.programs import ROOT
from tests.unit.image.card import Card

DISK = ROOT / "roles/image/files/disk"
BOOT, ROOM = 160, 12  # MiB
EPOCH = 20_000 * 24 * 60 * 60  # 4 October 2024
# Units enabled in Raspberry Pi OS Lite of 2026 that act at first boot or, like cloud-init, at each boot.
VENDOR = yaml.safe_load((ROOT / "roles/image/vars/main.yml").read_text(encoding="utf-8"))["__image_masked"]
CMDLINE = (
    "console=serial0,115200 console=tty1 root=PARTUUID=3d1e6f2a-02 rootfstype=ext4 fsck.repair=yes rootwait quiet "
    "init=/usr/lib/raspberrypi-sys-mods/firstboot resize ds=nocloud;i=rpi-imager-1 cfg80211.ieee80211_regdom=GB\n"
)
STATUS = """Package: python3-numpy
Status: install ok installed
Architecture: armel
Source: numpy (1:2.2.4+ds-1)
Maintainer: Debian <debian@debian.example>
Version: 1:2.2.4+ds-1+b2
"""
FILES = {
    "boot/firmware/overlays/dwc2.dtbo": os.urandom(100_000),
    "boot/firmware/config.txt": b"gpu_mem=16\n",
    "boot/firmware/cmdline.txt": CMDLINE.encode(),
    "boot/firmware/rpi-preseed.toml": b"# nothing is set\r\n",
    "etc/fstab": b"PARTUUID=6d796e6e-02 / ext4 noatime 0 1\n",
    "etc/ssl/certs/F\u0151tan\u00fas\u00edtv\u00e1ny.pem": b"a certificate",
    "etc/systemd/system/ssh.service": b"",
    "home/pi/.profile": b"# mine\n",
    "srv/zeros": bytes(1 << 20),
    "usr/bin/su": b"\x7fELF" + os.urandom(50_000),
    "var/lib/dpkg/arch": b"armel\n",
    "var/lib/dpkg/status": STATUS.encode(),
    "opt/mynn/venv/lib/python3.13/site-packages/notebook-7.6.0.dist-info/METADATA": b"Name: notebook\nVersion: 7.6.0\n",
    **{f"usr/lib/systemd/system/{name}": b"[Install]\nWantedBy=multi-user.target\n" for name in VENDOR},
}
LEFT_BEHIND = [
    *("dev/null-of-the-build", "proc/1/status", "run/lock/apt", "sys/kernel", "tmp/scratch", "var/tmp/scratch"),
    *("var/cache/apt/pkgcache.bin", "var/lib/apt/lists/partial/a-mirror", "var/log/dpkg.log"),
]


class Built(NamedTuple):
    """A root file system, and its image."""

    root: Path
    image: Path


def set_times(root: Path, now: float) -> None:
    """Give all files a time."""
    for path in [*root.rglob("*"), root]:
        os.utime(path, (now, now), follow_symlinks=False)


def make_disk(root: Path, image: Path) -> subprocess.CompletedProcess[str]:
    """Run the role's script."""
    command: list[str | Path] = [DISK, root, image, str(EPOCH), str(ROOM), str(BOOT)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Card:
    """A card, in a network that does not change: this computer's does, with the virtual Pis of other tests."""
    program = tmp_path / "bin/hostname"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho 192.0.2.7\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return Card(tmp_path / "card")


@pytest.fixture(scope="session")
def built() -> Iterator[Built]:
    (ROOT / "build").mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="a disk-", dir=ROOT / "build"))  # not in /tmp: a tmpfs may have no holes
    root, image = folder / "root", folder / "a.img"
    for name, content in {**FILES, **dict.fromkeys(LEFT_BEHIND, b"left")}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    (root / "usr/bin/su").chmod(0o4755)
    (root / "bin").symlink_to("usr/bin")
    if os.geteuid() == 0:
        os.chown(root / "home/pi", 1000, 1000)
    set_times(root, EPOCH + 100)
    done = make_disk(root, image)
    assert done.returncode == 0, done.stderr
    yield Built(root, image)
    shutil.rmtree(folder)
