"""One-line exercises: right and why, or not yet and a hint. What was answered is written down."""

from __future__ import annotations

import ast
import linecache
import math
import sys
from collections import Counter
from collections.abc import Callable
from types import FrameType
from typing import Any

import numpy as np

from mynn.lesson import progress
from mynn.lesson.notebook import in_a_notebook

CLOSE = 1e-6  # how far a number may be off, as a part of the right one: the computer's rounding, and a student's

_wrong: Counter[tuple[str, ...]] = Counter()  # how many times a task was answered wrongly, by its hints


def check(answer: Any, right: Any, *hints: str, why: str = "", within: float = 0.0) -> None:
    """Print "Right." and why it is, or "Not yet: ..." and a hint.

        pixels = ...                         # your line, in place of the dots
        check(pixels, 28 * 28, "How many rows are there?", "28 rows of 28.", why="28 rows of 28 are 784.")

    `answer`  what the student wrote, a variable; `...` is no answer yet
    `right`   a number, a text, True or False, or an array: compared with the answer. Or a function that takes the
              answer and returns True, or False, or a sentence that says what is wrong
    `hints`   the first is shown with the first wrong answer, the second with the second; the last one with all others
    `why`     why it is right
    `within`  how far a number may be off

    In a notebook, the answer is written down as that of a task, which is called as the variable.
    """
    if answer is ...:
        print("Not yet: write your answer in place of the dots, and run the cell again.")
        return
    if right is None:
        print("With these settings there is no right answer.")
        return
    try:
        wrong = _asked(right, answer) if callable(right) else _compared(answer, right, within)
    except Exception as error:  # whatever a student wrote must end in a sentence
        wrong = f"this stopped with {type(error).__name__}: {error}."
    if wrong is None:
        print(f"Right. {why}".strip())
    else:
        _wrong[hints] += 1
        hint = hints[min(_wrong[hints], len(hints)) - 1] if hints else ""
        print(f"Not yet: {' '.join(filter(None, (wrong, hint))) or 'try again.'}")
    if in_a_notebook() and (task := _task(sys._getframe(1))):
        progress.answered(task[0], right=wrong is None, typed=task[1])


def _task(cell: FrameType) -> tuple[str, str] | None:
    """Return which variable is checked by the cell that runs, and what was typed for it; None if there is neither."""
    source = "".join(linecache.getlines(cell.f_code.co_filename))
    typed: dict[str, str] = {}
    for line in ast.parse(source).body:
        match line:
            case ast.Assign(targets=[ast.Name(name)], value=value):
                typed[name] = ast.get_source_segment(source, value) or ""
            case ast.Expr(ast.Call(ast.Name("check"), [ast.Name(name), *_])) if name in typed:
                if line.lineno <= cell.f_lineno <= (line.end_lineno or 0):
                    return name, typed[name]
    return None


def _asked(right: Callable[[Any], Any], answer: Any) -> str | None:
    """Return what a function finds wrong with the answer; None: it is right."""
    verdict = right(answer)
    if isinstance(verdict, str):
        return verdict
    return None if verdict else ""


def _compared(answer: Any, right: Any, within: float) -> str | None:
    """Return how the answer differs from the right one; None: it does not."""
    if answer is None:
        return "it is None, which is nothing: print() shows a value, and gives none back."
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
    if isinstance(answer, tuple) and len(answer) == 2 and not wanted.shape:
        two = " and ".join(map(_shown, answer))
        return f"a comma makes two numbers of it, {two}. Write 7.5 with a point, and 1000 with nothing."
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
