"""Checker for one-line exercises: prints the result with a reason or a hint, and records the answer."""

from __future__ import annotations

import ast
import linecache
import math
import re
import sys
from collections import Counter
from collections.abc import Callable
from types import FrameType
from typing import Any

import numpy as np

from mynn.explain import unread
from mynn.lesson import done
from mynn.lesson.notebook import in_a_notebook
from mynn.translation import _
from mynn.typed import answers_in

HUGE = 10**300  # stands for all larger numbers, which numpy has not
CLOSE = 1e-6  # relative tolerance for numbers: allows for rounding by the computer and the student

_wrong: Counter[tuple[str, ...]] = Counter()  # a task's hints -> number of wrong answers


def check(answer: Any, right: Any, *hints: str, why: str = "", within: float = 0.0) -> None:
    """Print "Right." with the reason, or "Not yet: ..." with a hint.

        pixels = ...                         # your line, in place of the dots
        check(pixels, 28 * 28, "How many rows are there?", "28 rows of 28.", why="28 rows of 28 are 784.")

    `answer`  the student's answer, a variable; `...` means not answered yet
    `right`   a number, text, bool or array to compare with; or a function that takes the answer and returns True,
              False, or a sentence about the mistake
    `hints`   one for each wrong answer, in this order; the last one repeats
    `why`     the reason, shown with a right answer
    `within`  the absolute tolerance for numbers

    In a notebook, the answer is recorded as a task with the variable's name.
    """
    task, typed = (in_a_notebook() and _task(sys._getframe(1))) or ("", "")
    if answer is ... and task not in unread:
        print(_("Not yet: write your answer in place of the dots, and run the cell again."))
        return
    if right is None:
        print(_("With these settings there is no right answer."))
        return
    try:
        if answer is ...:
            wrong: str | None
            typed, wrong = unread[task]
            wrong = wrong or (isinstance(right, str) and _compared(answer, right, within, typed)) or ""
        else:
            wrong = _asked(right, answer) if callable(right) else _compared(answer, right, within, typed)
    except Exception as error:  # any error in the student's code becomes a sentence
        wrong = _("this stopped with {error}.").format(error=f"{type(error).__name__}: {error}")
    if wrong is None:
        print(" ".join(filter(None, (_("Right."), why))))
    else:
        _wrong[hints] += 1
        hint = hints[min(_wrong[hints], len(hints)) - 1] if hints else ""
        said = " ".join(filter(None, (wrong, hint))) or _("try again.")
        # Translators: {wrong} begins with a small letter, as in "Not yet: 5 is too small."
        print(_("Not yet: {wrong}").format(wrong=said))
    if task:
        done.answered(task, right=wrong is None, typed=typed)


def _task(cell: FrameType) -> tuple[str, str] | None:
    """Return the variable that the running cell now checks, and the code that the cell assigns to it; or None."""
    source = "".join(linecache.getlines(cell.f_code.co_filename))
    for name, value, check in answers_in(source):
        if check.lineno <= cell.f_lineno <= (check.end_lineno or 0):
            return name, ast.get_source_segment(source, value) or ""
    return None


def _asked(right: Callable[[Any], Any], answer: Any) -> str | None:
    """Return the mistake that the function `right` finds, perhaps ""; None if the answer is right."""
    verdict = right(answer)
    if isinstance(verdict, str):
        return verdict
    return None if verdict else ""


def _compared(answer: Any, right: Any, within: float, typed: str) -> str | None:
    """Return a sentence on how the answer, of the code `typed`, differs from the right one; None if they are equal."""
    if answer is None:
        return _("it is None, which is nothing: print() shows a value but does not give it back.")
    if isinstance(right, str):
        if not isinstance(answer, str):
            return _('{answer} is not text; write text "in quotes".').format(answer=typed or _shown(answer))
        is_right = answer.strip().casefold() == right.casefold()
        return None if is_right else _("it is not “{answer}”.").format(answer=answer)
    if isinstance(answer, str):
        return _("“{answer}” is text; leave out the quotes.").format(answer=answer)
    if callable(answer):
        return _("this is a function; call it, with brackets behind its name.")
    if isinstance(right, bool | np.bool_):
        if not isinstance(answer, bool | np.bool_):
            return _("the answer is True or False.")
        return None if bool(answer) == bool(right) else _("it is not {answer}.").format(answer=answer)
    given = np.asarray(float(max(-HUGE, min(answer, HUGE))) if isinstance(answer, int) else answer)
    wanted = np.asarray(right)
    if given.dtype.kind not in "biuf":
        return _("{answer} is not a number.").format(answer=_shown(answer))
    if isinstance(answer, tuple) and not wanted.shape:
        return _("a comma makes several numbers of it. Write 7.5 with a point, and 1000 without a comma.")
    if given.shape != wanted.shape:
        return _shapes(wanted.shape, given.shape)
    off = np.abs(given.astype(float) - wanted)
    allowed = np.maximum(CLOSE * np.abs(wanted), max(within, 1e-12))
    if (off <= allowed).all():
        return None
    if wanted.shape:
        count = int((~(off <= allowed)).sum())
        # Translators: {count} may be 1.
        return _("{count} of the {all} numbers are not right.").format(count=count, all=wanted.size)
    if math.isnan(float(given)):
        return _("this is not a number (nan).")
    if re.fullmatch(r"[1-9]\d{0,2}\.\d{3}", typed) and given < wanted:
        sentence = _("Python reads {typed} as {answer}. Write thousands without a point.")
        return sentence.format(typed=typed, answer=_shown(answer))
    if 0 < wanted <= 1 and abs(given / 100 - wanted) <= allowed:
        return _("these are percent, and the answer is a part of 1: divide by 100.")
    sentence = _("{answer} is too small.") if given < wanted else _("{answer} is too large.")
    return sentence.format(answer=_shown(answer))


def _shapes(right: tuple[int, ...], given: tuple[int, ...]) -> str:
    """Return a sentence on an answer with the wrong array shape."""
    if not right:
        sentence = _("the answer is one number, and this is an array of shape {given}.")
    elif not given:
        sentence = _("the answer is an array of shape {right}, and this is one number.")
    else:
        sentence = _("the answer is an array of shape {right}, and this is an array of shape {given}.")
    return sentence.format(right=right, given=given)


def _shown(answer: Any) -> str:
    if isinstance(answer, float | np.floating):
        return f"{answer:.6g}"
    text = str(answer)
    return text if len(text) <= 40 else f"{text[:40]}..."
