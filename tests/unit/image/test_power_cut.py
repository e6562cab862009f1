"""The replay of what was written to a card, and the checks of it, with a card of Linux's own file systems.

QEMU exports the card as a file and logs all writes to it, and Linux mounts it: a card with a cache, which is flushed.
"""

import filecmp
import json
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.image import SECTOR, Image
from tests.support.power_cut import (
    FILES,
    Recording,
    check,
    identity_faults,
    notebook,
    panic_boots_again,
    table,
    tear,
    version_of,
)
from tests.support.programs import ROOT
from tests.support.student import as_root
from tests.unit.image.card import Card
from tests.unit.image.conftest import Built
from tests.virtual.writes import Cut, Replay

pytestmark = [as_root, pytest.mark.slow]
BOOT, ROOT_START, END = 2048, 34816, 131072  # sectors
# Save versions of a notebook by the function that is named, and print the log's size after each.
SAVER = """
import json, os, sys
from pathlib import Path
from mynn_server.contents import Contents
from tests.support.power_cut import NOTEBOOK, notebook
home, log, how = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
(home / "notebooks").mkdir(parents=True)
os.sync()
contents = Contents(root_dir=str(home))
path = home / "notebooks" / NOTEBOOK
for version in range(1, 9):
    text = json.dumps(notebook(version))
    if how == "server":
        with contents.atomic_writing(str(path)) as file:
            file.write(text)
    else:
        path.write_text(text)
    print(os.stat(log).st_size, flush=True)
"""


@contextmanager
def logged(card: Path, log: Path) -> Iterator[Path]:
    """Export a card as a file, to which all writes are logged."""
    exported = card.with_suffix(".exported")
    for path in (exported, log):
        path.write_bytes(b"")
    driver = f"driver=blklogwrites,node-name=card,file.driver=file,file.filename={card}"
    argv = ["qemu-system-arm", "-machine", "none", "-nodefaults", "-display", "none", "-qmp", "stdio"]
    argv += ["-blockdev", f"{driver},log.driver=file,log.filename={log}"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as qemu:
        requests, answers = qemu.stdin, qemu.stdout
        assert requests and answers
        answers.readline()  # its greeting

        def tell(command: str, **arguments: object) -> None:
            print(json.dumps({"execute": command, "arguments": arguments}), file=requests, flush=True)
            assert "error" not in json.loads(answers.readline())

        tell("qmp_capabilities")
        place = {"mountpoint": str(exported), "writable": True}
        tell("block-export-add", **{"id": "card", "type": "fuse", "node-name": "card", **place})
        try:
            yield exported
        finally:
            tell("quit")


def make_card(card: Path) -> None:
    """Make an empty card, with a FAT and an ext4 partition as in an image."""
    card.touch()
    os.truncate(card, END * SECTOR)
    layout = f"label: dos\nstart={BOOT}, size={ROOT_START - BOOT}, type=c\nstart={ROOT_START}, type=83\n"
    fat, root = str((ROOT_START - BOOT) // 2), f"{(END - ROOT_START) // 2}k"  # in KiB
    offset = ["-E", f"offset={ROOT_START * SECTOR}"]
    for argv in (
        ["sfdisk", card],
        ["mkfs.vfat", f"--offset={BOOT}", card, fat],
        ["mke2fs", "-t", "ext4", "-b", "4096", *offset, card, root],
    ):
        subprocess.run([str(word) for word in argv], input=layout, text=True, check=True, capture_output=True)


@pytest.fixture(scope="module", params=["server", "forgetful"])
def recording(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """Save a notebook eight times: as the notebook server does, and without waiting for the card."""
    if not shutil.which("qemu-system-arm"):
        pytest.skip("there is no QEMU: `make test-all` installs it")
    if not os.access("/dev/fuse", os.W_OK):
        pytest.skip("there is no /dev/fuse: `modprobe fuse` makes it, or a container needs `--device /dev/fuse`")
    folder = tmp_path_factory.mktemp("card")
    card, made = folder / "card", Recording(folder / "before", folder / "writes", {request.param: 0})
    make_card(card)
    subprocess.run(["cp", "--sparse=always", card, made.before], check=True)
    (folder / "mounted").mkdir()
    mount = (
        f'mount -o loop,offset={ROOT_START * SECTOR} "$0" "$1"; "$2" -c "$3" "$1/home/student" "$4" "$5"; umount "$1"'
    )
    with logged(card, made.writes) as exported:
        words = [exported, folder / "mounted", sys.executable, SAVER, made.writes, request.param]
        argv = ["unshare", "--mount", "sh", "-ec", mount, *map(str, words)]
        done = subprocess.run(argv, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    made.saved = [int(line) for line in done.stdout.split()]
    return made


def test_the_log_makes_the_card(recording: Recording, tmp_path: Path) -> None:
    log = recording.log
    replay = Replay(log, recording.before, {0: tmp_path / "card"})
    for cut in log.cuts(50, seed=1):  # leaves nothing behind
        with replay.at(cut):
            pass
    with replay.at(Cut(len(log.entries), len(log.entries))):
        assert filecmp.cmp(tmp_path / "card", recording.before.with_name("card"), shallow=False)
    replay.close()


def test_linux_flushes_before_and_after_each_commit_block(recording: Recording) -> None:
    """On a card without a cache, only the commit blocks are seen."""
    log = recording.log
    commits = [n for n, one in enumerate(log.entries) if log.data(one)[:8] == struct.pack(">II", 0xC03B3998, 2)]
    assert len(commits) > 1
    for number in commits:
        assert log.entries[number - 1].flags & log.entries[number + 1].flags == 1
        assert {number, number + 1} <= set(log.flushes)


def test_what_the_server_saves_outlasts_every_cut_and_only_that(recording: Recording) -> None:
    assert len(recording.saved) == 8
    outcomes = check(recording, recording.log.cuts(150, seed=2016))
    print(table(recording, outcomes))
    faults = [fault for _, faults in outcomes for fault in faults]
    if "server" in recording.activities:
        assert not faults
    else:
        assert any("version 8 of the notebook was acknowledged" in fault for fault in faults)


def test_a_torn_superblock_is_repaired_and_booted_again(tmp_path: Path) -> None:
    """In the initramfs. Its copy is of the moment when the root grew, and tells of a journal: e2fsck stops at that."""
    root = tmp_path / "root"
    root.touch()
    os.truncate(root, 160 << 20)
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-b", "4096", root], check=True)
    with root.open("r+b") as file:
        file.seek(32768 * 4096)
        copy = bytearray(file.read(1020))
        copy[96] |= 4  # needs_recovery
        file.seek(32768 * 4096)
        file.write(copy + crc32c(bytes(copy)).to_bytes(4, "little"))
    tear_and_repair(root)


def test_if_its_copies_are_torn_too_the_boot_block_has_one(built: Built, tmp_path: Path) -> None:
    root = tmp_path / "root"
    with built.image.open("rb") as image, root.open("wb") as file:
        image.seek(Image(built.image).root)
        shutil.copyfileobj(image, file)
    tear_and_repair(root)  # one so small has no copies


def tear_and_repair(root: Path) -> None:
    """Tear the superblock, and see that e2fsck alone gives up, and that the initramfs repairs it."""
    tear(root)
    assert subprocess.run(["e2fsck", "-y", root], capture_output=True, check=False).returncode & 8
    for needed in (True, False):  # not again and again
        assert panic_boots_again(root) == needed
        subprocess.run(["e2fsck", "-f", "-n", root], check=True, stdout=subprocess.DEVNULL)


def crc32c(content: bytes) -> int:
    """Return the checksum that ext4 uses."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc


def test_a_damaged_notebook_is_seen() -> None:
    text = json.dumps(notebook(7)).encode()
    assert version_of(text) == 7
    assert version_of(text[:-100]) == version_of(text.replace(b"version 7", b"version 8", 1)) == 0


def test_a_torn_file_of_the_first_boot_is_seen(tmp_path: Path) -> None:
    pi = Card(tmp_path)
    pi.boot()
    files = {path: (pi.root / path.lstrip("/")).read_bytes() for path in FILES if "student" not in path}
    this_pi = pi.read("boot/firmware/this-pi.txt")
    assert not [*identity_faults(files, this_pi)]
    for path, content in files.items():
        for torn in (b"", content[: len(content) // 2], bytes(len(content))):
            assert [*identity_faults(files | {path: torn}, this_pi)], path
    assert [*identity_faults(files, this_pi[:-60])]
    assert [*identity_faults(files, this_pi.replace(pi.fact("Password"), "another"))]
