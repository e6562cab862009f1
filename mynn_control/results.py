"""Results of the tests of Pis, in a teacher's words. tests/provisioned writes them, and the desk shows them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mynn.files import write_text
from mynn_control.translation import _

HOLDS, FAILS, NOT_ASKED = "holds", "fails", "not asked"


@dataclass
class Check:
    """One test of one Pi."""

    role: str
    name: str
    sentence: str  # the statement that is tested
    outcome: str = HOLDS
    reason: str = ""  # why it does not hold, or was not tested
    seconds: float = 0.0
    figures: dict[str, Any] = field(default_factory=dict)


@dataclass
class PiResult:
    """All tests of one Pi. lost: why it could not be tested, or ""."""

    pi: str
    lost: str = ""
    checks: list[Check] = field(default_factory=list)

    def those(self, outcome: str) -> list[Check]:
        """The checks with this outcome."""
        return [check for check in self.checks if check.outcome == outcome]

    @property
    def figures(self) -> dict[str, Any]:
        """The figures of all checks, by name."""
        return {name: figure for check in self.checks for name, figure in check.figures.items()}


def save(result: PiResult, folder: Path) -> None:
    """Write the result into the folder, under the Pi's name."""
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / f"{result.pi}.json", json.dumps(asdict(result), indent=1) + "\n")


def load(name: str, folder: Path) -> PiResult:
    """Read a Pi's result. A missing file means that its tests were cut off."""
    try:
        content = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return PiResult(name, lost=_("The tests of {pi} ended before the first check.").format(pi=name))
    return result_of(content)


def result_of(content: dict[str, Any]) -> PiResult:
    """Return a result from its stored form."""
    return PiResult(content["pi"], content["lost"], [Check(**check) for check in content["checks"]])
