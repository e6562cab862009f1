"""Reader for MNIST as CSV, one handwritten digit a line, `label,784 pixels`; or as IDX, see idx.py.

A CSV may have a heading, a byte order mark, blank lines, and `;` in place of commas, as other programs write it.

Pixels stay bytes: 60,000 digits take 47 MB. As the network's floats they would take 376 MB, too much for a
Pi Zero, so each digit is scaled only when it is used.

`NAME.csv.npy` beside a CSV caches it: the same numbers as an array of bytes, shape (n, 785), and their CRC-32. It is
memory-mapped, so only the rows in use are read; the CRC is checked when all rows are requested. Each Pi has such files
for MNIST. For another CSV of at least 1,000 digits, the first complete reading writes one. It can be deleted any time.
"""

from __future__ import annotations

import os
import zlib
from codecs import BOM_UTF8
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from mynn import checks, idx
from mynn.arrays import Bytes, Floats
from mynn.errors import DataError, os_errors_as
from mynn.files import replacing
from mynn.rows import LABELS as LABELS
from mynn.rows import PIXELS as PIXELS
from mynn.rows import SIDE as SIDE
from mynn.translation import N_, _, language

_NUMBERS = 1 + PIXELS  # per line
_LONGEST = 100_000  # most bytes read as one line: a valid line has up to 3,140
_WORTH_KEEPING = 1000  # least number of digits to cache: fewer are parsed fast enough

_VALUES = {b"%d" % value: value for value in range(256)}


@dataclass(frozen=True)
class Examples:
    """Digits with their labels.

    `labels`  the digits, 0..9, shape (n,), one byte each
    `pixels`  0 (background) to 255 (ink), row by row from the top left, shape (n, 784), one byte each

    Iteration gives pairs (inputs, label), ready for the network: inputs of shape (784,) in 0.01..1.0 and the
    label as an int. `examples[7]` is one such pair, `examples[:100]` the Examples of the first hundred, and
    `examples[indices]` those of an array of indices. Raise TypeError for arrays of another type, ValueError for
    another number of dimensions or different lengths.
    """

    labels: Bytes
    pixels: Bytes

    def __post_init__(self) -> None:
        """Check the type and shape of both arrays."""
        for name, array, kind in (("labels", self.labels, np.integer), ("pixels", self.pixels, np.uint8)):
            if not isinstance(array, np.ndarray) or not np.issubdtype(array.dtype, kind):
                given = array.dtype if isinstance(array, np.ndarray) else checks.shown(array)
                sentence = _("{name} must be an array of bytes (numpy's uint8), not {value}")
                raise TypeError(sentence.format(name=name, value=given))
        if self.labels.ndim != 1 or self.pixels.ndim != 2 or len(self.labels) != len(self.pixels):
            sentence = _("labels must have shape (n,) and pixels (n, {size}), not {labels} and {pixels}")
            raise ValueError(sentence.format(size=PIXELS, labels=self.labels.shape, pixels=self.pixels.shape))

    def __len__(self) -> int:
        """Return the number of digits."""
        return len(self.labels)

    @overload
    def __getitem__(self, which: int | np.integer[Any]) -> tuple[Floats, int]: ...
    @overload
    def __getitem__(self, which: slice | NDArray[Any]) -> Examples: ...
    def __getitem__(self, which: Any) -> tuple[Floats, int] | Examples:
        """Return (inputs, label) of one digit, or the Examples of a slice or an array of indices."""
        if isinstance(which, slice | np.ndarray):
            return Examples(self.labels[which], self.pixels[which])
        return scale(self.pixels[which]), int(self.labels[which])

    def __iter__(self) -> Iterator[tuple[Floats, int]]:
        """Yield (inputs, label), one digit at a time."""
        for label, pixels in zip(self.labels, self.pixels, strict=True):
            yield scale(pixels), int(label)


def scale(pixels: Bytes) -> Floats:
    """Return pixels 0..255 as inputs 0.01..1.0, in the same shape.

    They do not start at 0: a weight changes in proportion to its signal, so behind a 0 it would never learn.
    """
    inputs: Floats = pixels / 255.0 * 0.99 + 0.01
    return inputs


def targets_for(label: int, output_nodes: int = LABELS) -> Floats:
    """Return the desired outputs, shape (output_nodes,): 0.99 for the label, 0.01 for all others."""
    targets = np.full(output_nodes, 0.01)
    targets[label] = 0.99
    return targets


def require_digits(wih: Floats, who: Floats) -> None:
    """Raise DataError unless a network with these weights has 784 inputs and 10 outputs."""
    inputs, outputs = wih.shape[1], len(who)
    if (inputs, outputs) != (PIXELS, LABELS):
        sentence = _(
            "this network has {inputs} inputs and {outputs} outputs; give one that reads digits, with 784 and 10"
        )
        raise DataError(sentence.format(inputs=inputs, outputs=outputs))


def named(label: int) -> str:
    """Return a digit with its article, "a 7" or "an 8"; in other languages only "7": translations add the article."""
    if language() != "en":
        return str(label)
    return f"an {label}" if label == 8 else f"a {label}"


def mnist_folder() -> Path:
    """Return the folder of the CSVs: the variable MNIST_DIR, or the folder on a Pi."""
    return Path(os.environ.get("MNIST_DIR") or "/srv/mynn/mnist")


def read_csv(path: str | os.PathLike[str], limit: int | None = None) -> Examples:
    """Return the digits of a CSV, the first `limit` at most, mapped from the .npy beside it or parsed.

    Parsing needs 785 bytes of memory a digit and little more. Raise DataError if the file is missing or empty, or a
    line is not a label 0..9 and 784 pixels 0..255.

    The path may also be one of MNIST's IDX files of pixels, such as `train-images-idx3-ubyte`, with its labels in the
    file beside it. Each file may be compressed, as NAME.gz or NAME.xz.
    """
    if not isinstance(path, str | os.PathLike):
        raise TypeError(_("read_csv needs the path of a CSV, not {value}").format(value=checks.shown(path)))
    if limit is not None:
        checks.whole("limit", limit)
    path = Path(path)
    missing = N_("{reason}; set MNIST_DIR to the folder of MNIST, which `mynn mnist FOLDER` makes")
    with os_errors_as(missing, path=path):
        changed = path.stat().st_mtime_ns
        rows = load(path, limit)
        if rows is None:
            with idx.opened(path) as file:
                is_idx = file.peek(4).startswith(idx.PICTURES)
                rows, whole = (idx.rows(file, path, limit), False) if is_idx else _parsed(file, path, limit)
            if whole and len(rows) >= _WORTH_KEEPING:
                _keep(path, rows, changed)
    return Examples(rows[:, 0], rows[:, 1:])


def load(path: Path, limit: int | None = None) -> Bytes | None:
    """Return the first rows of the .npy beside a CSV, (n, 785), memory-mapped and read-only.

    Return None if it is missing, damaged or cut off, or if the CSV has changed since. The .npy has the mtime of its
    CSV. A program that changes a CSV and resets its mtime is caught by the ctime. With a limit below the number of
    rows, damaged pixels go unnoticed.
    """
    place = Path(f"{path}.npy")
    try:
        about, csv = place.stat(), path.stat()
        # No ctime check for a Pi's read-only MNIST: only root can change it, and may copy the two in any order.
        if about.st_mtime_ns != csv.st_mtime_ns or (os.access(path, os.W_OK) and about.st_ctime_ns < csv.st_ctime_ns):
            return None
        rows = np.load(place, mmap_mode="r")
        whole = rows.offset + rows.nbytes + 4 == about.st_size
        right = rows.dtype == np.uint8 and rows.ndim == 2 and rows.shape[1] == _NUMBERS and rows.flags.c_contiguous
        if not (whole and right):
            return None
        if limit is None or limit >= len(rows):
            with place.open("rb") as file:
                file.seek(-4, os.SEEK_END)
                if file.read() != _sum(rows):
                    return None
        some: Bytes = rows[:limit].view(np.ndarray)
        return some if some[:, 0].max() < LABELS else None
    except Exception:  # missing, or damaged: damage raises any of a dozen kinds of error
        return None


def _sum(rows: Bytes) -> bytes:
    return zlib.crc32(rows).to_bytes(4, "little")


def _keep(path: Path, rows: Bytes, changed: int) -> None:
    """Write the .npy of a CSV, whole or not at all; ignore an OSError, since it is only a cache."""
    with suppress(OSError), replacing(Path(f"{path}.npy"), path.stat().st_mode & 0o666) as file:
        np.save(file, rows)
        file.write(_sum(rows))
        file.flush()
        os.utime(file.name, ns=(changed, changed))


def _parsed(file: idx.File, path: Path, limit: int | None) -> tuple[Bytes, bool]:
    """Return the digits of an open CSV, (n, 785), and whether that is the whole file."""
    rows = bytearray()
    for number, line in enumerate(iter(lambda: file.readline(_LONGEST), b""), 1):
        fields = line.removeprefix(BOM_UTF8).rstrip(b"\r\n").replace(b";", b",").split(b",")
        if fields == [b""] or (number == 1 and _is_heading(fields)):
            continue
        try:
            row = bytes(map(_VALUES.__getitem__, fields))
        except KeyError:
            row = b""
        if len(row) != _NUMBERS or row[0] >= LABELS:
            sentence = _("{path}, line {number}: {wrong}; correct that line, or fetch the file again")
            raise DataError(sentence.format(path=path, number=number, wrong=_what_is_wrong(fields)))
        rows += row
        if len(rows) == _NUMBERS * (limit or 0):
            break
    whole = not file.read(1)
    if not rows:
        raise DataError(f"{path}: " + _("this file is empty; fetch it again"))
    return np.frombuffer(rows, np.uint8).reshape(-1, _NUMBERS), whole


def _is_heading(fields: list[bytes]) -> bool:
    """Return whether these are names of columns, such as `label,pixel0,...` or `label,1x1,...`."""
    return len(fields) == _NUMBERS and (fields[0].strip(b'"') == b"label" or not any(map(bytes.isdigit, fields)))


def _what_is_wrong(fields: list[bytes]) -> str:
    if len(fields) != _NUMBERS:
        return _("this is not 785 numbers (a label and 784 pixels), but {count}").format(count=len(fields))
    most = [LABELS - 1] + [255] * PIXELS
    pixel = next(place for place, field in enumerate(fields) if _VALUES.get(field, 256) > most[place])
    label = _("the label is {shown}, and not a whole number from 0 to 9")
    sentence = _("pixel {number} is {shown}, and not a whole number from 0 to 255") if pixel else label
    return sentence.format(number=pixel, shown=repr(fields[pixel][:20].decode("utf-8", "replace")))
