"""Read an SD card image without mounting it, and check that it boots and contains nothing private.

python -m tests.support.image IMAGE.img
"""

from __future__ import annotations

import json
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

# The images and their boards.
TABLE: list[dict[str, Any]] = yaml.safe_load(
    (Path(__file__).resolve().parents[2] / "roles/image/vars/main.yml").read_text(encoding="utf-8")
)["__image_table"]

SECTOR = 512
# The device trees that the firmware needs, by the flavour of Debian's kernel.
BOARDS = {
    "rpi": ["bcm2835-rpi-zero.dtb", "bcm2835-rpi-zero-w.dtb", "bcm2835-rpi-b.dtb", "bcm2835-rpi-b-plus.dtb"],
    "armmp": ["bcm2836-rpi-2-b.dtb", "bcm2837-rpi-3-b.dtb", "bcm2711-rpi-4-b.dtb"],
    "arm64": ["bcm2837-rpi-3-b.dtb", "bcm2837-rpi-zero-2-w.dtb", "bcm2711-rpi-4-b.dtb"],
}
# Later Pis' SD card drivers, which are modules: for a Pi 2 and 3, and for a Pi 4.
CARD_DRIVERS = ("bcm2835.ko", "sdhci-iproc.ko")
# The device trees of Raspberry Pi OS, by its kernel: for Zero, Zero W and Pi 1, and for a Pi 2.
RASPBERRY = {
    "kernel.img": ["bcm2708-rpi-zero.dtb", "bcm2708-rpi-zero-w.dtb", "bcm2708-rpi-b.dtb", "bcm2708-rpi-b-plus.dtb"],
    "kernel7.img": ["bcm2709-rpi-2-b.dtb"],
}
# The sections of config.txt that apply to these Pis.
FILTERS = ("all", "pi0", "pi0w", "pi1")


class Image:
    """An image with two partitions, FAT and ext4, from roles/image or of Raspberry Pi OS."""

    def __init__(self, path: Path) -> None:
        self.path = path
        output = subprocess.run(["sfdisk", "--json", path], check=True, stdout=subprocess.PIPE).stdout
        self.table = json.loads(output)["partitiontable"]
        self.boot, self.root = (partition["start"] * SECTOR for partition in self.table["partitions"])

    @property
    def partuuids(self) -> list[str]:
        """The PARTUUIDs of the two partitions."""
        return [f"{self.table['id'].removeprefix('0x')}-{number:02}" for number in (1, 2)]

    def boot_names(self) -> set[str]:
        """Return the paths of all files in the FAT partition."""
        argv = ["mdir", "-b", "-/", "-i", f"{self.path}@@{self.boot}", "::/"]
        output = subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True).stdout
        return {line.removeprefix("::/") for line in output.splitlines() if not line.endswith("/")}

    def boot_read(self, name: str) -> bytes:
        """Return the contents of a file in the FAT partition."""
        argv = ["mtype", "-i", f"{self.path}@@{self.boot}", f"::/{name}"]
        return subprocess.run(argv, check=True, stdout=subprocess.PIPE).stdout

    def debugfs(self, request: str) -> bytes:
        """Run a debugfs request on the ext4 partition. Raises FileNotFoundError if it reports an error."""
        argv = ["debugfs", "-R", request, f"{self.path}?offset={self.root}"]
        done = subprocess.run(argv, check=True, capture_output=True)
        complaints = done.stderr.splitlines()[1:]  # the first line is its version
        if complaints:
            raise FileNotFoundError(f"{request}: {complaints[0].decode()}")
        return done.stdout

    def read(self, path: str) -> str:
        """Return a file in the ext4 partition, or an empty string if there is none."""
        try:
            return self.debugfs(f'cat "/{path}"').decode()
        except FileNotFoundError:
            return ""

    def names(self, folder: str) -> dict[str, int]:
        """Return the names in a folder of the ext4 partition, and their modes; empty if there is no such folder."""
        try:
            output = self.debugfs(f'ls -p "/{folder}"').decode()
        except FileNotFoundError:
            return {}
        found = {}
        for line in output.splitlines():
            _, _, mode, _, _, name, *_ = f"{line}//////".split("/")
            if name not in ("", ".", ".."):
                found[name] = int(mode, 8)
        return found

    def has(self, path: str) -> bool:
        """Return whether a path exists in the ext4 partition."""
        folder, _, name = path.strip("/").rpartition("/")
        return name in self.names(folder)

    def files(self, folder: str) -> Iterator[str]:
        """Yield the paths of all files below a folder of the ext4 partition."""
        for name, mode in self.names(folder).items():
            path = f"{folder}/{name}"
            if stat.S_ISDIR(mode):
                yield from self.files(path)
            else:
                yield path


def config(image: Image, name: str = "config.txt") -> Iterator[tuple[str, str]]:
    """Yield the settings of config.txt that apply to a Pi Zero or 1, as key and value."""
    counts = True
    for line in image.boot_read(name).decode().splitlines():
        line = line.partition("#")[0].strip()
        if found := re.fullmatch(r"\[(.*)\]", line):
            counts = found[1].lower() in FILTERS
        elif counts and (found := re.fullmatch(r"(include|initramfs)\s+(\S+).*", line)):
            if found[1] == "include":
                yield from config(image, found[2])
            else:
                yield "initramfs", found[2]
        elif counts and "=" in line:
            key, _, value = line.partition("=")
            yield key.strip(), value.strip()


def firmware_faults(image: Image) -> Iterator[str]:
    """Yield what the firmware, and then the kernel, of a Pi would not find."""
    there = image.boot_names()
    if "config.txt" not in there:
        yield "config.txt is missing"
        return
    settings = dict(config(image))
    overlays = [value.partition(",")[0] for key, value in config(image) if key == "dtoverlay" and value]
    smallest = "_cd" if settings.get("gpu_mem") == "16" else ""  # the cut-down firmware
    kernel = settings.get("kernel") or ("kernel.img" if "kernel.img" in there else "kernel7.img")
    named = kernel.replace("kernel", "initramfs").removesuffix(".img")
    initramfs = settings.get("initramfs", named if settings.get("auto_initramfs") == "1" else "(none named)")
    commands = settings.get("cmdline", "cmdline.txt")
    needed = ["bootcode.bin", f"start{smallest}.elf", f"fixup{smallest}.dat", "start.elf", "fixup.dat"]
    debian = BOARDS.get(kernel.rpartition("-")[2], BOARDS["rpi"])
    trees = debian if settings.get("upstream_kernel") == "1" else RASPBERRY.get(kernel, RASPBERRY["kernel.img"])
    later = "bcm2711-rpi-4-b.dtb" in trees
    if later:
        needed += [f"start4{smallest.strip('_')}.elf", f"fixup4{smallest.strip('_')}.dat"]
    needed += trees
    needed += [kernel, initramfs, commands, *(f"overlays/{overlay}.dtbo" for overlay in overlays)]
    for name in dict.fromkeys(needed):
        if name not in there:
            yield f"{name} is missing on the FAT partition"
        elif not image.boot_read(name).strip():
            yield f"{name} on the FAT partition is empty"
    if later and initramfs in there:
        packed = image.boot_read(initramfs)  # modules are compressed one by one, so their names are readable
        for driver in CARD_DRIVERS:
            if f"/{driver}".encode() not in packed:
                yield f"{initramfs} has no {driver}: the kernel would not find its card"
    if commands in there:
        words = dict(word.partition("=")[::2] for word in image.boot_read(commands).decode().splitlines()[0].split())
        if words.get("root", "") != f"PARTUUID={image.partuuids[1]}":
            yield f"{commands} has root={words.get('root')}, but the root is PARTUUID={image.partuuids[1]}"


def trace_faults(image: Image) -> Iterator[str]:
    """Yield leftovers of the build, and secrets and identifiers that every card would share."""
    for name in image.names("etc/ssh"):
        if name.startswith("ssh_host_"):
            yield f"etc/ssh/{name}: every card would have this key"
    if image.read("etc/machine-id").strip() not in ("", "uninitialized"):
        yield "etc/machine-id: every card would have this"
    machine_id = image.names("var/lib/dbus").get("machine-id")
    if machine_id is not None and not stat.S_ISLNK(machine_id):
        yield "var/lib/dbus/machine-id: every card would have this"
    for line in image.read("etc/shadow").splitlines():
        account, password, *_ = line.split(":")
        if password.startswith("$"):
            yield f"etc/shadow: every card's {account} would have this password"
    homes = ["root", *(f"home/{name}" for name in image.names("home"))]
    secrets = [
        "etc/apt/apt.conf.d/99mmdebstrap",
        "etc/jupyter/password",
        "var/lib/systemd/random-seed",
        "var/lib/systemd/credential.secret",
    ]
    secrets += [f"{home}/{name}" for home in homes for name in (".ssh/authorized_keys", ".bash_history", ".ansible")]
    for path in secrets:
        if image.has(path):
            yield f"{path} must not be in an image"
    for folder in ("var/log", "var/cache/apt", "var/lib/apt/lists", "tmp", "var/tmp", "run"):
        for path in image.files(folder):
            yield f"{path} is left from the build"


def faults(path: Path) -> list[str]:
    """Return a description of each fault in an image."""
    image = Image(path)
    return [*firmware_faults(image), *trace_faults(image)]


if __name__ == "__main__":
    found = faults(Path(sys.argv[1]))
    print("\n".join(found) or "No faults were found.")
    sys.exit(bool(found))
