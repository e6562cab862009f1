"""JSON schemas of a Pi's state, and of the figures that its verification measures.

Both are checked before the desk stores them. No real Pi reaches the limits of lists and names.
"""

from __future__ import annotations

from typing import Any

from mynn.tasks import LARGEST

CLOSED = {"additionalProperties": False}  # for a schema of an object: no other keys
YES_OR_NO = {"type": "boolean"}
NAME = {"type": "string", "maxLength": 300}  # of a lesson, a disk, a unit, a version
NAMES = {"type": "array", "items": NAME, "maxItems": 1000}
SIZE = {"type": "number", "minimum": 0, "maximum": 1e12}  # megabytes
COUNT = {"type": "integer", "minimum": 0, "maximum": 1 << 40}
SECONDS = {"type": "number", "minimum": -1e6, "maximum": 1e11}


def of(required: dict[str, Any], **others: Any) -> dict[str, Any]:
    """Return the schema of an object with these keys."""
    return {"type": "object", "properties": {**required, **others}, "required": list(required)}


def by_name(names: str, values: dict[str, Any], most: int) -> dict[str, Any]:
    """Return the schema of an object of at most `most` keys, which match the pattern `names`."""
    return {
        "type": "object",
        "propertyNames": {"type": "string", "pattern": names},
        "additionalProperties": values,
        "maxProperties": most,
    }


STUDENT, LESSON = r"^[a-z][a-z0-9_-]{0,29}\Z", r"^[^\0]{1,300}\Z"
SCORE = {"type": "number", "minimum": 0, "maximum": 1}
# The result of the module pi_state.
STATE = of(
    {
        "epoch": SECONDS,
        "failed": NAMES,
        "system": of(dict.fromkeys(["name", "kernel", "machine", "model"], NAME)),
        "versions": by_name(r"^[a-z]{1,30}\Z", NAME, 100),
        "memory": of({"total": SIZE, "available": SIZE}),
        "card": of({"total": SIZE, "free": SIZE}, read_only=YES_OR_NO, errors=COUNT),
        "pristine": by_name(LESSON, NAME, 1000),
        "lessons": by_name(STUDENT, of(dict.fromkeys(["missing", "damaged", "changed"], NAMES)), 100),
        "servers": by_name(STUDENT, YES_OR_NO, 100),
    },
    records=by_name(STUDENT, {"type": "string", "pattern": rf"^[ -~\n]{{0,{LARGEST}}}\Z"}, 100),
    uptime=SECONDS,
    updated=SECONDS,
    reboot_required=YES_OR_NO,
    temperature={"type": "number", "minimum": -300, "maximum": 1000},
    throttled=COUNT,
)
MEASURED = {"type": "number", "minimum": 0, "maximum": 1e6}
FIGURES = of({}, smoke_accuracy=SCORE, smoke_seconds=MEASURED, card_mb_per_second=MEASURED)
