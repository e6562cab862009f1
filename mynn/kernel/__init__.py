"""ctypes bindings of the compiled kernel, if there is one; `STATE` says whether, and if not, why.

kernel.c trains and queries; distort.c distorts digits. Training takes the same steps as network.py. After an epoch of
MNIST the weights differ by about 1e-13: sums are added in another order, and the kernel has its own sigmoid. Distorted
digits may differ by 1 of 255.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mynn.arrays import Bytes
from mynn.checks import RULES
from mynn.kernel._built import sources_of

Array = NDArray[Any]


def _opened(name: str) -> ctypes.CDLL:
    """Load a library. Raise OSError if it is missing, or built from other sources."""
    path = Path(__file__).with_name(name)
    if sources_of(path.parent).encode() not in path.read_bytes():
        raise OSError(f"{name} is not of these sources: `python setup.py build_ext --inplace` builds it anew")
    return ctypes.CDLL(str(path))


try:
    if os.environ.get("MYNN_KERNEL") == "off":
        raise OSError("MYNN_KERNEL is off")
    _library = _opened("_kernel.so")
    if _level := _library.mynn_level():
        _library = _opened(f"_kernel_v{_level}.so")
except OSError as error:
    READY, STATE = False, f"numpy ({error})"
else:
    READY, STATE = True, "compiled (float64, float32)"

_TYPES = {np.dtype(np.float64): ("double", ctypes.c_double), np.dtype(np.float32): ("float", ctypes.c_float)}
_MOST_OUTPUTS = 256  # a label is a byte


def fits(wih: Array, who: Array) -> bool:
    """Return whether the kernel is loaded and can use these weights."""
    return (
        READY
        and wih.dtype in _TYPES
        and wih.dtype == who.dtype
        and wih.ndim == who.ndim == 2
        and wih.shape[0] == who.shape[1]
        and min(*wih.shape, *who.shape) > 0
        and len(who) <= _MOST_OUTPUTS
        and wih.flags.carray  # in C order, and writeable
        and who.flags.carray
    )


def train(wih: Array, who: Array, rate: float, rule: str, rows: Array, labels: Array, table: Array) -> None:
    """Train on examples one by one, and change the weights in place.

    wih, who  weights as in network.py, for which `fits` is true
    rule      one of RULES
    rows      (n, inputs): pixels as uint8, which `table` (256,) maps to inputs; or inputs as floats
    labels    (n,), each below the number of outputs
    """
    if len(labels) != len(rows) or (len(labels) and not 0 <= labels.min() <= labels.max() < len(who)):
        raise ValueError(f"each of the {len(rows)} examples needs a label from 0 to {len(who) - 1}")
    _call("train", wih, who, rows, table, np.ascontiguousarray(labels, np.uint8), float(rate), RULES.index(rule))


def query(wih: Array, who: Array, rows: Array, table: Array) -> Array:
    """Return the outputs for each row, shape (n, outputs). Parameters are as in `train`."""
    outputs = np.empty((len(rows), len(who)), wih.dtype)
    _call("query", wih, who, rows, table, outputs)
    return outputs


def resample(pixels: Bytes, matrices: Array, fields: Array, which: Array) -> Bytes:
    """Return resampled pictures, shape (n, 784): see `_resample` in distort.py."""
    count = len(pixels)
    given = [
        _given(pixels, (count, 784), np.uint8),
        _given(matrices, (count, 2, 3), np.int32),
        _given(fields, (len(fields), 784), np.int32),
        _given(which, (count, 2), np.int32),
    ]
    if which.size and not 0 <= which.min() <= which.max() < len(fields):
        raise ValueError(f"there are {len(fields)} fields, and not one of number {which.min()} or {which.max()}")
    new = np.empty(pixels.shape, np.uint8)
    _library.mynn_resample(*map(_place, given), ctypes.c_long(len(pixels)), _place(new))
    return new


def _given(array: Array, shape: tuple[int, ...], dtype: type) -> Array:
    """Return the array in C order. Raise ValueError if its shape or type differs."""
    if array.shape != shape or array.dtype != dtype:
        raise ValueError(f"there must be an array of shape {shape}, not {array.shape} of {array.dtype}")
    return np.ascontiguousarray(array)


def _call(verb: str, wih: Array, who: Array, rows: Array, table: Array, each: Array, *more: float) -> None:
    """Call a function of kernel.c with pointers and sizes of these arrays.

    Rows are copied only if they are not in C order, or are inputs of another type than the weights.
    """
    if not fits(wih, who) or rows.ndim != 2 or rows.shape[1] != wih.shape[1] or table.shape != (256,):
        raise ValueError(f"rows of shape {rows.shape} do not fit a network of {wih.shape[-1]} inputs")
    name, real = _TYPES[wih.dtype]
    table = np.ascontiguousarray(table, wih.dtype)
    if rows.dtype == np.uint8:
        rows = rows if rows.strides[1] == 1 else np.ascontiguousarray(rows)
        pixels, apart, inputs = _place(rows), rows.strides[0], None
    else:
        rows = np.ascontiguousarray(rows, wih.dtype)
        pixels, apart, inputs = None, 0, _place(rows)
    failed = getattr(_library, f"mynn_{verb}_{name}")(
        *(_place(wih), _place(who), wih.shape[1], wih.shape[0], who.shape[0]),
        *(pixels, ctypes.c_long(apart), inputs, _place(table), ctypes.c_long(len(rows)), _place(each)),
        *(real(number) if isinstance(number, float) else number for number in more),
    )
    if failed:
        raise MemoryError("there is not enough memory for a network of this size")


def _place(array: Array) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)
