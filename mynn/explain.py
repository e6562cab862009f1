"""IPython extension: explains errors in a sentence above the collapsed traceback, and describes plots in words.

Each kernel on a Pi loads it, other kernels when they import mynn.lesson. It does not load numpy.
"""

from __future__ import annotations

import ast
import builtins
import linecache
import re
from collections.abc import Iterable
from contextlib import suppress
from difflib import get_close_matches
from html import escape
from types import TracebackType
from typing import Any

from mynn.translation import N_, _
from mynn.typed import answers_in, plain, plain_sign

COLOUR = re.compile(r"\x1b\[[0-9;]*m")
KINDS = {
    # Translators: such kinds of things take the place of {} in "{} is not a function, ..." and in others like it.
    "int": N_("a whole number"), "float": N_("a number"), "str": N_("text"), "list": N_("a list"),
    "tuple": N_("a tuple"), "NoneType": "None", "ndarray": N_("an array"), "numpy.ndarray": N_("an array"),
    "builtin_function_or_method": N_("a function"),
}  # fmt: skip


def on(pattern: str, meaning: str) -> tuple[str, str]:
    """Return an entry of MEANINGS; also marks its sentence for translation."""
    return pattern, meaning


# Pattern of "Name: message", and in the next line the code that is no Python → explanation.
# The first match counts; {} are groups of the pattern.
MEANINGS = (
    on(r"KeyboardInterrupt", "You stopped this cell. What it had done until then stays."),
    on(r".*ellipsis(?! \()", "The three dots are still there: write something in their place, then run this again."),
    on(r"NameError: .*?'(.+?)'", "There is no {} yet: run the cells above, from the top, or look at how you spelt it."),
    on(r"IndentationError: expected", "After a line with a colon at its end, the next begins with four spaces."),
    on(r"IndentationError: unexpected indent", "The line begins with spaces that do not belong there."),
    on(r"(?:Indentation|Tab)Error", "The line begins with more or fewer spaces than the lines it belongs to."),
    on(r"SyntaxError: '(.)' was never closed", "The bracket {} is opened, and never closed."),
    on(r"SyntaxError: unmatched '(.)'", "The bracket {} has no opening bracket before it."),
    on(r"SyntaxError: unterminated", "A text begins with a quotation mark and does not end with one."),
    on(r"SyntaxError: expected ':'", "A colon is missing at the end of the line."),
    on(r"SyntaxError: .*cannot assign", "Left of = there must be a name. To compare two things, write ==."),
    on(r"SyntaxError: .*forgot a comma", "A comma or a sign such as * is missing between two things."),
    on(r"SyntaxError: invalid char.* '(.)'", "Python does not know the sign {}."),
    on(r"SyntaxError: invalid decimal literal\n.*?\d([^\x00-\x7f])", "Python does not know the sign {}."),  # 3.11
    on(r"SyntaxError: invalid non-print", "The line has an invisible sign: delete its spaces, and type them again."),
    on(r"SyntaxError: .*syntax\n.*=\s*(?:#.*)?$", "Nothing stands behind the =: write your answer there."),
    on(r"SyntaxError: .*syntax\n.*= *[^\W\d]+( [^\W\d]+)+ *(#|$)", "Words stand in quotation marks, numbers do not."),
    on(r"SyntaxError", "Python cannot read this line."),
    on(r"ZeroDivisionError", "Nothing can be divided by 0. Look at what stands behind the /."),
    on(r"IndexError: index (-?\d+) .* size (\d+)", "There is no place {0}: there are {1}, and the first is place 0."),
    on(r".*Error: .*(only integers|indices must be)", "A place in square brackets is a whole number, without quotes."),
    on(r"IndexError: .*out of", "There is no such place: they are counted from 0, so the last of ten is place 9."),
    on(r"KeyError: (.*)", "There is nothing called {} in it."),
    on(r"ModuleNotFoundError: .*?'(.+?)'", "There is no module {} on this computer. Look at how you spelt it."),
    on(r"ImportError: .*?'(.+?)' from '(.+?)'", "There is no {0} in {1}. Look at how you spelt it."),
    on(r"AttributeError: .*?'([\w.]+)' .*attribute '(.+?)'", "Behind the dot: {0} has nothing called {1}."),
    on(r"TypeError: '([\w.]+)' object is not callable", "{} is not a function, so round brackets cannot follow it."),
    on(r"TypeError: '([\w.]+)' object is not subscr", "{} has no places, so square brackets cannot follow it."),
    on(r"TypeError: .*operand.* for (.+): '([\w.]+)' and '([\w.]+)'", "The sign {0} does not go between {1} and {2}."),
    on(r"TypeError: '(.+?)' not supp.*'([\w.]+)' and '([\w.]+)'", "The sign {0} does not go between {1} and {2}."),
    on(r"TypeError: can't multiply seq", "The sign * needs numbers. A comma makes two of one: write 7.5, not 7,5."),
    on(r"TypeError: '([\w.]+)' object is not iterable", "{} has no places to go through one by one."),
    on(r"TypeError: can only concatenate (\w+) \(not \"(\w+)\"", "The sign + does not go between {0} and {1}."),
    on(r"TypeError: (\w+)\(\) missing", "Something is missing between the brackets of {}."),
    on(r"TypeError: (\w+)\(\) (?:takes|got)", "Something between the brackets of {} does not belong there."),
    on(r"ValueError: .*shapes? (\(.*?\)).*?(\(.*?\))",
       "The two arrays do not fit together: their shapes are {0} and {1}."),
    on(r"ValueError: .*(?:mismatch|inhomogeneous)", "The arrays do not fit together: look at the .shape of each."),
    on(r"ValueError: (?:could not conv|invalid lit).*?: (.*)", "{} is text that is not a number."),
    on(r"ValueError: .*truth value of an array", "An array has many answers: put .all() or .any() behind it."),
    on(r"FileNotFoundError: .*: (.*)", "There is no file called {} here. Look at how you spelt it."),
    on(r"RecursionError", "A function calls itself again and again, and never stops."),
    on(r"MemoryError",
       "There is not enough memory for this. End other lessons on the start page, or take fewer digits."),
)  # fmt: skip


ANSWER = re.compile(r"^(\w+) *=(?!=) *(.*?)(?= *(?:#.*)?$)(?=[\s\S]*^check\(\1,)", re.MULTILINE)
unread: dict[str, tuple[str, str]] = {}  # name → an answer that is no Python or stops, and its explanation


def sentence(error: BaseException, names: dict[str, Any]) -> str:
    """Return the explanation of an error. names: the notebook's variables."""
    if type(error).__module__.startswith("mynn."):
        return str(error)  # our messages are sentences already
    text = f"{type(error).__name__}: {error}"
    if isinstance(error, SyntaxError):
        text = f"{type(error).__name__}: {error.msg}\n{error.text or ''}"
    matches = ((re.match(pattern, text), meaning) for pattern, meaning in MEANINGS)
    unknown = N_("Python stopped here.")
    match, meaning = next(((match, meaning) for match, meaning in matches if match), (None, unknown))
    parts = match.groups() if match else ()
    meaning = _(meaning).format(*(_(KINDS[part]) if part in KINDS else part for part in parts))
    meaning = f"{meaning[:1].upper()}{meaning[1:]}{_guess(error, names)}"
    line = error.lineno if isinstance(error, SyntaxError) else getattr(_step(error, names), "tb_lineno", None)
    return _("Line {line}: {sentence}").format(line=line, sentence=meaning) if line else meaning


def _step(error: BaseException, names: dict[str, Any]) -> TracebackType | None:
    """Return the step of the traceback that is in the cell."""
    step = error.__traceback__
    while step and not (step.tb_frame.f_globals is names and step.tb_frame.f_code.co_name == "<module>"):
        step = step.tb_next
    return step


def _check_anyway(error: BaseException, names: dict[str, Any]) -> None:
    """Run the check of an answer that stopped with an error: it has the hints."""
    step = _step(error, names)
    if not (step and isinstance(error, Exception)):
        return
    file = step.tb_frame.f_code.co_filename
    source = "".join(linecache.getlines(file))
    for name, value, check in answers_in(source):
        if value.lineno <= step.tb_lineno <= (value.end_lineno or 0):
            names[name], unread[name] = ..., (ast.get_source_segment(source, value) or "", "")
            with suppress(Exception):  # what is right may need the cells above, too
                exec(compile(ast.Module([check], []), file, "exec"), names)


def _guess(error: BaseException, names: dict[str, Any]) -> str:
    """Return " Did you mean ...?" with a similar known name, or ""."""
    known: Iterable[str] = ()
    if isinstance(error, AttributeError):
        known = dir(error.obj)
    elif isinstance(error, NameError):
        known = [*names, *dir(builtins)]
    similar = get_close_matches(str(getattr(error, "name", "")), known, 1)
    if sign := re.match(r"invalid char.* '(.)'", str(error)):
        similar = [meant for meant in [plain_sign(sign[1])] if meant != sign[1]]
    return " " + _("Did you mean {name}?").format(name=similar[0]) if similar else ""


def read_answers(lines: list[str]) -> list[str]:
    """Return a cell with its answer in Python's notation, and with dots in place of an answer that cannot be read.

    An input transformer of IPython. An answer is a line "name = ..." with a check of that name below it.
    """
    source = "".join(lines)
    if not (answer := ANSWER.search(source)):
        return lines
    name, typed = answer.groups()
    unread.pop(name, None)
    for change in (typed, plain(typed), "..."):
        cell = source[: answer.start(2)] + change + source[answer.end(2) :]
        try:
            ast.parse(cell)
        except SyntaxError as error:
            unread.setdefault(name, (typed, sentence(error, {})))
        else:
            return cell.splitlines(keepends=True)
    return lines


def _describe(figure: Any) -> None:
    """Show a figure with its description in words."""
    from mynn.lesson.described import show_described

    show_described(figure)


def load_ipython_extension(shell: Any) -> None:
    """Install the explanations of errors, the reader of answers, and the descriptions of plots."""
    shell.input_transformers_post.append(read_answers)
    formatter = shell.display_formatter.ipython_display_formatter
    formatter.for_type_by_name("matplotlib.figure", "Figure", _describe)
    show = shell._showtraceback

    def explain(kind: type[BaseException], error: BaseException, report: list[str]) -> None:
        try:
            said, details = sentence(error, shell.user_ns), escape(COLOUR.sub("", "\n".join(report)))
            summary = escape(_("What Python says"))
            html = f"<b>{escape(said)}</b><details><summary>{summary}</summary><pre>{details}</pre></details>"
            shell.display_pub.publish({"text/plain": said, "text/html": html})
            _check_anyway(error, shell.user_ns)
        except Exception:  # a pupil's own exception class can fail anywhere, as in its __str__
            show(kind, error, report)
        else:
            show(kind, error, [f"{kind.__name__}: {error}"])

    shell._showtraceback = explain
