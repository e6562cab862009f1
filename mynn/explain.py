"""What an error means: a sentence above Python's own report of it, which is folded. And what is to be seen in a plot.

An extension of IPython, which each kernel on a Pi has, and others once they import mynn.lesson. It loads no numpy.
"""

from __future__ import annotations

import builtins
import re
from collections.abc import Iterable
from difflib import get_close_matches
from html import escape
from typing import Any

COLOUR = re.compile(r"\x1b\[[0-9;]*m")
KINDS = {
    "int": "a whole number", "float": "a number", "str": "text", "list": "a list", "tuple": "a tuple",
    "NoneType": "None", "ndarray": "an array", "numpy.ndarray": "an array", "builtin_function_or_method": "a function",
}  # fmt: skip
# What an error's name and message match, and what that means; the first that fits. A {} is a part of the message.
MEANINGS = (
    (r"KeyboardInterrupt", "You stopped this cell. What it had done until then stays."),
    (r"\w+: .*ellipsis", "The three dots are still there: write something in their place, then run this again."),
    (r"NameError: .*?'(.+?)'", "There is no {} yet: run the cells above, from the top, or look at how you spelt it."),
    (r"IndentationError: expected", "After a line with a colon at its end, the next begins with four spaces."),
    (r"IndentationError: unexpected indent", "The line begins with spaces that do not belong there."),
    (r"(?:Indentation|Tab)Error", "The line begins with more or fewer spaces than those that it belongs to."),
    (r"SyntaxError: '(.)' was never closed", "The bracket {} is opened, and never closed."),
    (r"SyntaxError: unmatched '(.)'", "The bracket {} closes what was never opened."),
    (r"SyntaxError: unterminated", "A text begins with a quotation mark and does not end with one."),
    (r"SyntaxError: expected ':'", "There is a colon missing at the end of the line."),
    (r"SyntaxError: .*cannot assign", "Left of = stands the name of what you make. To compare two things, write ==."),
    (r"SyntaxError: .*forgot a comma", "There is a comma or a sign such as * missing between two things."),
    (r"SyntaxError", "Python cannot read this line."),
    (r"ZeroDivisionError", "Nothing can be divided by 0. Look at what stands behind the /."),
    (r"IndexError: index (-?\d+) .* size (\d+)", "There is no place {}: there are {}, and the first is place 0."),
    (r"IndexError: .*out of range", "There is no such place: they are counted from 0, so the last of ten is place 9."),
    (r"KeyError: (.*)", "There is nothing called {} in it."),
    (r"ModuleNotFoundError: .*?'(.+?)'", "There is no module {} on this computer. Look at how you spelt it."),
    (r"ImportError: .*?'(.+?)' from '(.+?)'", "There is no {} in {}. Look at how you spelt it."),
    (r"AttributeError: .*?'([\w.]+)' .*attribute '(.+?)'", "Behind the dot: {} has nothing called {}."),
    (r"TypeError: '([\w.]+)' object is not callable", "{} is not a function, so round brackets cannot follow it."),
    (r"TypeError: '([\w.]+)' object is not subscr", "{} has no places, so square brackets cannot follow it."),
    (r"TypeError: .*operand.* for (.+): '([\w.]+)' and '([\w.]+)'", "The sign {} does not go between {} and {}."),
    (r"TypeError: '(.+?)' not supported .*'([\w.]+)' and '([\w.]+)'", "The sign {} does not go between {} and {}."),
    (r"TypeError: can't multiply seq", "The sign * needs numbers. A comma makes two of one: write 7.5, not 7,5."),
    (r"TypeError: '([\w.]+)' object is not iterable", "{} has no places that one could go through."),
    (r"TypeError: can only concatenate (\w+) \(not \"(\w+)\"", "The sign + does not go between {} and {}."),
    (r"TypeError: (\w+)\(\) missing", "Between the brackets of {} there is something missing."),
    (r"TypeError: (\w+)\(\) (?:takes|got)", "Between the brackets of {} there is something that it does not take."),
    (r"ValueError: .*shapes? (\(.*?\)).*?(\(.*?\))", "The two arrays do not fit together: their shapes are {} and {}."),
    (r"ValueError: .*(?:mismatch|inhomogeneous)", "The arrays do not fit together: look at the .shape of each."),
    (r"ValueError: (?:could not conv|invalid lit).*?: (.*)", "{} is text that is not a number."),
    (r"ValueError: .*truth value of an array", "An array has many answers: put .all() or .any() behind it."),
    (r"FileNotFoundError: .*: (.*)", "There is no file called {} here. Look at how you spelt it."),
    (r"RecursionError", "A function calls itself again and again, and never stops."),
    (r"MemoryError", "There is not enough memory for this. End other lessons on the start page, or take fewer digits."),
)  # fmt: skip


def sentence(error: BaseException, names: dict[str, Any]) -> str:
    """Return what an error means. names: those of the notebook."""
    if type(error).__module__.startswith("mynn."):
        return str(error)  # which is a sentence
    text = f"{type(error).__name__}: {error.msg if isinstance(error, SyntaxError) else error}"
    matches = ((re.match(pattern, text), meaning) for pattern, meaning in MEANINGS)
    match, meaning = next(((match, meaning) for match, meaning in matches if match), (None, "Python stopped here."))
    meaning = meaning.format(*(KINDS.get(part, part) for part in match.groups())) if match else meaning
    line = error.lineno if isinstance(error, SyntaxError) else _line(error, names)
    return f"{f'Line {line}: ' if line else ''}{meaning[:1].upper()}{meaning[1:]}{_guess(error, names)}"


def _line(error: BaseException, names: dict[str, Any]) -> int | None:
    """Return the line of the cell in which it stopped."""
    step = error.__traceback__
    while step and not (step.tb_frame.f_globals is names and step.tb_frame.f_code.co_name == "<module>"):
        step = step.tb_next
    return step.tb_lineno if step else None


def _guess(error: BaseException, names: dict[str, Any]) -> str:
    """Return which name may have been meant."""
    known: Iterable[str] = ()
    if isinstance(error, AttributeError):
        known = dir(error.obj)
    elif isinstance(error, NameError):
        known = [*names, *dir(builtins)]
    similar = get_close_matches(str(getattr(error, "name", "")), known, 1)
    return f" Did you mean {similar[0]}?" if similar else ""


def _describe(figure: Any) -> None:
    """Show a plot with its description."""
    from mynn.lesson.described import show_described

    show_described(figure)


def load_ipython_extension(shell: Any) -> None:
    """Explain each error, and describe each plot, from now on."""
    formatter = shell.display_formatter.ipython_display_formatter
    formatter.for_type_by_name("matplotlib.figure", "Figure", _describe)
    show = shell._showtraceback

    def explain(kind: type[BaseException], error: BaseException, report: list[str]) -> None:
        try:
            said, details = sentence(error, shell.user_ns), escape(COLOUR.sub("", "\n".join(report)))
            html = f"<b>{escape(said)}</b><details><summary>What Python says</summary><pre>{details}</pre></details>"
            shell.display_pub.publish({"text/plain": said, "text/html": html})
        except Exception:  # a pupil's own kind of error can do anything when it is asked
            show(kind, error, report)
        else:
            show(kind, error, [f"{kind.__name__}: {error}"])

    shell._showtraceback = explain
