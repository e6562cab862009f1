"""What a Pi says, made safe to print, and checked: whoever holds its card is root on it, and may let it say anything.

A Pi's words may also be written by a student: the name of a file is enough.
"""

from __future__ import annotations

import json
import re
from typing import Any

from jsonschema import Draft202012Validator

DOCUMENTATION = r"""
name: printable
author: The mynn-pi authors
short_description: A Pi's words in one line that no terminal understands as more than text
options:
  _input: {description: What is to be printed, type: raw, required: true}
  longest: {description: How many characters are shown, type: int, default: 300}
"""

COLOUR = re.compile(r"\x1b\[[0-9;]*m")
SUSPECT = re.compile(r"[^ -~]")  # what is looked at more closely
OTHER_THAN_LINES = re.compile(r"[^ -~\n\t]")
LARGEST = 1 << 20  # characters of an answer as JSON


def printable(said: object, longest: int = 300) -> str:
    """Return it in one line; a control character, an escape, what turns the direction of writing: as Python has it."""
    text = SUSPECT.sub(_escaped, str(said)[: longest + 1])
    return text if len(text) <= longest else f"{text[:longest]} …"


def printable_lines(said: object) -> str:
    """Return it with its lines and tabs as they are; colours are taken away, all else is as in `printable`."""
    return OTHER_THAN_LINES.sub(_escaped, COLOUR.sub("", str(said).replace("\r\n", "\n")))


def _escaped(found: re.Match[str]) -> str:
    letter = found[0]
    return letter if letter.isprintable() else repr(letter)[1:-1]


def misfit(answer: object, schema: dict[str, Any]) -> str:
    """Return where a Pi's answer is not as a JSON schema has it, such as `card free`; nothing where all is well.

    What stands there is not repeated: it would be read as ours.
    """
    try:
        # Not a number, or infinite: Python reads it from JSON, and it slips through any limit.
        if len(json.dumps(answer, allow_nan=False)) > LARGEST:
            return "its length"
    except (TypeError, ValueError, RecursionError):
        return "its form"
    for error in Draft202012Validator(schema).iter_errors(answer):
        lacking = error.validator_value if error.validator == "required" else ()
        where = [*error.absolute_path, *(key for key in lacking if key not in error.instance)]
        return printable(" ".join(map(str, where)), 60) or "its form"
    return ""


class FilterModule:
    """What Ansible looks for. `misfit` is for plugins, which find it here too: ansible.plugins.loader.filter_loader."""

    def filters(self) -> dict[str, object]:
        """Return the filters by name."""
        return {"printable": printable, "printable_lines": printable_lines, "misfit": misfit}
