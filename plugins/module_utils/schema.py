"""Validate a Pi's answer against a JSON schema on the control node: anybody with its card can be root on the Pi."""

from __future__ import annotations

import json
from typing import Any

from jsonschema import Draft202012Validator

from ansible_collections.mynn.pi.plugins.module_utils.text import printable

LARGEST = 1 << 20  # characters of an answer as JSON


def misfit(answer: object, schema: dict[str, Any]) -> str:
    """Return the path of the first mismatch with a JSON schema, such as `card free`; empty if the answer matches.

    Values, and keys that the schema does not name, are left out: the Pi chose them and could imitate our messages.
    """
    try:
        # Python accepts NaN and infinity in JSON, and they pass any limit.
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
