"""`make test` and `make test-more`: run the tests in stages, two at a time, and report how long each took.

python -m tests.stages quick|more
"""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from mynn_control.programs import SUDO
from tests.namespace import command_line
from tests.support.programs import build_kernel

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "build/tests"
LANES = 2  # for two processors
# The tests that build and boot an image, and those that have virtual Pis of their own. All others share some.
IMAGE = [f"tests/classroom/test_{name}.py" for name in ("image", "board")]
OWN = [f"tests/classroom/test_{name}.py" for name in ("raspios", "virtual")]


@dataclass
class Stage:
    """Commands, whose output is shown once they have ended, and then the last line of each."""

    name: str
    title: str
    commands: list[list[str]]
    seconds: float = 0
    failed: bool = False
    last: str = ""

    def run(self) -> None:
        """Run the commands, one after the other."""
        log = RESULTS / f"{self.name}.log"
        print(f"== {self.title} (its output is in {log} until it is shown here)", flush=True)
        began = time.monotonic()
        said = ""
        for command in self.commands:
            with log.open("a" if said else "w") as output:
                done = subprocess.run(
                    command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, check=False
                )
            said = log.read_text(errors="replace")
            self.failed |= done.returncode != 0
            self.last += f" ({said.strip().rpartition(chr(10))[2].strip('= ')})"
        self.seconds = time.monotonic() - began
        print(f"\n== {self.title}: output", said, sep="\n", flush=True)


def pytest(*arguments: str) -> list[str]:
    """Return a pytest command line, which ends with the slowest tests."""
    return [sys.executable, "-m", "pytest", "--durations=20", *arguments]


def unit(name: str, title: str, which: str, *, bare: bool) -> Stage:
    """Return a stage of unit tests, first those of an ordinary user, and then those of root."""
    commands = []
    for as_root in (False, True):
        marks = f"{which} and not long and {'root' if as_root else 'not root'}"
        workers = [] if as_root else ["--numprocesses=auto", "--dist=worksteal"]
        words = pytest("tests/unit", "-p", "no:cacheprovider", "-m", marks, *workers)
        commands.append(["nice", *command_line(words, as_root=as_root, bare=bare)])
    return Stage(name, title, commands)


# Lint and unit tests give way to an emulator and virtual Pis beside them, for which tests wait with deadlines.
LINT = Stage("lint", "Lint", [["nice", "make", "--no-print-directory", "lint"]])
UNIT = unit("unit", "Unit tests, without the slow ones", "not slow", bare=True)
SLOW = unit("slow", "Slow unit tests", "slow", bare=False)
PI = Stage("pi", "One virtual Pi", [pytest("tests/classroom", "-m", "quick")])
YEAR = Stage(
    "year",
    "A school year on three virtual Pis",
    [pytest("tests/classroom", "-m", "not quick and not long", *(f"--ignore={path}" for path in [*IMAGE, *OWN]))],
)
BUILD = Stage("image", "The SD-card image and its first boot", [pytest(*IMAGE)])
OTHERS = Stage("others", "Raspberry Pi OS, and the virtual Pis themselves", [pytest(*OWN)])
# By tier. The longest begin; of `more`, the unit tests, which use every processor, end.
TIERS = {"quick": [UNIT, PI, LINT], "more": [BUILD, YEAR, OTHERS, SLOW]}


def main() -> int:
    """Run the stages of a tier, and return the exit code."""
    if len(sys.argv) != 2 or sys.argv[1] not in TIERS:
        print("Usage: python -m tests.stages quick|more", file=sys.stderr)
        return 2
    if SUDO:
        subprocess.run(["sudo", "--validate"], check=True)  # asks for the password now, if at all
    build_kernel()
    stages = TIERS[sys.argv[1]]
    RESULTS.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    with ThreadPoolExecutor(LANES) as lanes:
        list(lanes.map(Stage.run, stages))
    print("\n== The stages")
    for stage in stages:
        print(f"{stage.seconds:7.1f} s  {stage.title}{': failed' if stage.failed else ''}{stage.last}")
    print(f"{time.monotonic() - began:7.1f} s  in total")
    return int(any(stage.failed for stage in stages))


if __name__ == "__main__":
    sys.exit(main())
