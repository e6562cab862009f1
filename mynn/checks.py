"""Validation of arguments to a network. Messages name the fault and the expected value."""

from __future__ import annotations

import operator
import reprlib
import warnings
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from mynn.arrays import Floats
from mynn.translation import N_, _, in_figures

RULES = ("book", "gradient", "cross-entropy")  # of NeuralNetwork, in kernel.c's order
LARGEST = 1 << 28  # bytes: limit of each array of weights; some 40,000 hidden nodes
UNSCALED = 10  # inputs that go above this, with none below 0, are pixels or measurements, and teach next to nothing
FAINT = 64  # pixels that all stay below this go up to 16, say: divided by 255, they would hardly be seen
HIGHEST_RATE = 10.0  # far above any useful rate: beyond it, each example undoes the learning from the others


def learning_rate(rate: float) -> float:
    """Return the rate as a float. Raise TypeError if it is not a number, ValueError unless 0 < rate <= HIGHEST_RATE."""
    if not isinstance(rate, Real):
        raise TypeError(_("the learning rate must be a number, not {value}").format(value=shown(rate)))
    if not 0 < rate <= HIGHEST_RATE:  # also true of nan
        sentence = _(
            "a learning rate of {rate} makes no sense: choose one above 0 and at most {most}; 0.01 to 0.3 is usual"
        )
        raise ValueError(sentence.format(rate=in_figures(f"{rate:g}"), most=f"{HIGHEST_RATE:g}"))
    return float(rate)


def rule(name: str) -> str:
    """Return a rule's name unchanged. Raise ValueError for an unknown rule."""
    if name not in RULES:
        sentence = _("there is no rule {name}; choose one of {rules}")
        raise ValueError(sentence.format(name=repr(name), rules=", ".join(RULES)))
    return name


def weights(wih: ArrayLike, who: ArrayLike) -> None:
    """Raise ValueError unless the weights fit together, are float64 or float32, not empty, not too large, finite."""
    try:
        first, last = np.asarray(wih), np.asarray(who)  # a student may have assigned lists
    except ValueError:  # rows of different lengths
        raise ValueError(_("its arrays do not fit together")) from None
    if first.ndim != 2 or last.ndim != 2 or last.shape[1] != first.shape[0]:
        raise ValueError(_("its arrays do not fit together"))
    whole(N_("the number of hidden nodes"), len(first))
    for array in (first, last):
        if array.dtype not in (np.float64, np.float32):
            raise ValueError(_("its weights are {dtype}, and must be float64 or float32").format(dtype=array.dtype))
        if array.nbytes >= LARGEST:
            raise ValueError(_("it has too many nodes: the most is {size} MB of weights").format(size=LARGEST >> 20))
        if not np.isfinite(array).all():
            raise ValueError(_("some of its weights are not numbers"))


def result(array: Floats, wih: Floats, who: Floats) -> Floats:
    """Return a network's answer unchanged. Raise ValueError, with the cause, if it is not finite."""
    if not np.isfinite(array).all():
        weights(wih, who)
        raise ValueError(_("its inputs or weights are so large that their sums are not numbers"))
    return array


def whole(name: str, number: int, least: int = 1) -> int:
    """Return a whole number unchanged. Raise TypeError if it is not one, ValueError if it is below `least`.

    name: the argument's name or description for the message, marked for translation
    """
    try:
        operator.index(number)
    except TypeError:
        sentence = _("{name} must be a whole number, not {value}")
        raise TypeError(sentence.format(name=_(name), value=shown(number))) from None
    if number < least:
        sentence = _("{name} must be {least} or more, not {number}")
        raise ValueError(sentence.format(name=_(name), least=least, number=number))
    return number


def signals(name: str, values: ArrayLike, nodes: int, dtype: DTypeLike) -> NDArray[Any]:
    """Return values as an array of shape (nodes,).

    Raise TypeError if they are not numbers, ValueError if their shape differs, or one is nan or infinite.
    """
    try:
        array = np.asarray(values, dtype)
    except (TypeError, ValueError):
        sentence = _("{name} must be {count} numbers, not {value}")
        raise TypeError(sentence.format(name=name, count=nodes, value=shown(values))) from None
    if array.shape != (nodes,):
        raise ValueError(_misshapen(name, array, nodes).format(name=name, count=nodes, shape=array.shape))
    finite(name, array)
    return array


def finite(name: str, array: NDArray[Any]) -> None:
    """Raise ValueError for nan or infinity, which would turn all weights into nan."""
    if not np.isfinite(array).all():
        sentence = _("{name} must be numbers, but one of them is {value}")
        raise ValueError(sentence.format(name=name, value=array[~np.isfinite(array)][0]))


def _misshapen(name: str, array: NDArray[Any], nodes: int) -> str:
    if array.size == nodes:
        return _("{name} must have shape ({count},), not {shape}; use .reshape({count})")
    if name == "targets" and not array.ndim:
        return _("{name} must have shape ({count},), not {shape}; targets_for(label) makes them")
    return _("{name} must have shape ({count},), not {shape}")


def rows(array: NDArray[Any], nodes: int) -> None:
    """Raise ValueError if examples have another number of inputs than the network, or inputs that are not finite.

    Raise TypeError if inputs are not numbers.
    """
    if array.dtype.kind not in "uif":
        raise TypeError(_("inputs must be numbers, not {dtype}").format(dtype=array.dtype))
    if array.ndim != 2 or array.shape[1] != nodes:
        sentence = _("the inputs of each example must have shape ({count},), not {shape}")
        raise ValueError(sentence.format(count=nodes, shape=array.shape[1:]))
    if array.dtype != np.uint8:
        finite("inputs", array)


def scaled(array: NDArray[Any]) -> NDArray[Any]:
    """Return inputs unchanged, but whole numbers from 0 to 255 as bytes, since those are pixels.

    Raise ValueError for pixels that are floats, or have more bits: whole numbers, none of them negative. Warn of other
    large numbers. Numbers up to 10, and those on both sides of 0, are inputs, whatever their type.
    """
    if array.dtype == np.uint8 or array.dtype.kind not in "uif" or not array.size:
        return array
    most = array.max()
    if not UNSCALED < most < np.inf or array.min() < 0:
        return array
    if array.dtype.kind != "f" and most <= 255:
        return array.astype(np.uint8)
    sentence = _("inputs go up to {most}, and a network learns from about 0 to 1; write X / {most} * 0.99 + 0.01")
    message = sentence.format(most=f"{255 if 127 < most <= 255 else most:g}")
    if (array[:1000] % 1).any():  # a table of measurements
        warnings.warn(message, stacklevel=4)
        return array
    raise ValueError(message)


def bright(array: NDArray[Any]) -> None:
    """Raise ValueError for pixels to train on of which none is bright: they do not go up to 255."""
    if array.dtype == np.uint8 and array.size and 0 < (most := int(array.max())) < FAINT:
        sentence = _("the brightest of these pixels is {most} of 255; write X / {most} * 0.99 + 0.01")
        raise ValueError(sentence.format(most=most))


def labels(array: NDArray[Any], nodes: int) -> None:
    """Raise ValueError for a label without an output."""
    if len(array) and not 0 <= array.min() <= array.max() < nodes:
        wrong = array.min() if array.min() < 0 else array.max()
        sentence = _("there is a label {label}, but this network has outputs only for 0 to {last}")
        raise ValueError(sentence.format(label=wrong, last=nodes - 1))


def shown(value: object) -> str:
    """Return a value for a message: its type and a shortened repr."""
    return "None" if value is None else f"{type(value).__name__} {reprlib.repr(value)}"
