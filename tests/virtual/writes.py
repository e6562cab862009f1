"""What was written to a card, as QEMU's driver blklogwrites logs it, and the card as a power cut would have left it.

Linux flushes a card only if the card says that it has a volatile cache. QEMU's says no, like most real ones
(/sys/block/mmcblk0/queue/write_cache is "write through"), and no flush is in the log of a board. There, a write that
was answered is durable, and a cut leaves what the log has up to some block of 512 bytes. Such a cut is *in order*.

A card with a cache may keep any of the blocks written since the last flush. A *torn* cut loses some of them. Where
Linux would have flushed can be seen: ext4 does so before each commit block and superblock of its journal, which begin
with a magic number, and these are durable before it goes on. Other flushes are not seen, such as those of FAT. So all
that is outside the last partition is kept in order, and in that, more may be lost than such a card would lose.
"""

import mmap
import os
import random
import struct
import subprocess
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

from tests.support.image import SECTOR

_MAGIC = 0x6A736677736872  # of dm-log-writes
_FLUSH, _DISCARD = 1, 4
_JOURNAL, _COMMIT, _SUPERBLOCKS = 0xC03B3998, 2, (3, 4)
_JOURNAL_BLOCK = 4096 // SECTOR


@dataclass(frozen=True)
class Write:
    """An entry of a log: its first sector on the card, how many, its flags, and where in the log its data are."""

    sector: int
    count: int
    flags: int
    data: int

    @property
    def end(self) -> int:
        """Where in the log the next entry begins."""
        return self.data + self.count * SECTOR


@dataclass(frozen=True, order=True)
class Cut:
    """A power cut after ``written`` entries of a log. Of those after the first ``durable``, the seed says what is lost.

    Without a seed, nothing is.
    """

    durable: int
    written: int
    seed: int = 0

    def __str__(self) -> str:
        kept = f"torn after {self.durable}, seed {self.seed}" if self.seed else "in order"
        return f"cut after {self.written} writes ({kept})"


class Log:
    """The entries of a log, up to the last one that is complete: its board may be running.

    What is written to sectors before ``ordered`` is kept in order.
    """

    def __init__(self, path: Path, ordered: int) -> None:
        self._ordered = ordered
        with path.open("rb") as file:
            self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        magic, _, _, sector = struct.unpack_from("<QQQI", self._bytes)
        # QEMU writes the first sector after some thousand entries.
        if (magic, sector) not in ((_MAGIC, SECTOR), (0, 0)):
            raise ValueError(f"{path} is no log of writes in sectors of {SECTOR} bytes.")
        self.entries = list(self._read())
        self._ends = [entry.end for entry in self.entries]

    def _read(self) -> Iterator[Write]:
        place = SECTOR
        while place + SECTOR <= len(self._bytes):
            sector, count, flags, _ = struct.unpack_from("<QQQQ", self._bytes, place)
            # A card that discards blocks may keep their contents.
            entry = Write(sector, 0 if flags & (_FLUSH | _DISCARD) else count, flags, place + SECTOR)
            if entry.end > len(self._bytes):
                return
            yield entry
            place = entry.end

    def data(self, entry: Write) -> bytes:
        """Return what an entry wrote."""
        return self._bytes[entry.data : entry.end]

    def written(self, size: int) -> int:
        """Return how many entries were complete when the log had this size."""
        return bisect_right(self._ends, size)

    @cached_property
    def flushes(self) -> list[int]:
        """Numbers of entries: when that many were written, Linux flushed, or would have (see above)."""
        found = {0, len(self.entries)}
        for number, entry in enumerate(self.entries):
            if entry.flags & _FLUSH:
                found.add(number)
            elif entry.count:
                magic, kind = struct.unpack_from(">II", self._bytes, entry.data)
                if magic == _JOURNAL and kind in (_COMMIT, *_SUPERBLOCKS):
                    found |= {number, number + -(-_JOURNAL_BLOCK // entry.count)}
        return sorted(number for number in found if number <= len(self.entries))

    def cuts(self, count: int, seed: int) -> list[Cut]:
        """Draw power cuts, sorted: at each flush and after each write that is kept in order, and between two flushes.

        If the former would be more than half of them, some of those are drawn, too.
        """
        draw = random.Random(seed)
        alone = [n + 1 for n, entry in enumerate(self.entries) if entry.count and entry.sector < self._ordered]
        moments = sorted({*self.flushes, *alone})
        cuts = {Cut(number, number) for number in draw.sample(moments, min(len(moments), count // 2))}
        between = list(pairwise(self.flushes))
        for number in range(1, 20 * count):
            if len(cuts) == count:
                break
            begin, end = draw.choice(between)
            at = draw.randrange(begin, end)  # once all of them are there, the flush may have been answered
            cuts.add(Cut(begin, at, number) if number % 2 else Cut(at, at))
        return sorted(cuts)

    def lost(self, cut: Cut) -> set[int]:
        """Return the entries that a cut loses."""
        draw = random.Random(cut.seed)
        chance, whole = draw.random(), draw.random() < 0.5  # either any block may be lost, or whole requests
        lost, at, is_lost = set(), -1, False
        for number in range(cut.durable, cut.written):
            entry = self.entries[number]
            if not whole or entry.sector != at:
                is_lost = draw.random() < chance
            if is_lost and entry.sector >= self._ordered:
                lost.add(number)
            at = entry.sector + entry.count
        return lost if cut.seed else set()


class Replay:
    """A card's contents, in a file for each part of it, which ``parts`` names by its first sector."""

    def __init__(self, log: Log, before: Path, parts: dict[int, Path]) -> None:
        self.log, self._done = log, 0
        sectors = before.stat().st_size // SECTOR
        for (first, path), end in zip(parts.items(), [*list(parts)[1:], sectors], strict=True):
            size = [f"skip={first * SECTOR}", f"count={(end - first) * SECTOR}"]
            flags = ["bs=1M", "iflag=skip_bytes,count_bytes", "conv=sparse", "status=none"]
            subprocess.run(["dd", f"if={before}", f"of={path}", *size, *flags], check=True)
            os.truncate(path, (end - first) * SECTOR)  # a hole at the end
        self._files = {first: os.open(path, os.O_RDWR) for first, path in parts.items()}

    def close(self) -> None:
        """Close the files."""
        for file in self._files.values():
            os.close(file)

    def _place(self, entry: Write) -> tuple[int, int]:
        """Return the file and the offset that an entry writes to; none writes to two parts."""
        first = max(first for first in self._files if first <= entry.sector)
        return self._files[first], (entry.sector - first) * SECTOR

    @contextmanager
    def at(self, cut: Cut) -> Iterator[None]:
        """Make the card as this cut leaves it. Later cuts must not be durable earlier."""
        for entry in self.log.entries[self._done : cut.durable]:
            file, offset = self._place(entry)
            os.pwrite(file, self.log.data(entry), offset)
        self._done = cut.durable
        lost, undo = self.log.lost(cut), []
        for number in range(cut.durable, cut.written):
            entry = self.log.entries[number]
            if number not in lost:
                file, offset = self._place(entry)
                undo.append((file, os.pread(file, entry.count * SECTOR, offset), offset))
                os.pwrite(file, self.log.data(entry), offset)
        try:
            yield
        finally:
            for file, data, offset in reversed(undo):
                os.pwrite(file, data, offset)
