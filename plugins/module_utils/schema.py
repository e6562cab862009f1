"""Check a Pi's answer against a JSON schema, on the control node: whoever holds a card is root on that Pi."""

from __future__ import annotations

import json
from typing import Any

from jsonschema import Draft202012Validator

from ansible_collections.mynn.pi.plugins.module_utils.text import printable

LARGEST = 1 << 20  # characters of an answer as JSON


def misfit(answer: object, schema: dict[str, Any]) -> str:
    """Return where an answer does not match a JSON schema, such as `card free`; nothing where it does.

    What stands there is not repeated: it would be read as ours.
    """
    try:
        # NaN and infinity: Python reads them from JSON, and they slip through any limit.
        if len(json.dumps(answer, allow_nan=False)) > LARGEST:
            return "its length"
    except (TypeError, ValueError, RecursionError):
        return "its form"
    for error in Draft202012Validator(schema).iter_errors(answer):
        lacking = error.validator_value if error.validator == "required" else ()
        where = [*error.absolute_path, *(key for key in lacking if key not in error.instance)]
        return printable(" ".join(map(str, where)), 60) or "its form"
    return ""
