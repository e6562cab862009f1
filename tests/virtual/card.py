"""The SD card of a board: a disk image, its FAT partition, and the settings that the firmware reads there.

The card is a sparse copy of an image, enlarged to the size of a real card. It is a raw file, not an overlay, because
mtools and e2fsck read nothing else.
"""

import os
import subprocess
from contextlib import suppress
from pathlib import Path

from tests.support.image import Image, config

from .shell import VirtualError, run

_SMALLEST = 4 << 30


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

    def read(self, name: str) -> bytes:
        """Return a file from the FAT partition. Raises FileNotFoundError if there is none."""
        try:
            return Image(self.path).boot_read(name)
        except subprocess.CalledProcessError:
            raise FileNotFoundError(name) from None

    def write(self, name: str, content: bytes) -> None:
        """Write a file to the FAT partition, as a teacher would. The board must be off."""
        words = ["mcopy", "-o", "-i", f"{self.path}@@{Image(self.path).boot}", "-", f"::{name}"]
        subprocess.run(words, input=content, check=True)

    def config(self) -> dict[str, str]:
        """Return config.txt as the firmware of a Pi Zero reads it, with the names of a kernel and an initramfs."""
        self.read("config.txt")
        settings = dict(config(Image(self.path).boot_read))
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
        root = f"{self.path}?offset={Image(self.path).root}"
        try:
            run(["e2fsck", "-f", "-n", root], doing="Checking the card's root")
        except VirtualError as error:
            return str(error)
        return ""
