"""One Pi's image: the common one with its classroom.yml in it, copied onto a card or kept as a file, and checked."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from shutil import which

from disks import Disk

from ansible_collections.mynn.pi.plugins.module_utils.text import COLOUR, printable

SECTOR = 512
SETTINGS = "classroom.yml"
# Seconds without progress after which a program is ended: a broken reader may answer never.
STALL = 600
# Debian's users do not look for programs there. mtools reads no settings of its own.
ENVIRONMENT = os.environ | {"PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin", "MTOOLSRC": "/dev/null"}
# What bmaptool says around its reasons.
NOISE = r"^bmaptool: ERROR: |: calculated \w+, should be .*"


class CardError(Exception):
    """Something cannot be written; the message says what, why, and what to do."""


@dataclass(frozen=True)
class Image:
    """An image that `make image` made. size, used: its bytes, and those that hold something."""

    path: Path
    bmap: Path
    size: int
    used: int


def image_at(path: Path) -> Image:
    """Return the image in a file. CardError: its .bmap is missing or damaged."""
    bmap = path.with_name(f"{path.name.removesuffix('.xz')}.bmap")
    if not bmap.is_file():
        raise CardError(f"{bmap} is missing, with which cards are checked: `make image` writes it beside the image")
    text = bmap.read_text(encoding="utf-8", errors="replace")
    found = [re.search(rf"<{tag}>\s*(\d+)", text) for tag in ("ImageSize", "BlockSize", "MappedBlocksCount")]
    size, block, mapped = (int(match[1]) if match else 0 for match in found)
    if not mapped:
        raise CardError(f"{bmap} is damaged: run `make image` again")
    return Image(path, bmap, size, block * mapped)


def unpack(image: Image, target: Path) -> int:
    """Write the common image to a file. Returns where its first partition begins, in bytes.

    CardError: the image does not match its checksums, or has no classroom.yml.
    """
    try:
        run("bmaptool", "-q", "copy", "--bmap", image.bmap, image.path, target)
    except CardError as error:
        raise CardError(f"{image.path} is damaged: {error}. Run `make image` again, or copy it anew") from None
    table = json.loads(run("sfdisk", "--json", target))["partitiontable"]
    start = int(table["partitions"][0]["start"]) * SECTOR
    if not on_boot_partition(target, start, SETTINGS):
        raise CardError(f"{image.path} has no classroom.yml: only images that `make image` made can be used")
    return start


def personalize(base: Path, start: int, target: Path, files: Mapping[str, bytes]) -> Path:
    """Copy the common image, with a Pi's files on its small partition. Returns its .bmap.

    A new copy for each Pi, since a file that is overwritten leaves its passwords on the disk.
    """
    run("cp", "--sparse=auto", "--reflink=auto", base, target)
    for name, content in files.items():
        run("mcopy", "-o", "-i", f"{target}@@{start}", "-", f"::{name}", text=content)
    bmap = target.with_name(f"{target.name}.bmap")
    run("bmaptool", "-q", "create", target, "-o", bmap)
    if any(on_boot_partition(target, start, name) != content for name, content in files.items()):
        raise CardError(f"{target} could not be written: check this computer's disk")
    return bmap


def on_boot_partition(disk: Path | str, start: int, name: str, *, before: Sequence[str] = ()) -> bytes:
    """Return a file on a disk's small partition; nothing if it is not there. before: what makes this run as root."""
    try:
        return run(*before, "mtype", "-i", f"{disk}@@{start}", f"::{name}")
    except CardError:
        return b""


def check_file(path: Path, bmap: Path) -> None:
    """Read a file back from the disk. CardError: it is not what was written."""
    with path.open("rb+") as file:
        os.fsync(file)
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    run("bmaptool", "-q", "copy", "--bmap", bmap, path, "/dev/null")


class Card:
    """A card in a reader, while one Pi's image is copied onto it."""

    def __init__(self, disk: Disk, show: Callable[[str], None]) -> None:
        self.disk = disk
        self.show = show  # is given the progress, such as "writing 7 %"
        self.as_root = as_root(disk.path)

    def holds(self, start: int) -> bytes:
        """Return the classroom.yml that is on it now."""
        return on_boot_partition(self.disk.path, start, SETTINGS, before=self.as_root)

    def write(self, image: Path, bmap: Path, used: int) -> None:
        """Copy an image and read it back. CardError: not written, or not as it should be; then no Pi starts with it."""
        for part in self.disk.mounted:
            self._run("umount", part)
        if not Path(self.disk.path).is_block_device():
            raise CardError("it was taken out")
        with self._locked():
            try:
                self._run("bmaptool", "-q", "copy", "--bmap", bmap, image, self.disk.path, doing=("writing", 6, used))
                self._run("blockdev", "--flushbufs", self.disk.path)  # so that it is the card that is read
                self._check(bmap, used)
            except BaseException:
                self._blank()
                raise

    def _check(self, bmap: Path, used: int) -> None:
        """Let bmaptool compare what it reads with the checksums."""
        command = ("bmaptool", "-q", "copy", "--bmap", bmap, self.disk.path, "/dev/null")
        try:
            self._run(*command, doing=("checking", 2, used))
        except CardError as error:
            raise CardError(f"what is read from it is not what was written to it ({error})") from None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep udev away from the card: the desktop would mount what has just been written, and so change it."""
        hold = [*self.as_root, "flock", "--timeout", "60", self.disk.path, "sh", "-c", "echo; exec cat"]
        with subprocess.Popen(hold, env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
            assert holder.stdout
            if not holder.stdout.read(1):
                raise CardError("another program is using it: close that program")
            yield  # then Popen closes the pipe, and `cat` ends

    def _blank(self) -> None:
        """Remove the beginning, as far as that is possible, so that no Pi starts with half a card."""
        with suppress(CardError):
            self._run("dd", "if=/dev/zero", f"of={self.disk.path}", "bs=4096", "count=1", "conv=nocreat,notrunc,fsync")

    def _run(self, *command: str | Path, doing: tuple[str, int, int] | None = None) -> None:
        """Run a command. doing: the word for it, and how far it is: /sys's number of sectors, of so many bytes."""
        path = Path("/sys/class/block", Path(self.disk.path).name, "stat")

        def sectors(place: int) -> int:
            with suppress(OSError):
                return int(path.read_text(encoding="ascii").split()[place])
            return 0

        if not doing:
            run(*self.as_root, *command)
            return
        word, place, total = doing
        began = sectors(place)

        def moved() -> int:
            done = (sectors(place) - began) * SECTOR
            self.show(f"{word} {min(99, 100 * done // total)} %")
            return done

        run(*self.as_root, *command, moved=moved)


def as_root(path: str) -> list[str]:
    """Return how a command is run that reads and writes a disk. CardError: it is not possible."""
    if os.access(path, os.R_OK | os.W_OK):
        return []
    if not which("sudo"):
        raise CardError(f"you may not write to {path}: run this as root, or install sudo")
    return ["sudo", "--prompt", "sudo wants the password of %p, to write the card: "]


def run(*command: str | Path, text: bytes = b"", moved: Callable[[], int] | None = None) -> bytes:
    """Run a program and return its output. CardError: it failed, with its last words.

    text: its input, which does not show in the list of processes. moved: returns how far it has come, and is asked
    every half second.
    """
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        try:
            process = subprocess.Popen(command, env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=output, stderr=errors)
        except FileNotFoundError:
            raise CardError(f"the program {command[0]} is missing: `make card-tools` installs it") from None
        try:
            _feed(process, text)
            _await(process, moved)
        except BaseException:
            _end(process)
            raise
        output.seek(0)
        errors.seek(0)
        if process.returncode:
            said = COLOUR.sub("", errors.read().decode(errors="replace")).strip() or f"{command[0]} failed"
            raise CardError(printable(re.sub(NOISE, "", said.splitlines()[-1])).rstrip("."))
        return output.read()


def _feed(process: subprocess.Popen[bytes], text: bytes) -> None:
    """Give a program its input, which is shorter than a pipe."""
    assert process.stdin
    with suppress(BrokenPipeError), process.stdin as file:
        file.write(text)


def _await(process: subprocess.Popen[bytes], moved: Callable[[], int] | None) -> None:
    """Wait for a program. CardError: it has come no further for too long."""
    last, since = -1, time.monotonic()
    while True:
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.5)
            return
        now = moved() if moved else 0
        if now != last:
            last, since = now, time.monotonic()
        elif time.monotonic() > since + STALL:
            raise CardError(f"nothing has happened for {STALL // 60} minutes: try another card, or another reader")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a program. One of sudo's is not ours to end: Ctrl-C has reached it, too."""
    for end in (process.terminate, process.kill):
        with suppress(subprocess.TimeoutExpired, PermissionError):
            end()
        with suppress(subprocess.TimeoutExpired):
            process.wait(20)
            return
    print("A program does not end: take the card out.", file=sys.stderr)
