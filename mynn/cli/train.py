"""The verbs that make a network: `mynn train` and `mynn test`."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from mynn import checkpoint, kernel
from mynn.cli.arguments import data_option, hidden, natural, positive, rate
from mynn.errors import NetworkFileError, os_errors_as
from mynn.mnist import LABELS, PIXELS, Examples, read_csv
from mynn.network import RULES, NeuralNetwork
from mynn.progress import Bar, peak_mib

OK, STOPPED = 0, 130  # exit codes, as the command's


def add(verbs: Any) -> None:
    """Add the verbs to the command's parser."""
    verb = verbs.add_parser(
        "train",
        parents=[data_option()],
        help="train a network and test it",
        description="Train a network on the whole training set, then test it on the whole test set. Ctrl-C ends the "
        "training: what was learnt by then is saved and tested; a second one ends that too.",
    )
    option = verb.add_argument
    option("--hidden", type=hidden, default=50, metavar="N", help="hidden nodes (%(default)s)")
    option("--rate", type=rate, default=0.1, help="learning rate (%(default)s)")
    option("--epochs", type=positive, default=1, metavar="N", help="passes over the training set (%(default)s)")
    option("--rule", choices=RULES, default="book", help="how hidden nodes learn (%(default)s)")
    option("--shuffle", action="store_true", help="take the examples in another order each epoch")
    option("--seed", type=natural, default=0, help="seed of the first weights and of the orders (%(default)s)")
    option("--examples", type=positive, metavar="N", help="train on the first N digits only")
    option("--save", type=Path, metavar="FILE", help="save the network to this file")
    verb.set_defaults(run=_train)

    verb = verbs.add_parser("test", parents=[data_option()], help="test a saved network on the whole test set")
    verb.add_argument("network", type=Path, metavar="FILE", help="what `mynn train --save FILE` wrote")
    verb.set_defaults(run=_test)


def load_network(path: Path) -> NeuralNetwork:
    """Return the network in a file; if there is none, or it does not read digits, it is a NetworkFileError."""
    if not path.exists():
        raise NetworkFileError(
            f"{path}: there is no such file; train a network with `mynn train --save {path}`, or choose another file"
        )
    network = NeuralNetwork.load(path)
    if (network.wih.shape[1], network.who.shape[0]) != (PIXELS, LABELS):
        raise NetworkFileError(f"{path}: this network does not read digits of 28 x 28; train one that does")
    return network


def _train(options: argparse.Namespace) -> int:
    if options.save:
        checkpoint.check(options.save)  # now, and not after an hour
    start = time.monotonic()
    training = read_csv(options.data / "mnist_train.csv", options.examples)
    testing = read_csv(options.data / "mnist_test.csv")
    read = time.monotonic()

    network = NeuralNetwork(PIXELS, options.hidden, LABELS, options.rate, seed=options.seed, rule=options.rule)
    done, total = _fitted(network, training, options), options.epochs * len(training)
    trained = time.monotonic()
    if options.save and done:
        with os_errors_as(checkpoint.NOT_HERE, path=options.save, kind=NetworkFileError):
            network.save(options.save)
    if done < total:
        kept = f"the network so far is in {options.save}" if options.save else "nothing is saved without --save"
        print(
            f"\nmynn train: stopped after {done} of {total} examples; {kept}. Testing it ...",
            file=sys.stderr,
            flush=True,
        )

    begun = time.monotonic()
    accuracy = network.score(testing)
    spent = {"reading": read - start, "training": trained - read, "testing": time.monotonic() - begun}
    seconds = {name: round(time, 2) for name, time in spent.items()}
    if options.json:
        facts = {
            **{name: getattr(options, name) for name in ("hidden", "rate", "epochs", "rule", "shuffle", "seed")},
            "examples": len(training),
            "trained": done,
            "tested": len(testing),
            "accuracy": accuracy,
            "seconds": seconds,
            "peak_mib": round(peak_mib(), 1),
            "kernel": kernel.STATE,
            "saved": str(options.save) if options.save and done else None,
        }
        print(json.dumps(facts))
    else:
        after = f"{options.epochs} x {len(training)}" if done == total else f"{done}"
        took = ", ".join(f"{name} {time} s" for name, time in seconds.items())
        print(
            f"{accuracy:.2%} of {len(testing)} digits recognised after {after} examples ({took}; {peak_mib():.0f} MiB)"
        )
    return OK if done == total else STOPPED


def _fitted(network: NeuralNetwork, training: Examples, options: argparse.Namespace) -> int:
    """Train the network, until Ctrl-C at most, and return on how many examples."""
    bar, done = Bar("training"), 0

    def progress(count: int, total: int) -> None:
        nonlocal done
        done = count
        bar(count, total)

    try:
        network.fit(training, epochs=options.epochs, shuffle=options.shuffle, seed=options.seed, progress=progress)
    except KeyboardInterrupt:
        if not done:
            raise  # there is nothing to keep yet
    return done


def _test(options: argparse.Namespace) -> int:
    network = load_network(options.network)
    confusion = network.confusion(read_csv(options.data / "mnist_test.csv"))
    accuracy = float(confusion.trace() / confusion.sum())
    if options.json:
        print(json.dumps({"accuracy": accuracy, "tested": int(confusion.sum()), "confusion": confusion.tolist()}))
        return 0
    print(f"{accuracy:.2%} of {confusion.sum()} digits recognised. How often each was taken for what:\n")
    print("  is | says" + "".join(f"{answer:>6}" for answer in range(LABELS)))
    for label, row in enumerate(confusion):
        print(f"{label:>4} |     " + "".join(f"{count or '.':>6}" for count in row))
    return 0
