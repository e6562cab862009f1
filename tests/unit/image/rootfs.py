"""A small root file system, with everything that an image must keep or leave out."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

DAY = 24 * 60 * 60
EPOCH = 20_000 * DAY  # 4 October 2024
# The attribute that setcap writes for ping: the net_raw capability, permitted and effective.
CAPABILITY = struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0)

OURS = {
    "boot/firmware/bootcode.bin": b"boot" * 300,
    "boot/firmware/start.elf": b"start" * 5000,
    "boot/firmware/fixup.dat": b"fixup" * 100,
    "boot/firmware/start_cd.elf": b"less" * 5000,
    "boot/firmware/fixup_cd.dat": b"less" * 100,
    "boot/firmware/bcm2835-rpi-zero.dtb": b"zero",
    "boot/firmware/bcm2835-rpi-zero-w.dtb": b"zero w",
    "boot/firmware/bcm2835-rpi-b.dtb": b"b",
    "boot/firmware/bcm2835-rpi-b-plus.dtb": b"b plus",
    "boot/firmware/vmlinuz-6.12.107+deb13-rpi": os.urandom(100_000) + bytes(9000),
    "boot/firmware/initrd.img-6.12.107+deb13-rpi": b"initrd" * 9999,
    "boot/firmware/overlays/dwc2.dtbo": b"overlay",
    "boot/firmware/config.txt": b"upstream_kernel=1\ngpu_mem=16\nkernel=vmlinuz-6.12.107+deb13-rpi\n[pi4]\n"
    b"kernel=other\n[all]\ninitramfs initrd.img-6.12.107+deb13-rpi followkernel\ndtoverlay=dwc2,dr_mode=peripheral\n",
    "boot/firmware/cmdline.txt": b"console=tty0 root=PARTUUID=6d796e6e-02 rootwait quiet\n",
    "etc/fstab": b"PARTUUID=6d796e6e-02 / ext4 noatime 0 1\nPARTUUID=6d796e6e-01 /boot/firmware vfat noatime 0 0\n",
    "etc/debian_version": b"13.2\n",
    "etc/apt/sources.list": b"deb http://debian.example/debian trixie main\n"
    b"deb http://security.example/debian-security trixie-security main\n",
    "etc/machine-id": b"",
    "etc/shadow": b"root:*:20000::::::\npi:!:20000::::::\n",
    "etc/ssl/certs/F\u0151tan\u00fas\u00edtv\u00e1ny.pem": b"a certificate",
    "home/pi/.profile": b"# mine\n",
    "usr/bin/ping": b"\x7fELF" + os.urandom(50_000),
    "usr/bin/su": b"\x7fELF" + os.urandom(5000),
    "usr/bin/perl": b"\x7fELF" + os.urandom(5000),
    "usr/lib/os-release": b'PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\nID=debian\nVERSION_ID="13"\n',
    "srv/empty": b"",
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


def make_root(root: Path, now: float) -> Path:
    """Create the file system, with files from a given time after the epoch."""
    if os.geteuid():
        pytest.skip("only root can change the owner of files: run pytest as root")
    for name, content in {**OURS, **LEFT_BEHIND}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (root / "usr/bin/su").chmod(0o4755)
    os.setxattr(root / "usr/bin/ping", "security.capability", CAPABILITY)
    os.setxattr(root / "srv", "user.note", b"for the class")
    (root / "usr/bin/perl5.40").hardlink_to(root / "usr/bin/perl")
    (root / "bin").symlink_to("usr/bin")
    (root / "srv/long").symlink_to("../" + "usr/" * 40)
    os.mkfifo(root / "srv/fifo")
    os.chown(root / "home/pi", 1000, 1000)
    os.chown(root / "home/pi/.profile", 1000, 1000)
    os.chown(root / "var/log/journal", 0, 999)
    (root / "var/log/journal").chmod(0o2755)
    (root / "tmp").chmod(0o1777)
    for path in [*root.rglob("*"), root]:
        os.utime(path, (now, now), follow_symlinks=False)
    os.utime(root / OLD, (EPOCH - 10 * DAY, EPOCH - 10 * DAY))
    return root
