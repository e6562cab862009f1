"""Reader for IDX, the format in which MNIST was published: files of pixels, files of labels, mostly compressed."""

from __future__ import annotations

import gzip
import lzma
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np

from mynn.arrays import Bytes
from mynn.errors import DataError
from mynn.rows import LABELS, PIXELS, SIDE
from mynn.translation import _

PICTURES, NUMBERS = b"\0\0\x08\x03", b"\0\0\x08\x01"  # magic numbers of a file of pixels, and of labels

_OPENERS: dict[str, Any] = {".gz": gzip.open, ".xz": lzma.open}

File = BufferedReader | gzip.GzipFile | lzma.LZMAFile


@contextmanager
def opened(path: Path) -> Iterator[File]:
    """Open a file; unpack NAME.gz and NAME.xz. Raise DataError if it is damaged."""
    try:
        with _OPENERS.get(path.suffix, open)(path, "rb") as file:
            yield file
    except (EOFError, gzip.BadGzipFile, lzma.LZMAError, zlib.error) as error:
        sentence = _("this file is damaged ({error}); fetch it again")
        raise DataError(f"{path}: " + sentence.format(error=error)) from None


def rows(file: File, path: Path, limit: int | None) -> Bytes:
    """Return the digits of an open file of pixels, each after its label: shape (n, 785).

    The labels are in the file beside it, `train-labels-idx1-ubyte` for `train-images-idx3-ubyte`. Raise DataError
    if the two files do not match, or hold anything but labelled digits of 28 x 28.
    """
    beside = path.with_name(path.name.replace("images", "labels").replace("idx3", "idx1"))
    if beside == path:
        sentence = _("this file has no labels; rename it, as train-images-idx3-ubyte, and put theirs beside it")
        raise DataError(f"{path}: {sentence}")
    with opened(beside) as other:
        total = _count(other, beside, NUMBERS)
        count = total if limit is None else min(total, limit)
        labels = _read(other, beside, count, count == total)
    if _count(file, path, PICTURES, SIDE, SIDE) != total:
        raise DataError(f"{path}: " + _("the labels in {file} do not match; fetch both again").format(file=beside.name))
    pixels = _read(file, path, count * PIXELS, count == total)
    if not count or max(labels) >= LABELS:
        raise DataError(f"{beside}: " + _("these are not labels of digits; fetch it again"))
    parts = np.frombuffer(labels, np.uint8)[:, None], np.frombuffer(pixels, np.uint8).reshape(count, PIXELS)
    return np.hstack(parts)


def _count(file: File, path: Path, kind: bytes, *sides: int) -> int:
    """Read the header and return the number of items. Raise DataError if the kind or the picture size differs."""
    head = file.read(8 + 4 * len(sides))
    if head[:4] != kind or head[8:] != b"".join(side.to_bytes(4, "big") for side in sides):
        pictures = _("this is not an IDX file of pictures of 28 x 28; fetch it again")
        raise DataError(f"{path}: " + (pictures if sides else _("this is not an IDX file of labels; fetch it again")))
    return int.from_bytes(head[4:8], "big")


def _read(file: File, path: Path, size: int, whole: bool) -> bytes:
    """Read `size` bytes. If `whole`, the file must end there: at its end, gzip and xz verify their checksums."""
    content = file.read(size)
    if len(content) < size or (whole and file.read(1)):
        raise DataError(f"{path}: " + _("this file is cut off, or too long; fetch it again"))
    return content
