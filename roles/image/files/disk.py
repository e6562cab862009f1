#!/usr/bin/env python3
"""Make a card's image of a finished root folder: no mount and no loop device, so a killed run leaves none behind.

    disk.py ROOT IMAGE.img --epoch SECONDS [--boot-mib 256] [--room-mib 150]

Needs root (the folder's owners are kept) and sfdisk, mkfs.vfat, mtools, mke2fs, dumpe2fs and debugfs.

The image has a table of two partitions, each of which starts at a multiple of 4 MiB:

- a FAT32 one with what lies in ROOT/boot/firmware, which the Pi's firmware reads;
- an ext4 one with all the rest but what a build leaves behind (KEEP_FOLDERS, KEEP_NOTHING). It is as large as that
  needs and --room-mib more, for the first boot, until it grows to the card.

The kernel finds the second by `root=PARTUUID=6d796e6e-02`.

The same contents and epoch give the same bytes: owners, modes, hard links and extended attributes are kept, files are
sorted, and no time is later than the epoch (seconds since 1970). mke2fs before 1.47.1 (Debian 12's) cannot read a tar
file: there all files are copied once more beside the image, and the times at which that was done (each inode's ctime,
atime and crtime) stay in it, so two images differ in these.

Blocks that hold nothing are holes in the image's file, and only those: bmaptool need not write them, but it does write
zeros that a file system relies on, such as those of the journal.

IMAGE appears whole or not at all. What a killed run leaves is `.IMAGE.parts` beside it, which the next one removes.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import stat
import struct
import subprocess
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from packing import PackingError, ends_with_a_sentence, need, unfinished

MIB = 1 << 20
SECTOR = 512
ALIGNMENT = 4 * MIB  # a card erases that much at once
DISK_ID = 0x6D796E6E  # "mynn"; the partitions' PARTUUIDs are this and their number
LABEL = "MYNN-PI"  # of the partition that a teacher sees
ROOT_LABEL = "mynn-pi"
ROOT_UUID = "6d796e6e-7069-4a2d-9c1b-5a65726f0001"
HASH_SEED = "6d796e6e-7069-4a2d-9c1b-5a65726f0002"  # of ext4's sorted folders
BLOCK = 4096
INODE = 256
JOURNAL_MIB = 16
# All that Debian 12's and 13's kernels and tools know, whatever this computer's mke2fs.conf says.
FEATURES = (
    "none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,64bit,flex_bg,sparse_super,large_file,huge_file,"
    "dir_nlink,extra_isize,metadata_csum"
)
# Everything is zeroed now, so that no Pi does it later; an error makes the root read-only before it does more harm.
OPTIONS = f"hash_seed={HASH_SEED},lazy_itable_init=0,lazy_journal_init=0,nodiscard"

KEEP_NOTHING = ("boot/firmware", "dev", "proc", "run", "sys", "tmp", "var/tmp")
KEEP_FOLDERS = ("var/cache/apt", "var/lib/apt/lists", "var/log")

PACKAGES = {
    "sfdisk": "fdisk",
    "mkfs.vfat": "dosfstools",
    "mcopy": "mtools",
    "mmd": "mtools",
    "mke2fs": "e2fsprogs",
    "dumpe2fs": "e2fsprogs",
    "debugfs": "e2fsprogs",
}

Ranges = list[tuple[int, int]]  # first byte, and the one after the last


def run(command: Sequence[str | Path], epoch: int, text: str = "") -> str:
    """Return what a command prints; PackingError has the last line of what it complains of."""
    # Times on FAT are local ones. mtools need not know any disk but ours.
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(epoch), "TZ": "UTC", "LC_ALL": "C", "MTOOLSRC": "/dev/null"}
    done = subprocess.run(command, env=environment, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["it does not say why"]
        raise PackingError(f"{command[0]} failed: {lines[-1]}")
    return done.stdout


def contents(root: Path) -> list[str]:
    """Return what goes onto the root partition, as sorted paths below it, each folder before what it holds."""
    found = []

    def look(folder: str, kept: bool) -> None:
        for name in sorted(path.name for path in (root / folder).iterdir()):
            path = f"{folder}/{name}" if folder else name
            mode = (root / path).lstat().st_mode
            if stat.S_ISDIR(mode):
                found.append(path)
                if path not in KEEP_NOTHING:
                    look(path, kept and path not in KEEP_FOLDERS)
            elif kept and not stat.S_ISSOCK(mode):
                found.append(path)

    look("", True)
    return found


def blocks_for(root: Path, paths: Sequence[str]) -> int:
    """Return about how many blocks the contents take."""
    blocks, seen = 0, set()
    for path in paths:
        facts = (root / path).lstat()
        if stat.S_ISREG(facts.st_mode):
            if facts.st_ino in seen:
                continue
            seen.add(facts.st_ino)
            blocks += -(-facts.st_size // BLOCK)
        elif stat.S_ISDIR(facts.st_mode):
            blocks += 1 + facts.st_size // BLOCK
        else:
            blocks += 1
    return blocks


def write_tar(root: Path, paths: Sequence[str], epoch: int, to: IO[bytes]) -> None:
    """Write the contents as a tar file; no time of change is later than the epoch, none has fractions."""
    # Of the formats this is the one whose names are bytes, which no locale can garble.
    with tarfile.open(fileobj=to, mode="w|", format=tarfile.GNU_FORMAT, copybufsize=MIB) as tar:
        for path in ["", *paths]:
            member = tar.gettarinfo(root / path, f"./{path}")
            member.mtime = min(int(member.mtime), epoch)
            member.uname = member.gname = ""
            if member.isreg():
                with (root / path).open("rb") as file:
                    tar.addfile(member, file)
            else:
                tar.addfile(member)


def attributes(root: Path, paths: Sequence[str]) -> Iterator[tuple[str, str, bytes]]:
    """Yield each extended attribute, such as ping's capability: path, name, value."""
    for path in ["", *paths]:
        for name in sorted(os.listxattr(root / path, follow_symlinks=False)):
            yield path, name, os.getxattr(root / path, name, follow_symlinks=False)


def reads_tar() -> bool:
    """Return whether this computer's mke2fs fills a file system from a tar file."""
    said = subprocess.run(["mke2fs", "-V"], capture_output=True, text=True, check=False).stderr
    version = re.search(r"mke2fs (\d+)\.(\d+)\.(\d+)", said)
    return version is not None and tuple(map(int, version.groups())) >= (1, 47, 1)


def fill(command: Sequence[str | Path], root: Path, paths: Sequence[str], epoch: int) -> None:
    """Let a command read the contents as a tar file."""
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(epoch), "LC_ALL": "C"}
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin and process.stderr
        try:
            write_tar(root, paths, epoch, process.stdin)
            process.stdin.close()
        except BrokenPipeError:
            pass  # it has ended, and says why
        said = process.stderr.read().decode(errors="replace").strip()
    if process.returncode:
        raise PackingError(f"{command[0]} failed: {said.splitlines()[-1] if said else 'it does not say why'}")


def make_root(root: Path, partition: Path, epoch: int, room: int) -> Ranges:
    """Make the ext4 partition with `room` bytes to spare; return which of its bytes are in use."""
    paths = contents(root)
    inodes = len(paths) * 6 // 5 + 4096
    needed = blocks_for(root, paths) + (room + JOURNAL_MIB * MIB + inodes * INODE) // BLOCK + 1024
    size = -(-needed * BLOCK * 103 // 100 // ALIGNMENT) * ALIGNMENT  # 1 % is root's own, the rest for tables
    inodes = max(inodes, size // 16384)
    with partition.open("wb") as file:
        file.truncate(size)
    command: list[str | Path] = ["mke2fs", "-q", "-F", "-t", "ext4", "-b", str(BLOCK), "-I", str(INODE)]
    command += ["-N", str(inodes), "-J", f"size={JOURNAL_MIB}", "-m", "1", "-e", "remount-ro", "-O", FEATURES]
    command += ["-E", OPTIONS, "-U", ROOT_UUID, "-L", ROOT_LABEL, "-d"]
    if reads_tar():
        fill([*command, "-", partition], root, paths, epoch)
    else:
        copy = partition.with_suffix(".copy")
        copy.mkdir()
        fill(["tar", "--extract", "--numeric-owner", "--same-permissions", "-C", copy], root, paths, epoch)
        run([*command, copy, partition], epoch)
        shutil.rmtree(copy)
    set_attributes(partition, list(attributes(root, paths)), epoch)
    used = run(["dumpe2fs", partition], epoch)
    free = [
        (int(first) * BLOCK, (int(last or first) + 1) * BLOCK)
        for line in re.findall(r"^  Free blocks: (.+)$", used, re.MULTILINE)
        for first, last in re.findall(r"(\d+)(?:-(\d+))?", line)
    ]
    ends = [0, *(end for _, end in free)]
    starts = [*(start for start, _ in free), size]
    return [(start, end) for start, end in zip(ends, starts, strict=True) if start < end]


def set_attributes(partition: Path, found: Sequence[tuple[str, str, bytes]], epoch: int) -> None:
    """Set extended attributes in the file system."""
    values = partition.with_suffix(".value")
    for path, name, value in found:
        values.write_bytes(value)
        request = f'ea_set -f "{values}" "/{path}" {name}'
        # debugfs ends with 0 whatever happens; it says nothing if all is well.
        environment = {**os.environ, "SOURCE_DATE_EPOCH": str(epoch)}
        done = subprocess.run(
            ["debugfs", "-w", "-R", request, partition], env=environment, capture_output=True, text=True, check=False
        )
        complaints = done.stderr.strip().splitlines()[1:]  # the first line is its version
        if done.returncode or complaints:
            raise PackingError(f"{name} of /{path} could not be set: {' '.join(complaints)}")


def make_boot(firmware: Path, partition: Path, epoch: int, size: int) -> Ranges:
    """Make the FAT32 partition; return which of its bytes are in use."""
    with partition.open("wb") as file:
        file.truncate(size)
    # Debian 12's knows no epoch; what comes after --invariant still counts.
    volume = ["--invariant", "-F", "32", "-s", "4", "-h", str(ALIGNMENT // SECTOR), "-n", LABEL, "-i", f"{DISK_ID:08x}"]
    run(["mkfs.vfat", *volume, partition], epoch)
    for folder, names, files in os.walk(firmware):
        names.sort()
        target = "::/" + "".join(f"{part}/" for part in Path(folder).relative_to(firmware).parts)
        for name in [*names, *files]:
            path = Path(folder, name)
            if path.is_symlink() or not (path.is_file() or path.is_dir()):
                raise PackingError(f"{path} is neither a file nor a folder, and FAT knows nothing else: take it away")
        if names:
            run(["mmd", "-i", partition, *(target + name for name in names)], epoch)
        if files:
            run(["mcopy", "-i", partition, *(Path(folder, name) for name in sorted(files)), target], epoch)
    return [(0, fat_end(partition))]


def fat_end(partition: Path) -> int:
    """Return the byte after a FAT32 file system's last cluster in use, up to a whole block."""
    with partition.open("rb") as file:
        head = file.read(SECTOR)
        per_cluster, reserved, fats = struct.unpack_from("<BHB", head, 13)
        [per_fat] = struct.unpack_from("<I", head, 36)
        file.seek(reserved * SECTOR)
        table = memoryview(file.read(per_fat * SECTOR)).cast("I")
    last = max(number for number, entry in enumerate(table) if entry)
    end = (reserved + fats * per_fat + (last - 1) * per_cluster) * SECTOR  # the first cluster is number 2
    return -(-end // BLOCK) * BLOCK


def copy(partition: Path, ranges: Ranges, image: IO[bytes], start: int) -> None:
    """Copy what is in use, zeros too, to `start` in the image; the rest stays a hole."""
    with partition.open("rb") as file:
        for first, end in ranges:
            file.seek(first)
            image.seek(start + first)
            while first < end:
                first += image.write(file.read(min(ALIGNMENT, end - first)))


def make_disk(root: Path, image: Path, epoch: int, boot: int, room: int) -> str:
    """Make the image, with `boot` and `room` in bytes; return a sentence on it."""
    if not (root / "etc/fstab").is_file() or not (root / "boot/firmware/config.txt").is_file():
        raise PackingError(f"{root} is no finished root: it lacks etc/fstab or boot/firmware/config.txt")
    need(PACKAGES)
    with unfinished(image) as parts:
        boot_part, root_part, whole = parts / "boot", parts / "root", parts / "image"
        boot_used = make_boot(root / "boot/firmware", boot_part, epoch, boot)
        root_used = make_root(root, root_part, epoch, room)
        root_size, root_start = root_part.stat().st_size, ALIGNMENT + boot
        with whole.open("wb") as file:
            copy(boot_part, boot_used, file, ALIGNMENT)
            copy(root_part, root_used, file, root_start)
            file.truncate(root_start + root_size)
        table = [
            "label: dos",
            f"label-id: 0x{DISK_ID:08x}",
            f"start={ALIGNMENT // SECTOR}, size={boot // SECTOR}, type=c",
            f"start={root_start // SECTOR}, size={root_size // SECTOR}, type=83",
        ]
        run(["sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", whole], epoch, "\n".join(table) + "\n")
        with whole.open("rb") as file:
            os.fsync(file.fileno())
        whole.replace(image)
    used = sum(end - start for start, end in boot_used + root_used)
    return f"{image}: {(root_start + root_size) // MIB} MiB, of which {used // MIB} MiB are in use."


def main() -> None:
    """Do as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path, help="the finished root folder")
    parser.add_argument("image", type=Path, help="the image to make")
    parser.add_argument("--epoch", type=int, required=True, help="no time is later than this (seconds since 1970)")
    parser.add_argument("--boot-mib", type=int, default=256, help="size of the boot partition (256)")
    parser.add_argument("--room-mib", type=int, default=150, help="what stays free on the root partition (150)")
    arguments = parser.parse_args()
    if arguments.boot_mib % 4 or arguments.boot_mib < 160:
        parser.error("--boot-mib must be a multiple of 4 and at least 160: FAT32 needs that many clusters")
    if arguments.epoch < 0 or arguments.room_mib < 0:
        parser.error("--epoch and --room-mib cannot be negative")
    boot, room = arguments.boot_mib * MIB, arguments.room_mib * MIB
    with ends_with_a_sentence("disk.py"):
        print(make_disk(arguments.root, arguments.image, arguments.epoch, boot, room))


if __name__ == "__main__":
    main()
