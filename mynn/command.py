"""The command `mynn`: one function a verb, and errors in one sentence."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from itertools import pairwise
from pathlib import Path

from mynn import __version__, asking, experimenting, kernel
from mynn.arguments import picture_name, positive, whole
from mynn.bench import EXAMPLES, HIDDEN_NODES, QUICK, bench, table
from mynn.data import LABELS, PIXELS, DataError, mnist_folder, read_csv
from mynn.network import RULES, NeuralNetwork
from mynn.progress import Bar
from mynn.smoke import peak_mib, smoke
from mynn.storage import NetworkFileError

OK, FAILED, UNUSABLE, STOPPED = 0, 1, 2, 130  # exit codes; argparse has the same 2 for a command line it cannot use


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    options = _parser().parse_args(arguments)
    try:
        code: int = options.run(options)
    except (DataError, NetworkFileError) as error:
        print(f"mynn {options.verb}: {error}", file=sys.stderr)
        return UNUSABLE
    except KeyboardInterrupt:
        kept = "; run it again, and it goes on from there" if options.verb == "experiment" else ""
        print(f"\nmynn {options.verb}: stopped{kept}", file=sys.stderr)
        return STOPPED
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="mynn", description="A network that reads handwritten digits.")
    parser.add_argument("--version", action="version", version=f"mynn {__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")

    json_only = argparse.ArgumentParser(add_help=False)
    json_only.add_argument("--json", action="store_true", help="print one JSON object")
    common = argparse.ArgumentParser(add_help=False, parents=[json_only])
    common.add_argument(
        "--data",
        type=Path,
        default=mnist_folder(),
        metavar="FOLDER",
        help="the folder of the MNIST CSVs (%(default)s)",
    )

    verb = verbs.add_parser(
        "train",
        parents=[common],
        help="train a network and test it",
        description="Train a network on the whole training set, then test it on the whole test set.",
    )
    verb.add_argument("--hidden", type=positive, default=50, metavar="N", help="hidden nodes (%(default)s)")
    verb.add_argument("--rate", type=float, default=0.1, help="learning rate (%(default)s)")
    verb.add_argument("--epochs", type=positive, default=1, metavar="N", help="times over (%(default)s)")
    verb.add_argument("--rule", choices=RULES, default="book", help="how hidden nodes learn (%(default)s)")
    verb.add_argument("--shuffle", action="store_true", help="take the examples in another order each epoch")
    verb.add_argument("--seed", type=int, default=0, help="of the first weights and the orders (%(default)s)")
    verb.add_argument("--examples", type=positive, metavar="N", help="learn from the first N digits only")
    verb.add_argument("--save", type=Path, metavar="FILE", help="keep the network in this file")
    verb.set_defaults(run=_train)

    verb = verbs.add_parser("test", parents=[common], help="test a network that was kept, on the whole test set")
    verb.add_argument("network", type=Path, metavar="FILE", help="what `mynn train --save FILE` wrote")
    verb.set_defaults(run=_test)

    asked = argparse.ArgumentParser(add_help=False)
    asked.add_argument(
        "--network",
        type=Path,
        default=asking.NETWORK,
        metavar="FILE",
        help="what `mynn train --save FILE` wrote (%(default)s)",
    )

    verb = verbs.add_parser(
        "read",
        parents=[asked, json_only],
        help="say which digits pictures show",
        description="Say which digit each picture shows: a PNG or JPEG, drawn or photographed, one digit in each.",
    )
    verb.add_argument("pictures", nargs="+", metavar="PICTURE")
    verb.add_argument("--show", action="store_true", help="draw each picture as the network sees it")
    verb.set_defaults(run=asking.read)

    verb = verbs.add_parser(
        "dream",
        parents=[asked, json_only],
        help="ask a network backwards: draw what it takes for a digit",
        description="Draw what a network takes for each digit, into a PNG; one that is there already is replaced.",
    )
    verb.add_argument("--label", type=int, choices=range(LABELS), action="append", help="only this one (all ten)")
    verb.add_argument("--save", type=picture_name, required=True, metavar="PICTURE.png")
    verb.set_defaults(run=asking.dream)

    verb = verbs.add_parser(
        "damage",
        parents=[asked, common],
        help="remove hidden nodes and say what a network still reads",
        description="Test a network without some of its hidden nodes, chosen at random, on the test set.",
    )
    verb.add_argument(
        "--remove", type=whole, nargs="+", metavar="N", help="so many nodes (none, a tenth, two tenths ... nine)"
    )
    verb.add_argument("--seeds", type=positive, default=5, metavar="N", help="so many choices each (%(default)s)")
    verb.add_argument("--examples", type=positive, metavar="N", help="test on the first N digits only")
    verb.add_argument("--save", type=picture_name, metavar="PICTURE.png", help="draw the curve into this PNG")
    verb.set_defaults(run=asking.damaged)

    verb = verbs.add_parser(
        "bench",
        parents=[common],
        help="say how long one example takes, in the book's way and in others",
        description="Train one epoch in each way, with one thread: about two minutes on a PC. On a Pi Zero the "
        "book's loop alone takes an hour for that, so give --quick.",
    )
    verb.add_argument("--examples", type=positive, metavar="N", help=f"train on so many digits ({EXAMPLES})")
    verb.add_argument("--quick", action="store_true", help=f"train on {QUICK} digits only")
    verb.add_argument(
        "--hidden", type=positive, nargs="+", default=HIDDEN_NODES, metavar="N", help="hidden nodes (50 100 200)"
    )
    verb.set_defaults(run=_bench)

    verb = verbs.add_parser(
        "smoke",
        parents=[common],
        help="train for a minute and say whether that worked",
        description="Train for about a minute (on a Pi Zero) on real digits and test the network. "
        "The exit code is 0 when its accuracy clears the bar, 1 when not, 2 when the data is missing or bad.",
    )
    verb.add_argument("--seed", type=int, default=0, help="of the first weights (%(default)s)")
    verb.set_defaults(run=_smoke)

    experimenting.add(verbs, [common])

    verb = verbs.add_parser("info", parents=[common], help="say what this computer has for mynn")
    verb.set_defaults(run=_info)
    return parser


def _train(options: argparse.Namespace) -> int:
    times = [time.monotonic()]
    training = read_csv(options.data / "mnist_train.csv", options.examples)
    testing = read_csv(options.data / "mnist_test.csv")
    times.append(time.monotonic())

    network = NeuralNetwork(PIXELS, options.hidden, LABELS, options.rate, seed=options.seed, rule=options.rule)
    network.fit(training, epochs=options.epochs, shuffle=options.shuffle, seed=options.seed, progress=Bar("training"))
    times.append(time.monotonic())
    accuracy = network.score(testing)
    times.append(time.monotonic())
    if options.save:
        _save(network, options.save)

    reading, learning, scoring = (round(end - start, 2) for start, end in pairwise(times))
    if options.json:
        facts = {
            **{name: getattr(options, name) for name in ("hidden", "rate", "epochs", "rule", "shuffle", "seed")},
            "examples": len(training),
            "tested": len(testing),
            "accuracy": accuracy,
            "seconds": {"reading": reading, "training": learning, "testing": scoring},
            "peak_mib": round(peak_mib(), 1),
            "kernel": kernel.STATE,
            "saved": str(options.save) if options.save else None,
        }
        print(json.dumps(facts))
    else:
        print(
            f"{accuracy:.2%} of {len(testing)} digits read rightly after {options.epochs} x {len(training)} examples "
            f"(reading {reading} s, training {learning} s, testing {scoring} s; {peak_mib():.0f} MiB)"
        )
    return OK


def _save(network: NeuralNetwork, path: Path) -> None:
    try:
        network.save(path)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise NetworkFileError(f"{path}: the network cannot be kept here ({reason}); name another file") from error


def _test(options: argparse.Namespace) -> int:
    network = asking.load(options.network)
    confusion = network.confusion(read_csv(options.data / "mnist_test.csv"))
    accuracy = float(confusion.trace() / confusion.sum())
    if options.json:
        print(json.dumps({"accuracy": accuracy, "tested": int(confusion.sum()), "confusion": confusion.tolist()}))
        return OK
    print(f"{accuracy:.2%} of {confusion.sum()} digits read rightly. How often each was taken for what:\n")
    print("  is | says" + "".join(f"{answer:>6}" for answer in range(LABELS)))
    for label, row in enumerate(confusion):
        print(f"{label:>4} |     " + "".join(f"{count or '.':>6}" for count in row))
    return OK


def _bench(options: argparse.Namespace) -> int:
    count = options.examples or (QUICK if options.quick else EXAMPLES)
    rows = bench(options.data, count, tuple(options.hidden), lambda line: print(line, file=sys.stderr, flush=True))
    if options.json:
        print(json.dumps({"examples": count, "kernel": kernel.STATE, "rows": [asdict(row) for row in rows]}))
    else:
        print(table(rows))
    return OK


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
        **{name: _version_of(name) for name in ("numpy", "scipy", "matplotlib", "Pillow")},
        "kernel": kernel.STATE,
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
