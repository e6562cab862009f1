"""A report on a class's Pis, for somebody to send to the project: which hardware works, and how fast.

It has no names, addresses, keys or passwords, and no text that a Pi chose: each value matches a pattern below, or is
"other". docs/reference/hardware.md has what was sent.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.mynn.pi.plugins.module_utils.schema import misfit
from mynn_control.results import FAILS, HOLDS, result_of

PATTERNS = {
    "model": r"Raspberry Pi( Zero( 2)?( W)?| [1-5]| 400| 500)?( Model [AB]( Plus)?)?( Rev \d(\.\d)?)?",
    "system": r"(Debian|Raspbian) GNU/Linux \d\d",
    "linux": r"\d\.\d{1,2}(\.\d{1,3})?",
    "machine": r"armv[67]l|aarch64|x86_64",
    "mynn": r"\d{1,2}\.\d{1,2}\.\d{1,2}",
}
CHECK = r"test_[a-z0-9_]{1,120}"  # its name, which stands in tests/provisioned
# Measured by `make verify`: digits recognised after a quick training, its seconds, those of a restart, and a score.
FIGURES = ("smoke_accuracy", "smoke_seconds", "back_seconds", "network_score")
NUMBER = {"type": "number", "minimum": 0, "maximum": 1e9}
NAME = {"type": "string", "pattern": rf"^{CHECK}\Z"}


def _closed(properties: dict[str, Any], required: Iterable[str] = ()) -> dict[str, Any]:
    """Return the schema of an object without other keys than these."""
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


_PROPERTIES: dict[str, Any] = {
    **{name: {"type": "string", "pattern": rf"^({pattern}|other)\Z"} for name, pattern in PATTERNS.items()},
    "memory_mb": NUMBER,
    "card_mb": NUMBER,
    "figures": _closed(dict.fromkeys(FIGURES, NUMBER)),
    "seconds": {"type": "object", "propertyNames": NAME, "additionalProperties": NUMBER},
    "failed": {"type": "array", "items": NAME},
}
PI = _closed(_PROPERTIES, _PROPERTIES)


def _matching(name: str, text: str) -> str:
    """Return the beginning of a text that matches a pattern, if a word ends there; else "other"."""
    found = re.match(rf"(?:{PATTERNS[name]})(?![\w.])", text, re.ASCII)
    return found[0] if found else "other"


def _pi(state: Mapping[str, Any], verified: dict[str, Any] | None) -> dict[str, Any]:
    """Return what the report says about a Pi."""
    result = result_of(verified) if verified else None
    figures = result.figures if result else {}
    checks = [(check.name.partition("[")[0], check) for check in (result.checks if result else [])]
    checks = [(name, check) for name, check in checks if re.fullmatch(CHECK, name)]
    system = state["system"]
    return {
        "model": _matching("model", system["model"]),
        "system": _matching("system", system["name"]),
        "linux": _matching("linux", system["kernel"].partition("+")[0].partition("-")[0]),
        "machine": _matching("machine", system["machine"]),
        "mynn": _matching("mynn", state["versions"].get("mynn", "")),
        "memory_mb": round(state["memory"]["total"]),
        "card_mb": round(state["card"]["total"]),
        "figures": {name: figures[name] for name in FIGURES if isinstance(figures.get(name), int | float)},
        "seconds": {name: check.seconds for name, check in checks if check.outcome == HOLDS},
        "failed": sorted({name for name, check in checks if check.outcome == FAILS}),
    }


def report(kept: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the report as JSON, the Pis in an order that tells nothing. kept: the desk's columns of each Pi."""
    pis = [_pi(columns["state"], columns["verified"]) for columns in kept.values() if columns["state"]]
    fit = [pi for pi in pis if not misfit(pi, PI)]
    return json.dumps({"pis": sorted(fit, key=json.dumps)}, indent=1) + "\n"
