"""The Pis' history: a line of JSON for each time that a Pi was asked, in history.jsonl.

A Pi's newest state and newest verification are kept whole; of older ones only the figures that are plotted: all of the
last week, then one a day, for a school year. That is two megabytes for thirty Pis.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from schemas import ENTRY, misfit

from ansible_collections.mynn.pi.plugins.module_utils.files import replacing

DAY = 86400.0
ALL_OF = 7 * DAY
ONE_A_DAY = 400 * DAY


@dataclass
class Entry:
    """One time that a Pi was asked.

    lost: why it did not answer. figures: by name, what is plotted. state: from the module pi_state. verified: a
    PiResult of tests/provisioned as a dictionary.
    """

    pi: str
    when: float
    lost: str = ""
    figures: dict[str, float] = field(default_factory=dict)
    state: dict[str, Any] = field(default_factory=dict)
    verified: dict[str, Any] = field(default_factory=dict)


def figures_of(state: dict[str, Any], verified: dict[str, Any]) -> dict[str, float]:
    """Return what is plotted: MB, degrees Celsius, and the fraction of digits that was recognised."""
    checks = verified.get("checks", [])
    accuracy = [check["figures"]["smoke_accuracy"] for check in checks if "smoke_accuracy" in check["figures"]]
    figures = {
        "accuracy": accuracy[0] if accuracy else None,
        "available": state.get("memory", {}).get("available"),
        "free": state.get("card", {}).get("free"),
        "temperature": state.get("temperature"),
    }
    return {name: figure for name, figure in figures.items() if figure is not None}


def read(path: Path) -> tuple[list[Entry], list[str]]:
    """Return the entries, oldest first, and a sentence for each line that is damaged."""
    entries, words = [], []
    lines = path.read_bytes().splitlines() if path.exists() else []
    for number, line in enumerate(lines, 1):
        try:
            content = json.loads(line)
            content.pop("url", None)  # of earlier versions
            if wrong := misfit(content, ENTRY):
                raise ValueError(wrong)
            entries.append(Entry(**content))
        except (AttributeError, ValueError, TypeError, RecursionError):
            words.append(f"Line {number} of {path} is damaged and was skipped.")
    return sorted(entries, key=lambda entry: entry.when), words


def thinned(entries: list[Entry], now: float) -> list[Entry]:
    """Return the entries worth keeping; only the newest stay whole."""
    newest_state = {entry.pi: entry for entry in entries if entry.state}
    newest_verified = {entry.pi: entry for entry in entries if entry.verified}
    of_the_day = {(entry.pi, _day(entry.when)): entry for entry in entries if not entry.lost}
    kept = []
    for entry in entries:
        age = now - entry.when
        whole = entry is newest_state.get(entry.pi) or entry is newest_verified.get(entry.pi)
        if entry is not newest_state.get(entry.pi):
            entry.state = {}
        if entry is not newest_verified.get(entry.pi):
            entry.verified = {}
        daily = entry is of_the_day.get((entry.pi, _day(entry.when)))
        if whole or age <= ALL_OF or (daily and age <= ONE_A_DAY):
            kept.append(entry)
    return kept


def write(path: Path, entries: list[Entry]) -> None:
    """Write the entries; a power cut leaves the old file or the new one."""
    lines = (
        {name: part for name, part in asdict(entry).items() if part or name in ("pi", "when")} for entry in entries
    )
    with replacing(path) as file:
        file.write("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines).encode())


def _day(when: float) -> str:
    return time.strftime("%Y-%m-%d", time.localtime(when))
