"""A report on a class's Pis, for somebody to send to the project: which hardware works, and how fast.

It has no names, addresses, keys or passwords, and no text that a Pi chose: each text matches a pattern below or is
"other", the numbers have passed report_schemas.py, and a check's name stands in tests/provisioned.
docs/reference/hardware.md has what was sent.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from mynn_control.results import FAILS, HOLDS, result_of

PATTERNS = {
    "model": r"Raspberry Pi( Zero( 2)?( W)?| [1-5]| 400| 500)?( Model [AB]( Plus)?)?( Rev \d(\.\d)?)?",
    "name": r"(Debian|Raspbian) GNU/Linux \d\d",
    "kernel": r"\d\.\d{1,2}(\.\d{1,3})?",
    "machine": r"armv[67]l|aarch64|x86_64",
    "mynn": r"\d{1,2}\.\d{1,2}\.\d{1,2}",
}
# Measured by `make verify`: digits recognised after a quick training, its seconds, those of a restart, a score, and how
# fast the card is read.
FIGURES = ("smoke_accuracy", "smoke_seconds", "back_seconds", "network_score", "card_mb_per_second")


def _matching(name: str, text: str) -> str:
    """Return the beginning of a text that matches a pattern, if a word ends there; else "other"."""
    found = re.match(rf"(?:{PATTERNS[name]})(?![\w.])", text, re.ASCII)
    return found[0] if found else "other"


def _pi(state: Mapping[str, Any], verified: dict[str, Any] | None) -> dict[str, Any]:
    """Return what the report says about a Pi."""
    result = result_of(verified or {"pi": "", "lost": "", "checks": []})
    figures = {name: result.figures.get(name) for name in FIGURES}
    # The checks without the Pi or pupil for whom they ran, which pytest adds in brackets.
    passed = {check.name.partition("[")[0]: check.seconds for check in result.those(HOLDS)}
    return {
        "system": {name: _matching(name, text) for name, text in state["system"].items() if name in PATTERNS},
        "mynn": _matching("mynn", state["versions"].get("mynn", "")),
        "memory_mb": round(state["memory"]["total"]),
        "card_mb": round(state["card"]["total"]),
        "figures": {name: figure for name, figure in figures.items() if isinstance(figure, int | float)},
        "seconds": passed,
        "failed": sorted({check.name.partition("[")[0] for check in result.those(FAILS)}),
    }


def report(kept: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the report as JSON, the Pis in an order that tells nothing. kept: the desk's columns of each Pi."""
    pis = [_pi(columns["state"], columns["verified"]) for columns in kept.values() if columns["state"]]
    return json.dumps({"pis": sorted(pis, key=json.dumps)}, indent=1) + "\n"
