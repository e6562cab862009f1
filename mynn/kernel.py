"""The way to the compiled kernel (kernel.c), for those who have it; `STATE` says whether that is so, and why not.

Its steps are those of network.py. After an epoch of MNIST the weights differ by about 1e-13, since sums are added up
in another order, and the sigmoid is its own.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

try:
    if os.environ.get("MYNN_KERNEL") == "off":
        raise ImportError("MYNN_KERNEL is off")
    from mynn._kernel import ffi, lib
except ImportError as error:
    READY, STATE = False, f"numpy ({error})"
else:
    READY, STATE = True, "compiled (float64, float32)"

Array = NDArray[Any]
Bytes = NDArray[np.uint8]

_NAMES = {np.dtype(np.float64): "double", np.dtype(np.float32): "float"}
_MOST_OUTPUTS = 256  # a label is a byte


def fits(wih: Array, who: Array) -> bool:
    """Whether the kernel is there and can work with these weights, just where they lie in memory."""
    return (
        READY
        and wih.dtype in _NAMES
        and wih.dtype == who.dtype
        and wih.ndim == who.ndim == 2
        and wih.shape[0] == who.shape[1]
        and min(*wih.shape, *who.shape) > 0
        and len(who) <= _MOST_OUTPUTS
        and all(weights.flags.c_contiguous and weights.flags.writeable for weights in (wih, who))
    )


def train(wih: Array, who: Array, rate: float, rule: int, rows: Array, labels: Array, table: Array) -> None:
    """Train on examples one after the other; changes the weights in place.

    wih, who  the weights, as in network.py, of which `fits` is true
    rule      its place among network.py's RULES
    rows      (n, inputs): pixels as uint8, which `table` (256,) turns into inputs; or the inputs themselves
    labels    (n,), each below the number of outputs
    """
    run = _Run(wih, who, rows, table)
    if len(labels) != len(rows) or (len(labels) and not 0 <= labels.min() <= labels.max() < len(who)):
        raise ValueError(f"each of the {len(rows)} examples needs a label from 0 to {len(who) - 1}")
    wanted = run.view("unsigned char", np.ascontiguousarray(labels, np.uint8))
    run.call("train", rate, rule, *run.rows, run.table, wanted, len(rows), run.room)


def answers(wih: Array, who: Array, rows: Array, table: Array) -> Bytes:
    """Return the number of the strongest output for each of the rows, shape (n,); for the rest see `train`."""
    run = _Run(wih, who, rows, table)
    found = np.empty(len(rows), np.uint8)
    run.call("answer", *run.rows, run.table, run.view("unsigned char", found), len(rows), run.room)
    return found


def parse(text: bytes, pixels: int, outputs: int) -> tuple[Bytes, Bytes] | None:
    """Parse whole lines of a label, below `outputs`, and so many pixels 0..255.

    Returns labels, shape (n,), and pixels, shape (n, pixels), or None if anything at all is unusual.
    """
    most = len(text) // (2 * (1 + pixels))  # a number and what is behind it have two bytes at least
    labels, rows = np.empty(most, np.uint8), np.empty((most, pixels), np.uint8)
    found = [ffi.from_buffer("unsigned char[]", array) for array in (labels, rows)]
    count = lib.mynn_parse(text, len(text), pixels, outputs, *found, most)
    return None if count < 0 else (labels[:count], rows[:count])


class _Run:
    """One call of the kernel: arrays in the form that it takes, kept alive until it is done."""

    def __init__(self, wih: Array, who: Array, rows: Array, table: Array) -> None:
        if not fits(wih, who) or rows.ndim != 2 or rows.shape[1] != wih.shape[1] or table.shape != (256,):
            raise ValueError(f"rows of shape {rows.shape} do not fit a network of {wih.shape[-1]} inputs")
        self.real, dtype = _NAMES[wih.dtype], wih.dtype
        self.sizes = (wih.shape[1], wih.shape[0], who.shape[0])
        self.weights = (self.view(self.real, wih), self.view(self.real, who))
        self.table = self.view(self.real, np.ascontiguousarray(table, dtype))
        if rows.dtype == np.uint8:
            self.rows = (self.view("unsigned char", np.ascontiguousarray(rows)), ffi.NULL)
        else:
            self.rows = (ffi.NULL, self.view(self.real, np.ascontiguousarray(rows, dtype)))
        room = getattr(lib, f"mynn_room_{self.real}")(*self.sizes)
        self.room = self.view("unsigned char", np.empty(room, np.uint8))

    @staticmethod
    def view(kind: str, array: Array) -> Any:
        return ffi.from_buffer(f"{kind}[]", array)

    def call(self, verb: str, *arguments: Any) -> None:
        getattr(lib, f"mynn_{verb}_{self.real}")(*self.weights, *self.sizes, *arguments)
