"""A card's image like that of Raspberry Pi OS Lite (32-bit), made from Debian's armhf.

A test cannot fetch the real one, and no Pi of QEMU's runs its ARMv6. What `make image FROM=` meets is as pi-gen leaves
it: the vendor's first boot and a root of its own on the kernel's command line, its names of kernel and device tree,
cloud-init, netplan and NetworkManager, a swap file, and a compiler.
"""

import shutil
import subprocess
from pathlib import Path

from tests.support.classroom import ROOT
from tests.virtual import raspios
from tests.virtual.host import apt_settings, apt_sources, cache_folder
from tests.virtual.root import Recipe

PACKAGES = """
alsa-utils apt-listchanges avahi-daemon bash-completion build-essential ca-certificates console-setup dbus
debconf-utils e2fsprogs ed fdisk file firmware-brcm80211 gdb initramfs-tools iproute2 iw keyboard-configuration
kmod less libpam-systemd linux-image-armmp locales man-db nano ncdu netbase openssh-server parted pkg-config
polkitd procps psmisc python-is-python3 python3 python3-apt python3-venv rfkill sudo systemd-sysv
systemd-timesyncd udev usbutils wireless-regdb wpasupplicant"""
# The initramfs of Debian's kernel cannot detect under emulation what it needs; Raspberry Pi OS's kernel needs nothing.
ESSENTIAL = """set -e
mkdir -p "$1/etc/initramfs-tools/conf.d"
echo FSTYPE=ext4 > "$1/etc/initramfs-tools/conf.d/fstype"
printf '%s\\n' mmc_block bcm2835 sdhci-iproc > "$1/etc/initramfs-tools/modules"
"""
CUSTOMIZE = """set -e
echo raspberrypi > "$1/etc/hostname"
printf '%s\\t%s\\n' 127.0.0.1 localhost ::1 'localhost ip6-localhost' 127.0.1.1 raspberrypi > "$1/etc/hosts"
printf '%s\\n' 'proc /proc proc defaults 0 0' 'PARTUUID=3d1e6f2a-01 /boot/firmware vfat defaults 0 2' \\
    'PARTUUID=3d1e6f2a-02 / ext4 defaults,noatime 0 1' > "$1/etc/fstab"
mkdir -p "$1/boot/firmware"
cd "$1/boot/firmware"
cp ../vmlinuz-* kernel7.img
cp ../initrd.img-* initramfs7
cp ../../usr/lib/linux-image-*/bcm2836-rpi-2-b.dtb bcm2709-rpi-2-b.dtb
for firmware in bootcode.bin start.elf fixup.dat start_cd.elf fixup_cd.dat; do
    echo 'QEMU starts the kernel without it' > $firmware
done
printf '%s\\n' 'auto_initramfs=1' '[pi4]' 'arm_boost=1' '[all]' 'dtparam=audio=on' > config.txt
echo 'console=serial0,115200 console=tty1 root=PARTUUID=3d1e6f2a-02 rootfstype=ext4 fsck.repair=yes rootwait quiet' \\
    'init=/usr/lib/raspberrypi-sys-mods/firstboot resize cfg80211.ieee80211_regdom=GB' > cmdline.txt
"""


def raspberry_card() -> Path:
    """Return such an image; the first time on a computer, it takes some minutes to make."""
    recipe = Recipe(
        "raspberry-card",
        "trixie",
        (*PACKAGES.split(), *raspios.PACKAGES),
        CUSTOMIZE + raspios.CUSTOMIZE,
        # As in Raspberry Pi OS, there is no suite of security updates.
        [f"{line} non-free-firmware" for line in apt_sources("trixie")[:1]],
        apt_settings(),
        ("--architectures=armhf", "--components=main,non-free-firmware", f"--essential-hook={ESSENTIAL}"),
    )
    folder = cache_folder() / f"{recipe.kind}-{recipe.key}"
    card, root = folder / "raspios-lite.img", folder / "root"
    if not card.exists():
        for old in cache_folder().glob(f"{recipe.kind}-*"):
            shutil.rmtree(old)
        folder.mkdir(parents=True)
        subprocess.run(["unshare", "--mount", *recipe.command(root)], check=True)
        subprocess.run([ROOT / "roles/image/files/disk", root, card, "1764547200", "300"], check=True)
        shutil.rmtree(root)
    return card
