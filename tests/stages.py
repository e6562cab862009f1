"""`make test` and `make test-all`: the tests in stages, each with its output in sight; then how long each took.

python -m tests.stages quick|all
"""

from __future__ import annotations

import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "build/tests"
SLOWEST = 20
VM, IMAGE = "tests/classroom/test_vm.py", "tests/classroom/test_image.py"


@dataclass(frozen=True)
class Case:
    """One test: its name, how long it took with its fixtures (seconds), and passed, failed or skipped."""

    name: str
    seconds: float
    outcome: str


@dataclass
class Stage:
    """A command that is run to its end; where it is pytest, ``cases`` are its tests afterwards."""

    title: str
    command: list[str]
    seconds: float = 0
    failed: bool = False
    cases: list[Case] = field(default_factory=list)

    def run(self, results: Path) -> None:
        """Run it. ``results`` is where pytest writes what came of each test."""
        print(f"\n== {self.title}", flush=True)
        results.unlink(missing_ok=True)
        is_pytest = "pytest" in self.command
        began = time.monotonic()
        command = [*self.command, f"--junit-xml={results}"] if is_pytest else self.command
        self.failed = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, check=False).returncode != 0
        self.seconds = time.monotonic() - began
        if is_pytest and results.is_file():
            self.cases = [_case(element) for element in ET.parse(results).iter("testcase")]


def _case(element: ET.Element) -> Case:
    outcomes = {"failure": "failed", "error": "failed", "skipped": "skipped"}
    outcome = next((outcomes[child.tag] for child in element if child.tag in outcomes), "passed")
    module = element.get("classname", "").rpartition("tests.")[2]
    return Case(f"{module}: {element.get('name')}", float(element.get("time", 0)), outcome)


def pytest(*arguments: str) -> list[str]:
    """Return the words that run pytest."""
    return [sys.executable, "-m", "pytest", *arguments]


def stages(tier: str) -> list[Stage]:
    """Return the stages of a tier: quick, or all."""
    quick = [
        Stage("Lint", ["make", "--no-print-directory", "lint"]),
        Stage("Unit tests", pytest("tests/unit", "--numprocesses=auto")),
        Stage("A virtual Pi is provisioned, verified and browsed", pytest("tests/classroom", "-m", "quick")),
    ]
    rest = [
        Stage(
            "Virtual Pis, and all that can befall them",
            pytest("tests/classroom", "-m", "not quick and not long", f"--ignore={VM}", f"--ignore={IMAGE}"),
        ),
        Stage("A virtual Pi with a kernel of its own", pytest(VM)),
        Stage("The image of an SD card", pytest(IMAGE)),
    ]
    return quick if tier == "quick" else quick + rest


def report(done: Sequence[Stage]) -> None:
    """Print the slowest tests, the time of each stage, and how many tests there were."""
    cases = [case for stage in done for case in stage.cases]
    print(f"\n== The {SLOWEST} slowest tests")
    for case in sorted(cases, key=lambda case: -case.seconds)[:SLOWEST]:
        print(f"{case.seconds:7.1f} s  {case.name}")
    print("\n== The stages")
    for stage in done:
        print(f"{stage.seconds:7.1f} s  {stage.title}{': failed' if stage.failed else ''}")
    print(f"{sum(stage.seconds for stage in done):7.1f} s  in all\n")
    counts = {outcome: sum(case.outcome == outcome for case in cases) for outcome in ("passed", "failed", "skipped")}
    print(", ".join(f"{count} {outcome}" for outcome, count in counts.items()))


def main() -> int:
    """Run all stages, also after one that failed. Return the exit code."""
    if sys.argv[1:] not in (["quick"], ["all"]):
        print("Say which tests to run: python -m tests.stages quick|all", file=sys.stderr)
        return 2
    RESULTS.mkdir(parents=True, exist_ok=True)
    chosen = stages(sys.argv[1])
    for number, stage in enumerate(chosen, 1):
        stage.run(RESULTS / f"{number}.xml")
    report(chosen)
    return int(any(stage.failed for stage in chosen))


if __name__ == "__main__":
    sys.exit(main())
