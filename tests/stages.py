"""`make test` and `make test-all`: run the tests in stages, two at a time, and report how long each took.

python -m tests.stages quick|all
"""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "build/tests"
LANES = 2  # for two processors
SLOWEST = 20
# The tests that build and boot an image, and those that have virtual Pis of their own. All others share some.
IMAGE = [f"tests/classroom/test_{name}.py" for name in ("image", "board")]
OWN = [f"tests/classroom/test_{name}.py" for name in ("raspios", "virtual", "vm")]


@dataclass(frozen=True)
class Case:
    """One test: its name, its duration in seconds including fixtures, and passed, failed or skipped."""

    name: str
    seconds: float
    outcome: str


@dataclass
class Stage:
    """A command, whose output is shown once it has ended. ``cases``: the tests that it ran, if it is pytest."""

    name: str
    title: str
    command: list[str]
    seconds: float = 0
    failed: bool = False
    cases: list[Case] = field(default_factory=list)

    def run(self) -> None:
        """Run the command."""
        results = RESULTS / f"{self.name}.xml"
        results.unlink(missing_ok=True)
        log = results.with_suffix(".log")
        command = [*self.command, f"--junit-xml={results}"] if "pytest" in self.command else self.command
        print(f"== {self.title} (its output is in {log} until it is shown here)", flush=True)
        began = time.monotonic()
        with log.open("w") as output:
            done = subprocess.run(
                command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, check=False
            )
        self.failed, self.seconds = done.returncode != 0, time.monotonic() - began
        print(f"\n== {self.title}: output", log.read_text(errors="replace"), sep="\n", flush=True)
        if results.is_file():
            self.cases = [_case(element) for element in ET.parse(results).iter("testcase")]


def _case(element: ET.Element) -> Case:
    outcomes = {"failure": "failed", "error": "failed", "skipped": "skipped"}
    outcome = next((outcomes[child.tag] for child in element if child.tag in outcomes), "passed")
    module = element.get("classname", "").rpartition("tests.")[2]
    return Case(f"{module}: {element.get('name')}", float(element.get("time", 0)), outcome)


def pytest(*arguments: str) -> list[str]:
    """Return a pytest command line."""
    return [sys.executable, "-m", "pytest", *arguments]


LINT = Stage("lint", "Lint", ["make", "--no-print-directory", "lint"])
UNITS = pytest("tests/unit", "--numprocesses=auto", "--dist=worksteal")
QUICK_UNIT = Stage("unit", "Unit tests, without the slow ones", [*UNITS, "-m", "not long and not slow"])
UNIT = Stage("unit", "Unit tests", UNITS)
PI = Stage("pi", "One virtual Pi", pytest("tests/classroom", "-m", "quick"))
YEAR = Stage(
    "year",
    "A school year on three virtual Pis",
    pytest("tests/classroom", *(f"--ignore={path}" for path in [*IMAGE, *OWN])),
)
BUILD = Stage("image", "The SD-card image and its first boot", pytest(*IMAGE))
OTHERS = Stage("others", "Raspberry Pi OS, a virtual machine, and the virtual Pis themselves", pytest(*OWN))
# By tier. The longest begin; the unit tests, which use every processor, end.
TIERS = {"quick": [PI, LINT, QUICK_UNIT], "all": [BUILD, YEAR, OTHERS, LINT, UNIT]}


def report(stages: Sequence[Stage], seconds: float) -> None:
    """Print the slowest tests, the duration of each stage and in total, and the number of tests."""
    cases = [case for stage in stages for case in stage.cases]
    print(f"\n== The {SLOWEST} slowest tests")
    for case in sorted(cases, key=lambda case: -case.seconds)[:SLOWEST]:
        print(f"{case.seconds:7.1f} s  {case.name}")
    print("\n== The stages")
    for stage in stages:
        print(f"{stage.seconds:7.1f} s  {stage.title}{': failed' if stage.failed else ''}")
    print(f"{seconds:7.1f} s  in total\n")
    counts = {outcome: sum(case.outcome == outcome for case in cases) for outcome in ("passed", "failed", "skipped")}
    print(", ".join(f"{count} {outcome}" for outcome, count in counts.items()))


def open_the_way() -> str:
    """Let other accounts enter this folder if root runs the tests, which then also work as `nobody`.

    A temporary folder is opened, as `mktemp -d` makes one that is closed to others; of any other, return what to do.
    """
    needed = stat.S_IXGRP | stat.S_IXOTH
    closed = [] if os.geteuid() else [folder for folder in ROOT.parents if ~folder.stat().st_mode & needed]
    for folder in closed:
        if folder == Path(tempfile.gettempdir()) or not folder.is_relative_to(tempfile.gettempdir()):
            return (
                f"Some tests work as another account, which cannot enter {folder}: move this folder elsewhere, run the "
                f"tests as an ordinary user, or allow it: chmod go+x {folder}"
            )
        folder.chmod(folder.stat().st_mode | needed)
    return ""


def main() -> int:
    """Run the stages of a tier, and return the exit code."""
    if len(sys.argv) != 2 or sys.argv[1] not in TIERS:
        print("Usage: python -m tests.stages quick|all", file=sys.stderr)
        return 2
    if wrong := open_the_way():
        print(wrong, file=sys.stderr)
        return 1
    stages = TIERS[sys.argv[1]]
    RESULTS.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    with ThreadPoolExecutor(LANES) as lanes:
        list(lanes.map(Stage.run, stages))
    report(stages, time.monotonic() - began)
    return int(any(stage.failed for stage in stages))


if __name__ == "__main__":
    sys.exit(main())
