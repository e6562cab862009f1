"""`mynn smoke`, a short test training, and `mynn info`, versions and hardware."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

from mynn import __version__, kernel
from mynn.cli.arguments import data_option, natural
from mynn.errors import DataError
from mynn.mnist import LABELS, PIXELS, Examples, read_csv
from mynn.network import NeuralNetwork
from mynn.progress import peak_mib

FILES = ("mnist_train.csv", "mnist_test.csv", "mnist_train_100.csv", "mnist_test_10.csv")

EXAMPLES, TESTED = 1500, 1000  # digits of the smoke training: 50 hidden nodes, learning rate 0.3
# Seeds 0 to 29 reach .826 on average (sd .008, minimum .813):
#   for seed in $(seq 0 29); do mynn smoke --json --seed $seed; done
# The bar is more than five sd below that mean, and above the accuracy of a network that trains only one layer
# (.76, the best of five seeds). Guessing reaches .1.
BAR = 0.78


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
    """Train a small network on the first training digits, and test it on the first test digits."""
    start = time.perf_counter()

    def say(line: str) -> None:
        print(f"{line}, {time.perf_counter() - start:.1f} s", file=sys.stderr, flush=True)

    training, testing = (
        _first(options.data / f"mnist_{part}.csv", count) for part, count in (("train", EXAMPLES), ("test", TESTED))
    )
    say(f"read {EXAMPLES} digits to train on and {TESTED} to test on")
    network = NeuralNetwork(PIXELS, 50, LABELS, 0.3, seed=options.seed)
    network.fit(training, progress=lambda count, total: say(f"trained on {count} of {total}"))
    accuracy = network.score(testing)
    passed = accuracy >= BAR
    facts = {"accuracy": accuracy, "bar": BAR, "passed": passed, "examples": EXAMPLES, "tested": TESTED}
    # Three significant digits, since a fast computer takes milliseconds.
    seconds, mib = float(f"{time.perf_counter() - start:.3g}"), round(peak_mib(), 1)
    if options.json:
        print(json.dumps({**facts, "seed": options.seed, "seconds": seconds, "peak_mib": mib}))
    else:
        print(
            f"{accuracy:.1%} of {TESTED} digits recognised after {EXAMPLES} examples: "
            f"{'passed' if passed else 'FAILED'} ({BAR:.1%} required; {seconds} s, {mib:.0f} MiB)"
        )
    return 0 if passed else 1


def _first(path: Path, count: int) -> Examples:
    examples = read_csv(path, limit=count)
    if len(examples) < count:
        raise DataError(f"{path}: it has {len(examples)} digits and {count} are needed; fetch it again")
    return examples


def _info(options: argparse.Namespace) -> int:
    facts: dict[str, object] = {
        "mynn": __version__,
        "python": platform.python_version(),
        **{name: _version_of(name) for name in ("numpy", "scipy", "matplotlib", "Pillow")},
        "kernel": kernel.STATE,
        "machine": platform.machine(),
        "memory_mib": _memory_mib(),
        "data": str(options.data),
        "files": [name for name in FILES if os.access(options.data / name, os.R_OK)],
    }
    if options.json:
        print(json.dumps(facts))
    else:
        for name, fact in facts.items():
            print(f"{name:<11} {', '.join(fact) or 'none' if isinstance(fact, list) else fact}")
    return 0


def _memory_mib() -> int | None:
    if not hasattr(os, "sysconf"):  # Windows
        return None
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20


def _version_of(package: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)  # read from metadata: importing scipy takes seconds on a Pi Zero
    except PackageNotFoundError:
        return "missing"
