"""The MNIST data set as its makers give it away: IDX, a file of pictures and a file of labels, gzipped or not."""

from __future__ import annotations

import gzip
import os
import struct
import zlib
from pathlib import Path

import numpy as np

from mynn.data import LABELS, PIXELS, SIDE, Bytes, DataError, Examples

_BYTES = 8  # IDX's number for a file whose values are bytes

File = str | os.PathLike[str]


def read_idx(pictures: File, labels: File) -> Examples:
    """Read a pair of IDX files, such as train-images-idx3-ubyte.gz and train-labels-idx1-ubyte.gz.

    Anything but as many labels 0..9 as there are pictures of 28 x 28 is a DataError.
    """
    pixels = _read(pictures, "pictures of 28 x 28 pixels", (SIDE, SIDE)).reshape(-1, PIXELS)
    numbers = _read(labels, "labels", ())
    if len(numbers) != len(pixels):
        raise DataError(f"{labels}: it has {len(numbers)} labels for the {len(pixels)} pictures of {pictures}")
    if len(numbers) and numbers.max() >= LABELS:
        where = int(np.argmax(numbers >= LABELS))
        raise DataError(f"{labels}, label {where + 1}: it is {numbers[where]}, outside 0 to 9; fetch it again")
    return Examples(numbers, pixels)


def _read(path: File, what: str, shape: tuple[int, ...]) -> Bytes:
    """Return the values, (n, *shape), of a file that must hold such things."""
    sizes = 1 + len(shape)
    try:
        with Path(path).open("rb") as file:
            opener = gzip.open if file.read(2) == b"\x1f\x8b" else open
        with opener(path, "rb") as file:
            head = file.read(4 + 4 * sizes)
            if head[:4] != bytes([0, 0, _BYTES, sizes]) or len(head) < 4 + 4 * sizes:
                raise DataError(f"{path}: this is no IDX file of {what}; fetch it again")
            count, *sides = struct.unpack(f">{sizes}I", head[4:])
            if tuple(sides) != shape:
                raise DataError(f"{path}: its pictures are {' x '.join(map(str, sides))} pixels, not {SIDE} x {SIDE}")
            wanted = count * int(np.prod(shape))
            values = bytearray()
            while len(values) <= wanted and (piece := file.read(min(1 << 16, wanted + 1 - len(values)))):
                values += piece
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: the gzip file is damaged; fetch it again") from error
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise DataError(f"{path}: {reason}; give the path of an IDX file") from error
    if len(values) != wanted:
        length = "short" if len(values) < wanted else "long"
        raise DataError(f"{path}: the file is too {length} for the {count} {what} that it promises; fetch it again")
    return np.frombuffer(values, np.uint8).reshape(count, *shape)
