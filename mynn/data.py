"""The MNIST data set as CSV: one handwritten digit a line, `label,784 pixels`, no header.

Pixels are kept as they come, one byte each: 60,000 digits take 47 MB that way and 376 MB as the
numbers that the network works with, which a Pi Zero does not have. They are scaled one digit at a
time, when they are used.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mynn import cache, kernel

SIDE = 28  # a digit is 28 x 28 pixels
PIXELS = SIDE * SIDE
LABELS = 10

_NUMBERS = 1 + PIXELS  # on a line
_LINES, _PIECE = 50, 100_000  # lines or bytes read at once: few calls, and arrays that stay near a small processor
_STACKED = 1000  # examples gathered at once, where they do not lie together already

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float64]
Pair = tuple[ArrayLike, int]  # inputs, shape (input_nodes,), and their label
Block = tuple[NDArray[Any], NDArray[Any]]  # rows, shape (n, ...), and their labels, shape (n,)


class DataError(ValueError):
    """Data that cannot be used: the message says which file, which line, why, and what to do."""


@dataclass(frozen=True)
class Examples:
    """Digits with their labels.

    `labels`  which digit each one is, 0..9, shape (n,), one byte each
    `pixels`  0 (paper) to 255 (ink), row by row from the top left, shape (n, 784), one byte each

    Going through them gives (inputs, label) one by one, ready for the network: inputs of shape (784,)
    in 0.01..1.0 and the label as an int; so does `examples[7]`. `examples[:100]` are the first hundred,
    and `examples[indices]` those of an array of indices.
    """

    labels: Bytes
    pixels: Bytes

    def __len__(self) -> int:
        """Return how many digits there are."""
        return len(self.labels)

    @overload
    def __getitem__(self, which: int | np.integer[Any]) -> tuple[Floats, int]: ...
    @overload
    def __getitem__(self, which: slice | NDArray[Any]) -> Examples: ...
    def __getitem__(self, which: Any) -> tuple[Floats, int] | Examples:
        """Return (inputs, label) of one, or the examples of a slice or an array."""
        if isinstance(which, slice | np.ndarray):
            return Examples(self.labels[which], self.pixels[which])
        return scale(self.pixels[which]), int(self.labels[which])

    def __iter__(self) -> Iterator[tuple[Floats, int]]:
        """Give (inputs, label), one digit at a time."""
        for label, pixels in zip(self.labels, self.pixels, strict=True):
            yield scale(pixels), int(label)


def scale(pixels: Bytes) -> Floats:
    """Return pixels 0..255 as inputs 0.01..1.0, in the same shape.

    Not from 0: a weight moves in proportion to the signal that it carried, so behind a 0 it never would.
    """
    inputs: Floats = pixels / 255.0 * 0.99 + 0.01
    return inputs


def targets_for(label: int, output_nodes: int = LABELS) -> Floats:
    """Return what the outputs should be, shape (output_nodes,): 0.99 for the label, 0.01 for all others."""
    targets = np.full(output_nodes, 0.01)
    targets[label] = 0.99
    return targets


def pick(examples: Examples | Sequence[Pair], order: range | NDArray[np.integer[Any]], size: int) -> Iterator[Block]:
    """Give the examples in this order, as blocks of that size: see `blocks`."""
    for first in range(0, len(order), size):
        indices = order[first : first + size]
        if isinstance(examples, Examples):
            # those that lie together need not be copied
            which = slice(indices.start, indices.stop) if isinstance(indices, range) else indices
            yield examples.pixels[which], examples.labels[which]
        else:
            yield _stack([examples[index] for index in indices])


def blocks(examples: Iterable[Pair]) -> Iterator[Block]:
    """Give the examples as blocks of (rows, labels).

    The rows of `Examples` are pixels, (n, 784), one byte each; those of other pairs are inputs, (n, inputs).
    """
    if isinstance(examples, Examples):
        if len(examples):
            yield examples.pixels, examples.labels
        return
    pairs = iter(examples)
    while block := list(islice(pairs, _STACKED)):
        yield _stack(block)


def _stack(pairs: list[Pair]) -> Block:
    return np.array([inputs for inputs, _ in pairs], np.float64), np.array([label for _, label in pairs], np.intp)


def mnist_folder() -> Path:
    """Return the folder of the CSVs: where a Pi has them, or what the variable MNIST_DIR says."""
    return Path(os.environ.get("MNIST_DIR") or "/srv/mynn/mnist")


def read_csv(path: str | os.PathLike[str], limit: int | None = None) -> Examples:
    """Read a CSV of digits; with a limit, no more lines than that are read.

    Needs 785 bytes of memory a digit and little more; less after the first time, when the digits are in the
    cache and are looked up there as they are needed (mynn.cache). A file that is missing or empty, or a line
    that is not a label 0..9 and 784 pixels 0..255, is a DataError.
    """
    kept = cache.find(path, PIXELS, limit)
    if kept:
        return Examples(*kept)
    state = cache.state_of(path)
    examples, whole = _read(path, limit)
    if whole:
        cache.keep(path, state, examples.labels, examples.pixels)
    return examples


def _read(path: str | os.PathLike[str], limit: int | None) -> tuple[Examples, bool]:
    """Return the digits, and whether these are all of the file."""
    labels, pixels, read = bytearray(), bytearray(), 0
    try:
        with Path(path).open("rb") as file:
            for text in _pieces(file, limit):
                found = _parse(text) or _parse_with_care(text, path, len(labels) + 1)
                labels += found[0].data
                pixels += found[1].data
                read += len(text)
            whole = read == os.fstat(file.fileno()).st_size
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise DataError(f"{path}: {reason}; set MNIST_DIR to the folder of MNIST") from error
    if not labels:
        raise DataError(f"{path}: there is not one line in this file; fetch it again")
    return Examples(np.frombuffer(labels, np.uint8), np.frombuffer(pixels, np.uint8).reshape(-1, PIXELS)), whole


def _pieces(file: IO[bytes], limit: int | None) -> Iterator[bytes]:
    """Give the text of the file, whole lines at a time; with a limit, no more lines than that."""
    if limit is not None:
        lines = islice(file, limit)
        while text := b"".join(islice(lines, _LINES)):
            yield text
        return
    rest = b""
    while more := file.read(_PIECE):
        text, newline, rest = (rest + more).rpartition(b"\n")
        if not newline:  # more than any line of digits has
            text, rest = rest, b""
        yield text + newline
    if rest:
        yield rest


def _parse(text: bytes) -> tuple[Bytes, Bytes] | None:
    """Parse whole lines quickly: labels (n,) and pixels (n, 784), or None if anything at all is unusual.

    The compiled kernel does it if it is there, else numpy. Then a number is found from its end, the comma or
    newline behind it: its ones are one character before that, its tens two, its hundreds three.
    """
    if kernel.READY:
        return kernel.parse(text, PIXELS, LABELS)
    chars = np.frombuffer(text, np.uint8)
    ends = np.flatnonzero(chars < ord("0"))  # whatever comes before "0" should be a comma or a newline
    if len(ends) != text.count(b"\n") * _NUMBERS or not len(ends) or chars.max() > ord("9"):
        return None
    separators = chars[ends].reshape(-1, _NUMBERS)
    if (separators[:, :-1] != ord(",")).any() or (separators[:, -1] != ord("\n")).any():
        return None
    digits = np.diff(ends, prepend=-1) - 1  # how many digits each number has
    if digits.min() < 1 or digits.max() > 3:
        return None

    numbers = (chars[ends - 1] - ord("0")).astype(np.int16)
    for power in (1, 2):
        longer = np.flatnonzero(digits > power)
        numbers[longer] += 10**power * (chars[ends[longer] - 1 - power] - ord("0")).astype(np.int16)
    rows = numbers.reshape(-1, _NUMBERS)
    if rows.max() > 255 or rows[:, 0].max() >= LABELS:
        return None
    return rows[:, 0].astype(np.uint8), rows[:, 1:].astype(np.uint8)


def _parse_with_care(text: bytes, path: str | os.PathLike[str], first: int) -> tuple[Bytes, Bytes]:
    """Parse lines that may hold blanks or Windows line ends, or name the first bad one and its reason."""
    rows = []
    for number, line in enumerate(text.removesuffix(b"\n").split(b"\n"), first):
        fields = [field.strip() for field in line.split(b",")]
        reason = _whats_wrong(fields)
        if reason:
            raise DataError(f"{path}, line {number}: {reason}; mend that line, or fetch the file again")
        rows.append([int(field) for field in fields])
    digits = np.array(rows, np.uint8)
    return digits[:, 0].copy(), digits[:, 1:].copy()


def _whats_wrong(fields: list[bytes]) -> str | None:
    if fields == [b""]:
        return "the line is blank"
    if len(fields) != _NUMBERS:
        length = "short" if len(fields) < _NUMBERS else "long"
        return f"the line is too {length}: {len(fields)} numbers, not {_NUMBERS} (a label and 784 pixels)"
    for index, field in enumerate(fields):
        name, most = (f"pixel {index}", 255) if index else ("the label", LABELS - 1)
        shown = repr(field[:20].decode("utf-8", "replace"))
        if not field.removeprefix(b"-").isdigit():
            return f"{name} is {shown}, which is not a whole number"
        if field.startswith(b"-") or len(field) > 20 or int(field) > most:
            return f"{name} is {shown}, outside 0 to {most}"
    return None
