"""A small root file system, with everything that an image must keep or leave out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

DAY = 24 * 60 * 60
EPOCH = 20_000 * DAY  # 4 October 2024

OURS = {
    "boot/firmware/vmlinuz-6.12.107+deb13-rpi": os.urandom(100_000) + bytes(9000),
    "boot/firmware/overlays/dwc2.dtbo": b"overlay",
    "boot/firmware/config.txt": b"gpu_mem=16\nkernel=vmlinuz-6.12.107+deb13-rpi\n",
    "etc/fstab": b"PARTUUID=6d796e6e-02 / ext4 noatime 0 1\nPARTUUID=6d796e6e-01 /boot/firmware vfat noatime 0 0\n",
    "etc/ssl/certs/F\u0151tan\u00fas\u00edtv\u00e1ny.pem": b"a certificate",
    "home/pi/.profile": b"# mine\n",
    "usr/bin/su": b"\x7fELF" + os.urandom(50_000),
    "usr/lib/os-release": b'PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\nID=debian\nVERSION_ID="13"\n',
    "srv/zeros": bytes(100_000),
    "var/lib/dpkg/arch": b"armel\n",
    "var/lib/dpkg/status": b"""Package: linux-image-6.12.107+deb13-rpi
Status: install ok installed
Architecture: armel
Source: linux-signed-armel (6.12.107+1)
Built-Using: linux (= 6.12.107-1)
Maintainer: Debian <debian@debian.example>
Version: 6.12.107-1

Package: python3-numpy
Status: install ok installed
Architecture: armel
Source: numpy (1:2.2.4+ds-1)
Maintainer: Debian <debian@debian.example>
Version: 1:2.2.4+ds-1+b2
Description: numbers, fast
 Status: this is no field
 .

Package: gone
Status: deinstall ok config-files
Architecture: all
Version: 1
""",
    "opt/mynn/venv/lib/python3.13/site-packages/notebook-7.6.0.dist-info/METADATA": b"Metadata-Version: 2.1\n"
    b"Name: notebook\nVersion: 7.6.0\n",
    "opt/mynn/venv/lib/python3.13/site-packages/mynn-0.1.dist-info/METADATA": b"Metadata-Version: 2.1\n"
    b"Name: mynn\nVersion: 0.1\n",
}
OLD = "usr/lib/os-release"  # older than the epoch
LEFT_BEHIND = {
    "dev/null-of-the-build": b"",
    "proc/1/status": b"",
    "run/lock/apt": b"",
    "sys/kernel": b"",
    "tmp/scratch": b"scratch",
    "var/tmp/scratch": b"scratch",
    "var/cache/apt/pkgcache.bin": bytes(1000),
    "var/lib/apt/lists/partial/a-mirror": b"packages",
    "var/log/dpkg.log": b"a log",
    "var/log/journal/system.journal": b"a journal",
}


def make_root(root: Path, now: float, more: dict[str, bytes]) -> Path:
    """Create the file system, with more files, all from a given time after the epoch."""
    if os.geteuid():
        pytest.skip("only root can change the owner of files: run pytest as root")
    for name, content in {**OURS, **LEFT_BEHIND, **more}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (root / "usr/bin/su").chmod(0o4755)
    (root / "bin").symlink_to("usr/bin")
    os.chown(root / "home/pi", 1000, 1000)
    os.chown(root / "home/pi/.profile", 1000, 1000)
    for path in [*root.rglob("*"), root]:
        os.utime(path, (now, now), follow_symlinks=False)
    os.utime(root / OLD, (EPOCH - 10 * DAY, EPOCH - 10 * DAY))
    return root
