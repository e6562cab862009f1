"""Check a Pi's answer against a JSON schema, on the control node: anybody with the card can be root on that Pi."""

from __future__ import annotations

import json
from typing import Any

from jsonschema import Draft202012Validator

from ansible_collections.mynn.pi.plugins.module_utils.text import printable

LARGEST = 1 << 20  # characters of an answer as JSON


def misfit(answer: object, schema: dict[str, Any]) -> str:
    """Return where an answer does not match a JSON schema, such as `card free`; nothing if it matches.

    What the Pi chose, the value itself and the keys that the schema does not name, is left out: it could imitate our
    messages.
    """
    try:
        # Python reads NaN and infinity from JSON, and they pass any limit.
        if len(json.dumps(answer, allow_nan=False)) > LARGEST:
            return "too long"
    except (TypeError, ValueError, RecursionError):
        return "malformed"
    for error in Draft202012Validator(schema).iter_errors(answer):
        lacking = error.validator_value if error.validator == "required" else ()
        ours = [part for part in error.absolute_path if isinstance(part, int) or part in error.absolute_schema_path]
        where = [*ours, *(key for key in lacking if key not in error.instance)]
        return printable(" ".join(map(str, where)), 60) or "malformed"
    return ""
