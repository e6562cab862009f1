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

from mynn.lesson import done
from mynn.lesson.notebook import in_a_notebook
from mynn.words import _

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
        print(_("Not yet: write your answer in place of the dots, and run the cell again."))
        return
    if right is None:
        print(_("With these settings there is no right answer."))
        return
    try:
        wrong = _asked(right, answer) if callable(right) else _compared(answer, right, within)
    except Exception as error:  # whatever a student wrote must end in a sentence
        wrong = _("this stopped with {error}.").format(error=f"{type(error).__name__}: {error}")
    if wrong is None:
        print(" ".join(filter(None, (_("Right."), why))))
    else:
        _wrong[hints] += 1
        hint = hints[min(_wrong[hints], len(hints)) - 1] if hints else ""
        said = " ".join(filter(None, (wrong, hint))) or _("try again.")
        # Translators: what is wrong begins with a small letter, as in "Not yet: 5 is too small."
        print(_("Not yet: {wrong}").format(wrong=said))
    if in_a_notebook() and (task := _task(sys._getframe(1))):
        done.answered(task[0], right=wrong is None, typed=task[1])


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
        return _("it is None, which is nothing: print() shows a value, and gives none back.")
    if isinstance(right, str):
        if not isinstance(answer, str):
            return _('{answer} is not text; write text "in quotes".').format(answer=_shown(answer))
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
    given, wanted = np.asarray(answer), np.asarray(right)
    if given.dtype.kind not in "biuf":
        return _("{answer} is not a number.").format(answer=_shown(answer))
    if isinstance(answer, tuple) and len(answer) == 2 and not wanted.shape:
        sentence = _("a comma makes two numbers of it, {0} and {1}. Write 7.5 with a point, and 1000 with nothing.")
        return sentence.format(*map(_shown, answer))
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
    sentence = _("{answer} is too small.") if given < wanted else _("{answer} is too large.")
    return sentence.format(answer=_shown(answer))


def _shapes(right: tuple[int, ...], given: tuple[int, ...]) -> str:
    """Return how an answer of this shape differs from the right one, which has another."""
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
