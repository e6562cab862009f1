"""The command `mynn`: one function a verb, and errors in one sentence."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from mynn import __version__
from mynn.data import DataError, mnist_folder
from mynn.smoke import smoke

OK, FAILED, UNUSABLE = 0, 1, 2  # exit codes; argparse has the same 2 for a command line it cannot use


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    options = _parser().parse_args(arguments)
    try:
        code: int = options.run(options)
    except DataError as error:
        print(f"mynn {options.verb}: {error}", file=sys.stderr)
        return UNUSABLE
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="mynn", description="A network that reads handwritten digits.")
    parser.add_argument("--version", action="version", version=f"mynn {__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")

    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--data",
        type=Path,
        default=mnist_folder(),
        metavar="FOLDER",
        help="the folder of the MNIST CSVs (%(default)s)",
    )
    common.add_argument("--json", action="store_true", help="print one JSON object")

    verb = verbs.add_parser(
        "smoke",
        parents=[common],
        help="train for a minute and say whether that worked",
        description="Train for about a minute (on a Pi Zero) on real digits and test the network. "
        "The exit code is 0 when its accuracy clears the bar, 1 when not, 2 when the data is missing or bad.",
    )
    verb.add_argument("--seed", type=int, default=0, help="of the first weights (%(default)s)")
    verb.set_defaults(run=_smoke)

    verb = verbs.add_parser("info", parents=[common], help="say what this computer has for mynn")
    verb.set_defaults(run=_info)
    return parser


def _smoke(options: argparse.Namespace) -> int:
    result = smoke(options.data, options.seed, say=lambda line: print(line, file=sys.stderr, flush=True))
    if options.json:
        print(json.dumps(asdict(result)))
    else:
        verdict = "clears" if result.passed else "MISSES"
        print(
            f"{result.accuracy:.1%} of {result.tested} digits read rightly after {result.examples} examples, "
            f"which {verdict} the bar of {result.bar:.1%} ({result.seconds:.1f} s, {result.peak_mib:.0f} MiB)"
        )
    return OK if result.passed else FAILED


def _info(options: argparse.Namespace) -> int:
    files = ("mnist_train.csv", "mnist_test.csv", "mnist_train_100.csv", "mnist_test_10.csv")
    facts: dict[str, object] = {
        "mynn": __version__,
        "python": platform.python_version(),
        **{name: _version_of(name) for name in ("numpy", "scipy", "matplotlib")},
        "machine": platform.machine(),
        "memory_mib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20,
        "data": str(options.data),
        "files": [name for name in files if os.access(options.data / name, os.R_OK)],
    }
    if options.json:
        print(json.dumps(facts))
    else:
        for name, fact in facts.items():
            print(f"{name:<11} {', '.join(fact) or 'none' if isinstance(fact, list) else fact}")
    return OK


def _version_of(package: str) -> str:
    try:
        return version(package)  # from the package's metadata: importing scipy takes a Pi Zero seconds
    except PackageNotFoundError:
        return "missing"
