"""One-line exercises: right, or not yet and why."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

CLOSE = 1e-6  # how far a number may be off, as a part of the right one: the computer's rounding, and a student's


def check(answer: Any, right: Any, hint: str = "", *, within: float = 0.0) -> None:
    """Print "Right." or "Not yet: ..." and why.

        pixels = ...                         # your line, in place of the dots
        check(pixels, 28 * 28, "There are 28 rows of 28.")

    `answer`  what the student wrote; `...` or None is no answer yet
    `right`   a number, a text, True or False, or an array: compared with the answer. Or a function that takes the
              answer and returns True, or False, or a sentence that says what is wrong
    `hint`    is shown with every wrong answer
    `within`  how far a number may be off
    """
    if answer is None or answer is ...:
        print("Not yet: write your answer in place of the dots, and run the cell again.")
        return
    if right is None:
        print("With these settings there is no right answer.")
        return
    try:
        wrong = _asked(right, answer) if callable(right) else _compared(answer, right, within)
    except Exception as error:  # whatever a student wrote must end in a sentence
        wrong = f"this stopped with {type(error).__name__}: {error}."
    why = " ".join(part for part in (wrong, hint) if part)
    print("Right." if wrong is None else f"Not yet: {why or 'try again.'}")


def _asked(right: Callable[[Any], Any], answer: Any) -> str | None:
    """Return what a function finds wrong with the answer; None: it is right."""
    verdict = right(answer)
    if isinstance(verdict, str):
        return verdict
    return None if verdict else ""


def _compared(answer: Any, right: Any, within: float) -> str | None:
    """Return how the answer differs from the right one; None: it does not."""
    if isinstance(right, str):
        if not isinstance(answer, str):
            return f'{_shown(answer)} is not text; write text "in quotes".'
        return None if answer.strip().casefold() == right.casefold() else f"it is not “{answer}”."
    if isinstance(answer, str):
        return f"“{answer}” is text; leave out the quotes."
    if callable(answer):
        return "this is a function; call it, with brackets behind its name."
    if isinstance(right, bool | np.bool_):
        if not isinstance(answer, bool | np.bool_):
            return "the answer is True or False."
        return None if bool(answer) == bool(right) else f"it is not {answer}."
    given, wanted = np.asarray(answer), np.asarray(right)
    if given.dtype.kind not in "biuf":
        return f"{_shown(answer)} is not a number."
    if given.shape != wanted.shape:
        return f"the answer is {_shaped(wanted.shape)}, and this is {_shaped(given.shape)}."
    off = np.abs(given.astype(float) - wanted)
    allowed = np.maximum(CLOSE * np.abs(wanted), max(within, 1e-12))
    if (off <= allowed).all():
        return None
    if wanted.shape:
        return f"{int((~(off <= allowed)).sum())} of the {wanted.size} numbers are not right."
    if math.isnan(float(given)):
        return "this is not a number (nan)."
    return f"{_shown(answer)} is too {'small' if given < wanted else 'large'}."


def _shaped(shape: tuple[int, ...]) -> str:
    return f"an array of shape {shape}" if shape else "one number"


def _shown(answer: Any) -> str:
    if isinstance(answer, float | np.floating):
        return f"{answer:.6g}"
    text = str(answer)
    return text if len(text) <= 40 else f"{text[:40]}..."
