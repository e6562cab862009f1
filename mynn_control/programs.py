"""Install the Debian packages that commands of the Makefile and their tests need, unless they are there.

    python -m mynn_control.programs GROUP...

This runs before there is a virtual environment, so it uses the standard library only.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

# The program, file or Python module that is needed; its Debian package; the groups that need it.
TABLE = """
    ensurepip                                 python3-venv           venv
    gcc                                       gcc                    compiler
    /usr/include/math.h                       libc6-dev              compiler
    bmaptool                                  bmap-tools             card-tools
    mkfs.vfat                                 dosfstools             card-tools
    mke2fs                                    e2fsprogs              card-tools virtual-machines
    genimage                                  genimage               card-tools
    sfdisk                                    fdisk                  card-tools board-tools
    mcopy                                     mtools                 card-tools board-tools
    xz                                        xz-utils               card-tools board-tools
    apt-cacher-ng                             apt-cacher-ng          apt-cache
    chromium                                  chromium               browser
    firefox-esr                               firefox-esr            browser
    /usr/share/fonts/truetype/dejavu          fonts-dejavu-core      browser
    dropbear                                  dropbear-bin           ssh-server
    aarch64-linux-gnu-gcc                     gcc-aarch64-linux-gnu  compilers
    /usr/aarch64-linux-gnu/include/math.h     libc6-dev-arm64-cross  compilers
    arm-linux-gnueabihf-gcc                   gcc-arm-linux-gnueabihf  compilers
    /usr/arm-linux-gnueabihf/include/math.h   libc6-dev-armhf-cross  compilers
    arm-linux-gnueabi-gcc                     gcc-arm-linux-gnueabi  compilers
    /usr/arm-linux-gnueabi/include/math.h     libc6-dev-armel-cross  compilers
    arch-test                                 arch-test              image-tools
    qemu-arm                                  qemu-user              image-tools
    /usr/lib/binfmt.d/qemu-arm.conf           qemu-user-binfmt       image-tools
    mmdebstrap                                mmdebstrap             image-tools containers virtual-machines
    qemu-system-arm                           qemu-system-arm        board-tools
    fdtput                                    device-tree-compiler   board-tools
    eapol_test                                eapoltest              radius
    hostapd                                   hostapd                radius
    podman                                    podman                 containers
    nft                                       nftables               containers
    iptables                                  iptables               containers
    runc                                      runc                   old-containers
    qemu-system-x86_64                        qemu-system-x86        virtual-machines
    qemu-img                                  qemu-utils             virtual-machines
    fakeroot                                  fakeroot               unprivileged
    newuidmap                                 uidmap                 unprivileged
"""
GROUPS = {
    "venv": "Python environments",
    "compiler": "A C compiler for mynn's kernel",
    "compilers": "Compilers for the Pis' processors",
    "card-tools": "The tools that lay out and compress an SD card",
    "image-tools": "The tools that make an image",
    "board-tools": "An emulator of Pis",
    "apt-cache": "A cache of packages for the Pis",
    "browser": "Browsers for the tests",
    "radius": "A school's Wi-Fi for the tests",
    "ssh-server": "An SSH server for the tests",
    "containers": "Virtual Pis",
    "old-containers": "Virtual Pis with control groups of version 1",
    "virtual-machines": "Virtual Pis with kernels of their own",
    "unprivileged": "Virtual Pis without root",
}
# What `make test` installs, and so what its unit tests may use: tests/bare.py hides all other programs from them.
QUICK = ("venv", "compiler", "card-tools", "apt-cache", "browser", "ssh-server")
# Playbooks and tests start these themselves, so their services are masked.
SERVICES, SYSTEMD = ("apt-cacher-ng", "hostapd"), Path("/etc/systemd/system")
PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"  # which not every shell looks in
SUDO = [] if os.geteuid() == 0 else ["sudo", "--"]
PATIENCE = 300  # seconds to wait for another apt, such as that of unattended upgrades


class CannotInstallError(Exception):
    """Packages cannot be installed. The message says why, and what to do."""


def needed(*groups: str) -> dict[str, str]:
    """Return the things that groups need, with their packages."""
    rows = (line.split() for line in TABLE.strip().splitlines())
    return {thing: package for thing, package, *of in rows if {*of} & {*groups}}


def is_there(thing: str) -> bool:
    """Whether this computer has a program, a file or, without its path, a module of Python."""
    module = thing == "ensurepip" and importlib.util.find_spec(thing)
    return bool(module or shutil.which(thing, path=PATH) or Path("/", thing).exists())


def ensure(*groups: str) -> None:
    """Install the packages that groups lack. CannotInstallError: that is not possible here."""
    for group in groups:
        if packages := {package for thing, package in needed(group).items() if not is_there(thing)}:
            install(GROUPS[group], sorted(packages))


def install(purpose: str, packages: list[str]) -> None:
    """Install Debian packages."""
    if not shutil.which("apt-get"):
        raise CannotInstallError(
            f"{purpose}: this needs Debian 12 or 13 and its packages {' '.join(packages)}; this computer has no "
            "apt-get. (make site, verify, update, labels, desk, message, off, collect, handout, restore and reset do "
            "not need it.)"
        )
    if SUDO and not shutil.which("sudo"):
        raise CannotInstallError(
            f"{purpose}: this computer has no sudo: run 'apt-get install {' '.join(packages)}' as root, then run this "
            "again."
        )
    print(f"== {purpose}: {' '.join(packages)}", flush=True)
    masks = [f"/etc/systemd/system/{service}.service" for service in SERVICES if service in packages]
    for command in (
        *(["ln", "-sfn", "/dev/null", mask] for mask in masks if Path(mask).parent.is_dir()),
        ["apt-get", "-qq", "update"],
        [
            "apt-get",
            "-qqy",
            "-oDpkg::Use-Pty=0",
            f"-oDPkg::Lock::Timeout={PATIENCE}",
            "--no-install-recommends",
            "install",
            *packages,
        ],
    ):
        words = [*SUDO, "env", "DEBIAN_FRONTEND=noninteractive", *command]
        if subprocess.run(words, stdin=subprocess.DEVNULL, check=False).returncode:
            raise CannotInstallError(f"{purpose}: {' '.join(command)} failed; see above.")


def main() -> int:
    """Install what groups need, and return the exit code."""
    try:
        ensure(*sys.argv[1:])
    except CannotInstallError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
