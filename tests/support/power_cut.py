"""What a board keeps when its power is cut at any write: a recording of its writes, and checks of its card on the host.

A check repairs the card as a boot does, by e2fsck and fsck.vfat, and then reads its files without mounting it:

- both file systems are whole then;
- every version of the notebook that the server acknowledged as saved is there, or a newer one, undamaged;
- a network is whole, or not there;
- dpkg can read all of its files, so that the next run completes what was cut off;
- once the first boot's stamp is there, so are the host key, the passwords that this-pi.txt shows, and the name; until
  then, the next boot makes them again.
"""

import json
import os
import re
import subprocess
import tempfile
import zipfile
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cache, cached_property, partial
from hashlib import sha256
from itertools import pairwise
from pathlib import Path

import argon2
import numpy as np

from tests.support.browser import signed_in_server
from tests.support.classroom import BoardClassroom
from tests.support.image import SECTOR, Image
from tests.support.programs import ROOT
from tests.virtual import Board
from tests.virtual.writes import Cut, Log, Replay

MENDED = range(4)  # e2fsck's exit codes that say that all is well now
PANIC = ROOT / "roles/image/files/debian/etc/initramfs-tools/scripts/panic/mynn-pi"
NOTEBOOK, NETWORK = "cut-off.ipynb", "cut-off.npz"
KEY = "/etc/ssh/ssh_host_ed25519_key"
STAMP, HASH = "/var/lib/mynn-pi/passwords", "/etc/jupyter/password"
SAVED, TRAINED = f"/home/student/notebooks/{NOTEBOOK}", f"/home/student/{NETWORK}"
FILES = [SAVED, TRAINED, STAMP, HASH, KEY, f"{KEY}.pub", "/etc/shadow", "/etc/hostname", "/etc/machine-id"]
TRAIN = f"sudo -H -u student sh -c '/opt/mynn/venv/bin/mynn train --examples 1000 --save ~/{NETWORK}'"
# When dpkg last changed them.
DPKG = [f"stat /var/lib/dpkg/{name}" for name in ("", "updates", "info", "status")]
# A first line as Jupyter's server needs it.
HASHED = re.compile(rb"argon2:\$argon2id\$v=19\$[mtp=0-9,]+\$[\w+/]{22,}\$[\w+/]{43}\n")
# What this-pi.txt is like from its first line to its last.
THIS_PI = re.compile(r"Name: +(\S+)\r\n.*^Password: +([^\r]+)\r\n.*^This file is written by the Pi\.\r\n", re.S | re.M)


def notebook(version: int) -> dict[str, object]:
    """Return a notebook of 200 kB, as large as one with pictures, with its version in every line."""
    source = f"version {version}\n" * 220
    cells = [{"cell_type": "markdown", "id": f"cell-{n}", "metadata": {}, "source": source} for n in range(70)]
    return {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}


def version_of(text: bytes) -> int:
    """Return the version of a notebook in a file; 0 if it is damaged."""
    with suppress(ValueError, KeyError, IndexError):
        content = json.loads(text)
        for cell in content["cells"]:
            cell["source"] = "".join(cell["source"])  # in the file, a list of lines
        version = int(content["cells"][0]["source"].split()[1])
        return version if content == notebook(version) else 0
    return 0


@dataclass
class Recording:
    """A card before and all writes to it, with the log's size when each activity began, and when a save was answered.

    ``saved`` has the sizes for versions 1, 2, 3 and so on.
    """

    before: Path
    writes: Path
    activities: dict[str, int] = field(default_factory=dict)
    saved: list[int] = field(default_factory=list)

    @classmethod
    def of(cls, board: Board, activity: str) -> "Recording":
        """Return the recording of a board since it was switched on."""
        return cls(board.before, board.writes, {activity: 0})

    @cached_property
    def log(self) -> Log:
        """The log, as far as it is when this is first asked for."""
        return Log(self.writes, ordered=Image(self.before).root // SECTOR)

    def begin(self, activity: str) -> None:
        """Note that an activity begins."""
        self.activities[activity] = self.writes.stat().st_size

    def save(self, classroom: BoardClassroom, times: int) -> None:
        """Save new versions of the notebook, as a browser does."""
        server = signed_in_server(classroom)
        self.begin("saves")
        for _ in range(times):
            body = {"type": "notebook", "format": "json", "content": notebook(len(self.saved) + 1)}
            server.ask("PUT", f"/api/contents/{NOTEBOOK}", json=body).raise_for_status()
            self.saved.append(self.writes.stat().st_size)


class CardCheck:
    """Checks of a card after power cuts, in a folder with a file for each part of the card."""

    def __init__(self, recording: Recording, folder: Path) -> None:
        self.folder, self.log = folder, recording.log
        self.saved = [self.log.written(size) for size in recording.saved]
        table = Image(recording.before)
        parts = {0: "table", table.boot // SECTOR: "boot", table.root // SECTOR: "root"}
        self.table, self.boot, self.root = (folder / name for name in parts.values())
        _, boot, root = parts
        self.replay = Replay(self.log, recording.before, {at: folder / name for at, name in parts.items()})
        self.boot_writes = [n for n, entry in enumerate(self.log.entries) if boot <= entry.sector < root]
        self.boots = dict[int, tuple[int, bytes]]()
        self.dpkg = debugfs(self.root, *DPKG)

    def faults(self, cut: Cut) -> list[str]:
        """Return what is wrong with the card after a cut."""
        with self.replay.at(cut), self.repaired() as root:
            if not root:
                return ["e2fsck cannot repair the root"]
            return [*self.root_faults(cut, root), *self.file_faults(cut, root)]

    @contextmanager
    def repaired(self) -> Iterator[Path | None]:
        """Give the root as a boot's e2fsck repairs it; none if it cannot."""
        undo = self.folder / "undo"
        undo.unlink(missing_ok=True)
        code = quiet("e2fsck", "-p", "-z", undo, self.root)
        try:
            if code in MENDED:
                yield self.root
                return
        finally:
            # With 8, it could not begin.
            assert code & 8 or quiet("e2undo", undo, self.root) == 0, "e2undo failed."
        # At a boot, `fsck.repair=yes` says yes to the rest, such as to using a copy of the superblock.
        copy = self.folder / "root.copy"
        subprocess.run(["cp", "--sparse=always", self.root, copy], check=True)
        yield copy if quiet("e2fsck", "-y", copy) in MENDED or panic_boots_again(copy) else None

    def root_faults(self, cut: Cut, root: Path) -> Iterator[str]:
        """Yield what is wrong with the repaired root. A whole check takes longest, so a quarter of the cuts get one."""
        if cut.written % 4 == 0 and quiet("e2fsck", "-f", "-n", root):
            yield "the root is damaged after its repair"
        with root.open("rb") as superblock, self.table.open("rb") as table:
            superblock.seek(1024)
            blocks = int.from_bytes(superblock.read(8)[4:], "little")
            table.seek(446 + 16 + 12)
            sectors = int.from_bytes(table.read(4), "little")
        if blocks * 4096 > sectors * SECTOR:
            yield f"the root has {blocks} blocks, and its partition {sectors} sectors"

    def boot_files(self, cut: Cut) -> tuple[int, bytes]:
        """Return the exit code of the repair of the boot partition, and this-pi.txt then. It is kept in order."""
        number = bisect_left(self.boot_writes, cut.written)
        if number not in self.boots:
            copy = self.folder / "boot.copy"
            subprocess.run(["cp", "--sparse=always", self.boot, copy], check=True)
            code = quiet("fsck.vfat", "-a", copy)
            spare = output("mtype", "-i", copy, "::.this-pi.txt.new")  # of which announce.sh makes the file again
            this_pi = output("mtype", "-i", copy, "::this-pi.txt")
            self.boots[number] = code, spare if THIS_PI.fullmatch(spare.decode(errors="replace")) else this_pi
        return self.boots[number]

    def file_faults(self, cut: Cut, root: Path) -> Iterator[str]:
        """Yield what is wrong with the files."""
        with tempfile.TemporaryDirectory(dir=self.folder) as name:
            places = {path: Path(name, str(number)) for number, path in enumerate(FILES)}
            state = debugfs(root, *(f"dump {path} {place}" for path, place in places.items()), *DPKG)
            files = {path: place.read_bytes() for path, place in places.items() if place.exists()}
            if self.dpkg not in state:
                debugfs(root, f"rdump /var/lib/dpkg {name}")
                yield from dpkg_faults(Path(name, "dpkg"))
            if TRAINED in files and not network_is_whole(places[TRAINED]):
                yield "the network is damaged"
        saved = bisect_right(self.saved, cut.written)
        if (found := version_of(files.get(SAVED, b""))) < saved or (SAVED in files and not found):
            yield f"version {saved} of the notebook was acknowledged, and {found or 'a damaged one'} is there"
        repaired, this_pi = self.boot_files(cut)
        if repaired > 1:
            yield f"fsck.vfat cannot repair the boot partition by itself: {repaired}"
        if STAMP in files:
            yield from identity_faults(files, this_pi.decode(errors="replace"))
        elif this_pi and not THIS_PI.fullmatch(this_pi.decode(errors="replace")):
            yield f"this-pi.txt is torn: {this_pi!r}"


def tear(card: Path, root: int = 0, *copies: int) -> None:
    """Tear the superblock of the root that begins at this byte, and its copies in these blocks."""
    with card.open("r+b") as file:
        for superblock in (1024, *(block * 4096 for block in copies)):
            file.seek(root + superblock + 48)  # the time of the last write; the checksum is in another sector
            file.write(bytes(4))


def panic_boots_again(root: Path) -> bool:
    """Run what the image's initramfs runs when e2fsck could not repair the root; return whether it boots again then."""
    with tempfile.TemporaryDirectory() as name:
        reboot, again = Path(name, "reboot"), Path(name, "again")
        reboot.write_text(f"#!/bin/sh\ntouch {again}\n")
        reboot.chmod(0o755)
        environment = os.environ | {"ROOT": str(root), "PATH": f"{name}:{os.environ['PATH']}"}
        subprocess.run([PANIC], env=environment, check=True, capture_output=True)
        return again.exists()


def dpkg_faults(folder: Path) -> Iterator[str]:
    """Yield what keeps dpkg from reading its files, and so from completing what was cut off."""
    if (code := quiet("dpkg", f"--admindir={folder}", "--audit")) > 1:
        yield f"dpkg's status is damaged: {code}"
    # This reads all lists of files. Nothing has this one.
    if (code := quiet("dpkg-query", f"--admindir={folder}", "--search", "/no/such/file")) != 1:
        yield f"dpkg's lists of files are damaged: {code}"


def debugfs(root: Path, *requests: str) -> str:
    """Run requests of debugfs, and return its output."""
    argv: list[str | Path] = ["debugfs", "-f", "-", root]
    done = subprocess.run(argv, input="\n".join(requests), capture_output=True, text=True, check=True)
    return done.stdout


def quiet(*argv: str | Path) -> int:
    """Run a program, and return its exit code."""
    return subprocess.run(argv, capture_output=True, check=False).returncode


def output(*argv: str | Path) -> bytes:
    """Run a program, and return its output."""
    return subprocess.run(argv, capture_output=True, check=False).stdout


def network_is_whole(path: Path) -> bool:
    """Return whether all arrays of a network can be read."""
    with suppress(OSError, ValueError, EOFError, zipfile.BadZipFile), np.load(path) as network:
        return all(network[name].size for name in network)
    return False


def identity_faults(files: dict[str, bytes], this_pi: str) -> Iterator[str]:
    """Yield what is wrong with what a first boot has made, once it has left its stamp."""
    stamps = dict(re.findall(r"^(\w+) ([0-9a-f]{64})$", files[STAMP].decode(errors="replace"), re.M))
    if set(stamps) != {"notebooks", "account"}:
        yield f"the stamp is torn: {files[STAMP]!r}"
    if not (shown := THIS_PI.fullmatch(this_pi)):
        yield f"this-pi.txt is torn: {this_pi!r}"
        return
    if files.get("/etc/hostname", b"").decode(errors="replace") != f"{shown[1]}\n":
        yield f"the name is {files.get('/etc/hostname')!r} and not {shown[1]}"
    if not re.fullmatch(rb"[0-9a-f]{32}\n", files.get("/etc/machine-id", b"")):
        yield f"the machine ID is {files.get('/etc/machine-id')!r}"
    if not key_is_whole(files.get(KEY, b""), files.get(f"{KEY}.pub", b"")):
        yield "the host key is torn"
    account = re.search(rb"^\w+:(\$[^:]+):", files.get("/etc/shadow", b""), re.M)
    if not account:
        yield "the account has no password"
    hashed = files.get(HASH, b"")
    # site.yml may have set another, which this-pi.txt will tell.
    if stamps.get("notebooks") == sha256(hashed).hexdigest() and not opens(shown[2], hashed):
        yield "the password in this-pi.txt does not open the notebooks"
    if not HASHED.match(hashed):
        yield f"the notebooks have no password: {hashed!r}"


@cache
def key_is_whole(private: bytes, public: bytes) -> bool:
    """Return whether SSH's private and public key belong together."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(private)
        file.flush()
        return output("ssh-keygen", "-y", "-P", "", "-f", Path(file.name)).split()[:2] == public.split()[:2] != []


@cache
def opens(password: str, hashed: bytes) -> bool:
    """Return whether a password is the one of Jupyter's hash."""
    with suppress(argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
        return argon2.PasswordHasher().verify(hashed.decode().split("\n")[0].removeprefix("argon2:"), password)
    return False


def check(recording: Recording, cuts: list[Cut]) -> list[tuple[Cut, list[str]]]:
    """Check the card after each of these cuts, which are sorted."""
    with tempfile.TemporaryDirectory(dir=recording.before.parent) as folder:
        card = CardCheck(recording, Path(folder))
        try:
            return [(cut, card.faults(cut)) for cut in cuts]
        finally:
            card.replay.close()


def check_all(recording: Recording, cuts: list[Cut]) -> list[tuple[Cut, list[str]]]:
    """Check the card after each of these cuts, in two processes, which give way to others."""
    size = -(-len(cuts) // 2)
    slices = [cuts[begin : begin + size] for begin in range(0, len(cuts), size)]
    with ProcessPoolExecutor(2, initializer=os.nice, initargs=(10,)) as pool:
        return [one for part in pool.map(partial(check, replace(recording)), slices) for one in part]


def table(recording: Recording, outcomes: list[tuple[Cut, list[str]]]) -> str:
    """Return the table of cuts tried and failed, by activity, and then what failed."""
    log = recording.log
    lines = ["| activity | writes | flushes | in order | torn | failed |", "|---|--:|--:|--:|--:|--:|"]
    begins = [*(log.written(size) for size in recording.activities.values()), len(log.entries) + 1]
    for activity, (begin, end) in zip(recording.activities, pairwise(begins), strict=True):
        here = [(cut, faults) for cut, faults in outcomes if begin <= cut.written < end]
        flushes, torn = sum(begin <= one < end for one in log.flushes), sum(cut.seed > 0 for cut, _ in here)
        failed = sum(bool(faults) for _, faults in here)
        lines.append(f"| {activity} | {end - begin} | {flushes} | {len(here) - torn} | {torn} | {failed} |")
    return "\n".join([*lines, *(f"{cut}: {'; '.join(faults)}" for cut, faults in outcomes if faults)])
