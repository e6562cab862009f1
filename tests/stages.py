"""`make test` and `make test-all`: run the tests in stages, two at a time, and report how long each took.

python -m tests.stages quick|all
"""

import os
import stat
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "build/tests"
LANES = 2  # for two processors
# The tests that build and boot an image, and those that have virtual Pis of their own. All others share some.
IMAGE = [f"tests/classroom/test_{name}.py" for name in ("image", "board")]
OWN = [f"tests/classroom/test_{name}.py" for name in ("raspios", "virtual")]


@dataclass
class Stage:
    """A command, whose output is shown once it has ended, and then the last line of that."""

    name: str
    title: str
    command: list[str]
    seconds: float = 0
    failed: bool = False
    last: str = ""

    def run(self) -> None:
        """Run the command."""
        log = RESULTS / f"{self.name}.log"
        print(f"== {self.title} (its output is in {log} until it is shown here)", flush=True)
        began = time.monotonic()
        with log.open("w") as output:
            done = subprocess.run(
                self.command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, check=False
            )
        self.failed, self.seconds = done.returncode != 0, time.monotonic() - began
        said = log.read_text(errors="replace")
        self.last = said.strip().rpartition("\n")[2].strip("= ")
        print(f"\n== {self.title}: output", said, sep="\n", flush=True)


def pytest(*arguments: str) -> list[str]:
    """Return a pytest command line, which ends with the slowest tests."""
    return [sys.executable, "-m", "pytest", "--durations=20", *arguments]


# These give way to an emulator and virtual Pis beside them, for which tests wait with deadlines.
LINT = Stage("lint", "Lint", ["nice", "make", "--no-print-directory", "lint"])
UNITS = ["nice", *pytest("tests/unit", "--numprocesses=auto", "--dist=worksteal")]
QUICK_UNIT = Stage("unit", "Unit tests, without the slow ones", [*UNITS, "-m", "not long and not slow"])
UNIT = Stage("unit", "Unit tests", UNITS)
PI = Stage("pi", "One virtual Pi", pytest("tests/classroom", "-m", "quick"))
YEAR = Stage(
    "year",
    "A school year on three virtual Pis",
    pytest("tests/classroom", *(f"--ignore={path}" for path in [*IMAGE, *OWN])),
)
BUILD = Stage("image", "The SD-card image and its first boot", pytest(*IMAGE))
OTHERS = Stage("others", "Raspberry Pi OS, and the virtual Pis themselves", pytest(*OWN))
# By tier. The longest begin; of `all`, the unit tests, which use every processor, end.
TIERS = {"quick": [QUICK_UNIT, PI, LINT], "all": [BUILD, YEAR, OTHERS, LINT, UNIT]}


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
    print("\n== The stages")
    for stage in stages:
        print(f"{stage.seconds:7.1f} s  {stage.title}{': failed' if stage.failed else ''} ({stage.last})")
    print(f"{time.monotonic() - began:7.1f} s  in total")
    return int(any(stage.failed for stage in stages))


if __name__ == "__main__":
    sys.exit(main())
