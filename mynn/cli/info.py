"""The verbs that say what this computer can do: `mynn smoke` and `mynn info`."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from dataclasses import asdict
from typing import Any

from mynn import __version__, kernel
from mynn.cli.arguments import data_option, natural

FILES = ("mnist_train.csv", "mnist_test.csv", "mnist_train_100.csv", "mnist_test_10.csv")


def add(verbs: Any) -> None:
    """Add the verbs to the command's parser."""
    verb = verbs.add_parser(
        "smoke",
        parents=[data_option()],
        help="train for a minute and say whether that worked",
        description="Train for about a minute (on a Pi Zero) on real digits and test the network. "
        "The exit code is 0 if its accuracy is high enough, 1 if not, 2 if the data is missing or bad.",
    )
    verb.add_argument("--seed", type=natural, default=0, help="seed of the first weights (%(default)s)")
    verb.set_defaults(run=_smoke)

    verb = verbs.add_parser("info", parents=[data_option()], help="show what this computer has for mynn")
    verb.set_defaults(run=_info)


def _smoke(options: argparse.Namespace) -> int:
    from mynn.experiments.smoke import smoke

    result = smoke(options.data, options.seed, say=lambda line: print(line, file=sys.stderr, flush=True))
    if options.json:
        print(json.dumps(asdict(result)))
    else:
        verdict = "passed" if result.passed else "FAILED"
        print(
            f"{result.accuracy:.1%} of {result.tested} digits recognised after {result.examples} examples: "
            f"{verdict} ({result.bar:.1%} required; {result.seconds:.1f} s, {result.peak_mib:.0f} MiB)"
        )
    return 0 if result.passed else 1


def _info(options: argparse.Namespace) -> int:
    facts: dict[str, object] = {
        "mynn": __version__,
        "python": platform.python_version(),
        **{name: _version_of(name) for name in ("numpy", "scipy", "matplotlib", "Pillow")},
        "kernel": kernel.STATE,
        "machine": platform.machine(),
        "memory_mib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20,
        "data": str(options.data),
        "files": [name for name in FILES if os.access(options.data / name, os.R_OK)],
    }
    if options.json:
        print(json.dumps(facts))
    else:
        for name, fact in facts.items():
            print(f"{name:<11} {', '.join(fact) or 'none' if isinstance(fact, list) else fact}")
    return 0


def _version_of(package: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)  # from the package's metadata: importing scipy takes a Pi Zero seconds
    except PackageNotFoundError:
        return "missing"
