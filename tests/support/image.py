"""Read an SD card image, and check that a Pi finds what it boots from, and that it contains nothing private."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

ROLE = Path(__file__).resolve().parents[2] / "roles/image"
# The images and their boards.
TABLE: list[dict[str, Any]] = yaml.safe_load((ROLE / "vars/main.yml").read_text(encoding="utf-8"))["__image_table"]

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
SECRETS = [
    *("etc/ssh/ssh_host_*", "etc/jupyter/password*", "etc/mynn-desk/password", "etc/apt/apt.conf.d/99mmdebstrap"),
    *("var/lib/systemd/random-seed", "var/lib/systemd/credential.secret"),
    *(
        f"{home}/{name}"
        for home in ("root", "home/*")
        for name in (".ssh/authorized_keys", ".bash_history", ".ansible")
    ),
]


class Image:
    """An image with two partitions, FAT and ext4, from roles/image or of Raspberry Pi OS."""

    def __init__(self, path: Path) -> None:
        self.path = path
        output = subprocess.run(["sfdisk", "--json", path], check=True, stdout=subprocess.PIPE).stdout
        self.table = json.loads(output)["partitiontable"]
        self.boot, self.root = (partition["start"] * SECTOR for partition in self.table["partitions"])

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
        """Run a debugfs request on the ext4 partition."""
        argv = ["debugfs", "-R", request, f"{self.path}?offset={self.root}"]
        return subprocess.run(argv, check=True, capture_output=True).stdout


def unpack(disk: Path) -> Path:
    """Return a folder with all that is in an image."""
    root = ROLE.parents[1] / "build/image-tests/root"
    shutil.rmtree(root, ignore_errors=True)
    root.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run([ROLE / "files/unpack", disk, "", root], check=True)
    return root


def config(read: Callable[[str], bytes], name: str = "config.txt") -> Iterator[tuple[str, str]]:
    """Yield the settings of config.txt that apply to a Pi Zero or 1, as key and value."""
    counts = True
    for line in read(name).decode().splitlines():
        line = line.partition("#")[0].strip()
        if found := re.fullmatch(r"\[(.*)\]", line):
            counts = found[1].lower() in FILTERS
        elif counts and (found := re.fullmatch(r"(include|initramfs)\s+(\S+).*", line)):
            if found[1] == "include":
                yield from config(read, found[2])
            else:
                yield "initramfs", found[2]
        elif counts and "=" in line:
            key, _, value = line.partition("=")
            yield key.strip(), value.strip()


def firmware_faults(boot: Path) -> Iterator[str]:
    """Yield what the firmware of a Pi would not find on its partition; an emulated Pi needs none."""
    lines = list(config(lambda name: (boot / name).read_bytes()))
    settings = dict(lines)
    smallest = "_cd" if settings.get("gpu_mem") == "16" else ""  # the cut-down firmware
    kernel = settings.get("kernel") or ("kernel.img" if (boot / "kernel.img").exists() else "kernel7.img")
    debian = BOARDS.get(kernel.rpartition("-")[2], BOARDS["rpi"])
    trees = debian if settings.get("upstream_kernel") == "1" else RASPBERRY.get(kernel, RASPBERRY["kernel.img"])
    needed = ["bootcode.bin", f"start{smallest}.elf", f"fixup{smallest}.dat", "start.elf", "fixup.dat", *trees]
    needed += [f"overlays/{value.partition(',')[0]}.dtbo" for key, value in lines if key == "dtoverlay" and value]
    if "bcm2711-rpi-4-b.dtb" in trees:
        needed += [f"start4{smallest.strip('_')}.elf", f"fixup4{smallest.strip('_')}.dat"]
        packed = (boot / settings["initramfs"]).read_bytes()  # modules are compressed one by one: names are readable
        for driver in CARD_DRIVERS:
            if f"/{driver}".encode() not in packed:
                yield f"the initramfs has no {driver}: the kernel would not find its card"
    for name in needed:
        if not (boot / name).exists() or not (boot / name).read_bytes().strip():
            yield f"{name} is missing on the FAT partition, or empty"


def trace_faults(root: Path) -> Iterator[str]:
    """Yield leftovers of the build, and secrets and identifiers that every card would share."""
    if (root / "etc/machine-id").read_text().strip() not in ("", "uninitialized"):
        yield "etc/machine-id: every card would have this"
    if (root / "var/lib/dbus/machine-id").exists() and not (root / "var/lib/dbus/machine-id").is_symlink():
        yield "var/lib/dbus/machine-id: every card would have this"
    for account, password, *_ in (line.split(":") for line in (root / "etc/shadow").read_text().splitlines()):
        if password.startswith("$"):
            yield f"etc/shadow: every card's {account} would have this password"
    for pattern in SECRETS:
        yield from (f"{path} must not be in an image" for path in root.glob(pattern))
    for folder in ("var/log", "var/cache/apt", "var/lib/apt/lists", "tmp", "var/tmp", "run"):
        yield from (f"{path} is left from the build" for path in (root / folder).rglob("*") if not path.is_dir())


def faults(root: Path) -> list[str]:
    """Return a description of each fault in an image that was unpacked."""
    return [*firmware_faults(root / "boot/firmware"), *trace_faults(root)]
