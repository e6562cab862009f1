"""SD-card image of one Pi: the common image with the Pi's settings, written to a card or a file, and checked."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Collection, Mapping
from contextlib import suppress
from glob import glob
from itertools import takewhile
from pathlib import Path
from shutil import which

from ansible_collections.mynn.pi.plugins.module_utils.preseed import NAME
from ansible_collections.mynn.pi.plugins.module_utils.text import printable
from mynn_control.card_disks import Disk

SECTOR = 512
BUSY = 75  # flock's exit code if another program has locked the card
WRITE = Path(__file__).with_name("card_write.sh")
# Debian's users have no sbin in their PATH. mtools must not read the user's settings.
ENVIRONMENT = os.environ | {"PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin", "MTOOLSRC": "/dev/null"}


class CardError(Exception):
    """A card or file cannot be written; the message says which, why, and what to do."""


def bmap_of(image: Path) -> Path:
    """Return the path of an image's checksums (.bmap). CardError: it is missing."""
    bmap = image.with_name(f"{image.name.removesuffix('.xz')}.bmap")
    if not bmap.is_file():
        raise CardError(f"{bmap} is missing, with which cards are checked: `make image` writes it beside the image")
    return bmap


def boards_of(name: str, known: Collection[str]) -> tuple[str, ...]:
    """Return the boards in an image's name, such as mynn-pi-3-zero2w-4-0.1.img.xz; () if it has none."""
    prefix = "mynn-pi-"
    *words, _version = name.removeprefix(prefix).split("-")
    return tuple(takewhile(known.__contains__, words)) if name.startswith(prefix) else ()


def newest_image(pattern: str, board: str, known: Mapping[str, str]) -> Path:
    """Return the newest image for a board ("": unknown). CardError: no image fits, or the board must be known.

    pattern: glob pattern of paths. An image suits any Pi unless its name has boards.
    known: what people call each board, such as "Pi Zero" for zero
    """
    found = glob(os.path.expanduser(pattern))  # noqa: PTH111, PTH207
    paths = sorted(map(Path, found), key=lambda path: path.stat().st_mtime)
    kinds = {boards_of(path.name, known): path.name for path in paths}
    if not board and len(kinds) > 1:
        raise CardError(
            f"there are images for several kinds of Pi ({', '.join(kinds.values())}). Name the kind in the inventory, "
            "as in `pi03.local board=4`, or name one image (IMAGE=...)"
        )
    if board:
        paths = [path for path in paths if board in (boards_of(path.name, known) or [board])]
    if not paths:
        whose = f" for a {known[board]}" if board else ""
        made = f"`make image BOARD={board}`" if board else "`make image`"
        raise CardError(f"{pattern} is no image{whose}: run {made}, or name one (IMAGE=...)")
    return paths[-1]


def unpack(image: Path, target: Path) -> int:
    """Write the common image to a file. Returns the offset of its first partition, in bytes.

    CardError: the image does not match its checksums, or has no settings.
    """
    try:
        run("bmaptool", "-q", "copy", "--bmap", bmap_of(image), image, target)
    except CardError as error:
        raise CardError(f"{image} is damaged: {error}. Run `make image` again, or copy it anew") from None
    table = json.loads(run("sfdisk", "--json", target))["partitiontable"]
    start = int(table["partitions"][0]["start"]) * SECTOR
    try:
        run("mtype", "-i", f"{target}@@{start}", f"::{NAME}")
    except CardError:
        raise CardError(f"{image} has no {NAME}: only images that `make image` made can be used") from None
    return start


def personalize(base: Path, start: int, target: Path, files: Mapping[str, bytes]) -> Path:
    """Copy the common image and put a Pi's files on its first partition. Returns the copy's .bmap.

    Each Pi gets a new copy: overwriting the files of another Pi would leave its passwords in the image.
    """
    run("cp", "--sparse=auto", "--reflink=auto", base, target)
    for name, content in files.items():
        run("mcopy", "-o", "-i", f"{target}@@{start}", "-", f"::{name}", text=content)
    bmap = target.with_name(f"{target.name}.bmap")
    run("bmaptool", "-q", "create", target, "-o", bmap)
    return bmap


def write(disk: Disk, image: Path, bmap: Path) -> None:
    """Write an image to a card. CardError: it failed, or the card is not correct; then no Pi boots from it."""
    root = as_root(disk.path)
    for part in disk.mounted:
        run(*root, "umount", part)
    if not Path(disk.path).is_block_device():
        raise CardError("it was taken out")
    # The lock keeps udev away: the desktop would mount the new partitions, and thereby change them.
    lock = [*root, "flock", "--timeout", "60", "--conflict-exit-code", str(BUSY), disk.path]
    process = subprocess.Popen([*lock, "sh", WRITE, bmap, image, disk.path], env=ENVIRONMENT)
    code = None
    try:
        code = process.wait()
    finally:
        if code is None:
            with suppress(PermissionError):  # only root may end sudo, which Ctrl-C has reached, too
                process.terminate()
            process.wait()
        if code not in (0, BUSY):  # no Pi may boot from half an image
            with suppress(CardError):
                run(*root, "dd", "if=/dev/zero", f"of={disk.path}", "bs=4096", "count=1", "conv=nocreat,notrunc,fsync")
    if code:
        raise CardError(
            "another program is using it: close that program" if code == BUSY else "see what bmaptool says above"
        )


def as_root(path: str) -> list[str]:
    """Return the prefix of commands that read and write a disk: sudo, or nothing. CardError: there is no sudo."""
    if os.access(path, os.R_OK | os.W_OK):
        return []
    if not which("sudo"):
        raise CardError(f"you may not write to {path}: run this as root, or install sudo")
    return ["sudo", "--prompt", "sudo wants the password of %p, to write the card: "]


def run(*command: str | Path, text: bytes = b"") -> bytes:
    """Run a program and return its output. CardError: it failed; the message is the last line of its errors.

    text: its input, which the list of processes does not show
    """
    try:
        done = subprocess.run(command, env=ENVIRONMENT, input=text, capture_output=True, check=False)
    except FileNotFoundError:
        raise CardError(f"the program {command[0]} is missing: `make card-tools` installs it") from None
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or [f"{command[0]} failed"]
        raise CardError(printable(lines[-1].removeprefix("bmaptool: ERROR: ")).rstrip("."))
    return done.stdout
