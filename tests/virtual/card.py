"""The SD card of a board: a disk image, its FAT partition, and the settings that the firmware reads there.

The card is a sparse copy of an image, enlarged to the size of a real card. It is a raw file, not an overlay, because
mtools and e2fsck read nothing else.
"""

import os
import struct
import tempfile
from contextlib import suppress
from pathlib import Path

from .shell import VirtualError, run

_SECTOR = 512
_SMALLEST = 4 << 30
# The sections of config.txt that apply to a Pi Zero.
_SECTIONS = ("all", "pi0")


class Card:
    """An SD card: MBR, FAT boot partition, root partition."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write_image(self, image: Path) -> None:
        """Write an image (.img or .img.xz) to the card, atomically."""
        partial = self.path.with_suffix(".partial")
        copy = {
            ".img": 'cp --sparse=always --reflink=auto "$1" "$2"',
            ".xz": 'xz --decompress --stdout --threads=0 "$1" >"$2"',
        }.get(image.suffix)
        if not copy:
            raise VirtualError(f"{image} is not a card's image; give one that ends in .img or .img.xz.")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        run(["sh", "-c", copy, "copy", image, partial], doing=f"Copying {image.name} onto the card")
        # QEMU accepts only powers of two. There must be free space for the first boot to grow the root into.
        size = max(_SMALLEST, 1 << partial.stat().st_size.bit_length())
        os.truncate(partial, size)
        partial.rename(self.path)

    def partition(self, number: int) -> tuple[int, int]:
        """Return a partition's start and length in bytes; partitions count from 1."""
        with self.path.open("rb") as file:
            table = file.read(_SECTOR)
        first, count = struct.unpack_from("<II", table, 446 + 16 * (number - 1) + 8)
        if table[510:] != b"\x55\xaa" or not count:
            raise VirtualError(f"{self.path} has no partition {number}, so it is not a card's image.")
        return first * _SECTOR, count * _SECTOR

    def read(self, name: str) -> bytes:
        """Return a file from the FAT partition. Raises FileNotFoundError if there is none."""
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder, "file")
            try:
                self._mtools("mcopy", f"::{name}", copy)
            except VirtualError as error:
                if "not found" in str(error):
                    raise FileNotFoundError(name) from None
                raise
            return copy.read_bytes()

    def write(self, name: str, content: bytes) -> None:
        """Write a file to the FAT partition, as a teacher would. The board must be off."""
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder, "file")
            copy.write_bytes(content)
            self._mtools("mcopy", "-o", copy, f"::{name}")

    def _mtools(self, program: str, *arguments: str | Path) -> None:
        at = f"{self.path}@@{self.partition(1)[0]}"
        run([program, "-i", at, *arguments], doing=f"Reading or writing the FAT partition of {self.path}")

    def config(self) -> dict[str, str]:
        """Return config.txt as the firmware of a Pi Zero reads it, with the names of a kernel and an initramfs."""
        settings: dict[str, str] = {}
        holds = True
        for line in (line.partition("#")[0].strip() for line in self.read("config.txt").decode().splitlines()):
            if line.startswith("["):
                holds = line.strip("[]") in _SECTIONS
            elif holds and line.startswith("initramfs "):
                settings["initramfs"] = line.split()[1]
            elif holds and "=" in line:
                name, _, value = line.partition("=")
                settings[name.strip()] = value.strip()
        kernel = settings["kernel"] = settings.get("kernel") or self._kernel()
        if settings.get("auto_initramfs") == "1":
            settings.setdefault("initramfs", kernel.replace("kernel", "initramfs").removesuffix(".img"))
        return settings

    def _kernel(self) -> str:
        """Return which of Raspberry Pi OS's kernels is there: a Pi Zero's, or a Pi 2's."""
        with suppress(FileNotFoundError):
            self.read("kernel.img")
            return "kernel.img"
        return "kernel7.img"

    def faults(self) -> str:
        """Return the errors that e2fsck finds in the root, or an empty string. The board must be off."""
        root = f"{self.path}?offset={self.partition(2)[0]}"
        try:
            run(["e2fsck", "-f", "-n", root], doing="Checking the card's root")
        except VirtualError as error:
            return str(error)
        return ""
